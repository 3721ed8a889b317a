//! The files of a log, opened when they are read, a bounded number of them at one time.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::medium::{Medium, MediumFile};
use super::segment::Kind;

/// So many files stay open beside the one that is written to.
const MAX_OPEN: usize = 16;

type Open = (Kind, u64, Arc<dyn MediumFile>);

/// The files of a log.
#[derive(Debug)]
pub(super) struct Files {
    medium: Box<dyn Medium>,
    /// The one that was used last is at the end.
    open: Mutex<VecDeque<Open>>,
}

impl Files {
    pub(super) fn new(medium: Box<dyn Medium>) -> Self {
        Self {
            medium,
            open: Mutex::default(),
        }
    }

    pub(super) fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    fn open_files(&self) -> MutexGuard<'_, VecDeque<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file to be read. Only one thread opens files at one time: many who read need few descriptors.
    pub(super) fn get(&self, kind: Kind, number: u64) -> io::Result<Arc<dyn MediumFile>> {
        let mut open = self.open_files();
        let known = open.iter().position(|o| (o.0, o.1) == (kind, number));
        let file = match known.and_then(|at| open.remove(at)) {
            Some((_, _, file)) => file,
            None => Arc::from(self.medium.open(&kind.name(number))?),
        };
        open.push_back((kind, number, Arc::clone(&file)));
        if open.len() > MAX_OPEN {
            open.pop_front();
        }
        Ok(file)
    }

    /// Bytes of a file.
    pub(super) fn read(
        &self,
        kind: Kind,
        number: u64,
        at: u64,
        bytes: usize,
    ) -> io::Result<Vec<u8>> {
        let file = self.get(kind, number)?;
        // What is damaged may name any number.
        if file.len()?.saturating_sub(at) < bytes as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut out = vec![0; bytes];
        file.read_at(at, &mut out)?;
        Ok(out)
    }

    /// All bytes of a file; none if there is no such file.
    pub(super) fn read_all(&self, kind: Kind, number: u64) -> io::Result<Vec<u8>> {
        let len = match self.get(kind, number) {
            Ok(file) => file.len()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        self.read(kind, number, 0, super::frame::size(len))
    }

    /// A file has another content now, or is to be taken away.
    pub(super) fn close(&self, kind: Kind, number: u64) {
        self.open_files().retain(|o| (o.0, o.1) != (kind, number));
    }

    /// Takes a segment away, with what lies beside it.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        for kind in [Kind::Segment, Kind::Index, Kind::Repairs] {
            self.close(kind, number);
            match self.medium.remove(&kind.name(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
