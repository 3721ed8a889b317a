//! A disk for tests: it remembers every step, so that it can be cut at any of them, and fails where a test wants it to.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use replog_protocol::node::Restored;

use crate::disk::{DiskJournal, DiskOptions, Medium, MediumFile, OpenError};

/// Which file, whatever its name: it keeps its number when it is renamed.
pub type FileNumber = u64;

/// One step of what was done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// An empty file got that name.
    Create(String, FileNumber),
    /// Those bytes were written at that offset.
    Write(FileNumber, u64, Vec<u8>),
    /// The file was cut off there.
    Cut(FileNumber, u64),
    /// What was written to the file before was synced.
    Sync(FileNumber),
    /// A file got another name.
    Rename(String, String),
    /// A file was taken away.
    Remove(String),
    /// The names were synced.
    SyncNames,
}

/// What a disk refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskFault {
    /// Nothing: all is well.
    #[default]
    None,
    /// There is no room for another file or name, or for a longer file.
    DiskFullOnGrow,
    /// There is no room for all that is to be written: half of it is there in the end.
    DiskFullOnWrite,
    /// There turns out to have been no room when it is synced.
    DiskFullOnSync,
    /// There is no room for anything.
    DiskFull,
    /// A write fails.
    WriteFails,
    /// A sync fails.
    SyncFails,
    /// A read fails.
    ReadFails,
}

/// What is on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    names: BTreeMap<String, FileNumber>,
    files: BTreeMap<FileNumber, Vec<u8>>,
}

impl Image {
    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// What is in the file of that name.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn file(&mut self, name: &str) -> &mut Vec<u8> {
        let number = self.names.get(name);
        let file = number.and_then(|number| self.files.get_mut(number));
        file.expect("a file of that name")
    }

    /// What is in each file.
    pub fn contents(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        let named: Vec<FileNumber> = self.names.values().copied().collect();
        let files = self.files.iter_mut();
        files.filter_map(move |(number, file)| named.contains(number).then_some(file))
    }

    /// Puts a file there.
    pub fn insert(&mut self, name: &str, bytes: Vec<u8>) {
        let number = self.next_number();
        self.names.insert(name.to_owned(), number);
        self.files.insert(number, bytes);
    }

    fn next_number(&self) -> FileNumber {
        let last = self.files.last_key_value();
        last.map_or(1, |(number, _)| number + 1)
    }

    /// Takes a file away.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Does that step.
    ///
    /// # Panics
    /// If it could not have been done.
    pub fn apply(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Create(name, number) => {
                self.names.insert(name.clone(), *number);
                self.files.entry(*number).or_default().clear();
            }
            DiskOp::Write(number, offset, data) => {
                let file = self.files.entry(*number).or_default();
                let end = position(*offset) + data.len();
                file.resize(file.len().max(end), 0);
                file[position(*offset)..end].copy_from_slice(data);
            }
            DiskOp::Cut(number, len) => {
                let file = self.files.entry(*number).or_default();
                file.truncate(position(*len));
            }
            DiskOp::Rename(from, to) => {
                let number = self.names.remove(from).expect("it was there");
                self.names.insert(to.clone(), number);
            }
            DiskOp::Remove(name) => {
                self.names.remove(name);
            }
            DiskOp::Sync(_) | DiskOp::SyncNames => {}
        }
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    hang_changed: Condvar,
    dir: OnceLock<PathBuf>,
}

#[derive(Debug, Default)]
struct Inner {
    image: Image,
    ops: Vec<DiskOp>,
    fault: DiskFault,
    /// The fault happens only once, after so many more of the steps that it concerns.
    once_after: Option<u64>,
    hang: Hang,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hang {
    /// Syncs go through.
    #[default]
    No,
    /// The next sync will hang.
    Armed,
    /// A sync hangs.
    Hanging,
}

/// What is about to be done.
#[derive(Clone, Copy)]
enum Step {
    Grow,
    Write,
    Sync,
    Read,
}

impl SimDisk {
    /// A disk with that on it.
    #[must_use]
    pub fn with_image(image: Image) -> Self {
        let disk = Self::default();
        disk.inner().image = image;
        disk
    }

    /// Rollbacks are kept in files of that directory from the next opening on; else they are kept in memory.
    ///
    /// # Panics
    /// If it is another one than before.
    pub fn keep_rollbacks_in(&self, dir: &Path) {
        assert_eq!(self.0.dir.get_or_init(|| dir.to_owned()), dir);
    }

    /// Opens the journal that is on it, or begins an empty one.
    ///
    /// # Errors
    /// What is on it is another node's, or damaged, or the disk refuses.
    pub fn open(&self, options: &DiskOptions) -> Result<(DiskJournal, Restored), OpenError> {
        DiskJournal::open(Box::new(self.clone()), options)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every sync hangs, until [`SimDisk::go_on`].
    pub fn hang(&self) {
        self.inner().hang = Hang::Armed;
    }

    /// Waits until a sync hangs.
    pub fn wait_until_it_hangs(&self) {
        let waiting = |inner: &mut Inner| inner.hang != Hang::Hanging;
        let waited = self.0.hang_changed.wait_while(self.inner(), waiting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Syncs go through again, those that hang too.
    pub fn go_on(&self) {
        self.inner().hang = Hang::No;
        self.0.hang_changed.notify_all();
    }

    /// From now on it has that fault.
    pub fn fail(&self, fault: DiskFault) {
        let mut inner = self.inner();
        (inner.fault, inner.once_after) = (fault, None);
    }

    /// It has that fault once, after `passing` of the steps that it concerns have passed. Whether it came to that, see
    /// [`SimDisk::is_well`].
    pub fn fail_once(&self, fault: DiskFault, passing: u64) {
        let mut inner = self.inner();
        (inner.fault, inner.once_after) = (fault, Some(passing));
    }

    /// Whether it has no fault, or no more.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.inner().fault == DiskFault::None
    }

    /// What is on it.
    #[must_use]
    pub fn image(&self) -> Image {
        self.inner().image.clone()
    }

    /// What was done to it since this was asked before.
    #[must_use]
    pub fn take_ops(&self) -> Vec<DiskOp> {
        std::mem::take(&mut self.inner().ops)
    }

    /// Waits while syncs hang, and syncs.
    fn sync(&self, op: DiskOp) -> io::Result<()> {
        let mut inner = self.inner();
        if inner.hang == Hang::Armed {
            inner.hang = Hang::Hanging;
            self.0.hang_changed.notify_all();
        }
        let hanging = |inner: &mut Inner| inner.hang != Hang::No;
        let went_on = self.0.hang_changed.wait_while(inner, hanging);
        let mut inner = went_on.unwrap_or_else(PoisonError::into_inner);
        inner.attempt(Step::Sync)?;
        inner.carry_out(op);
        Ok(())
    }

    fn file(&self, number: FileNumber) -> Box<dyn MediumFile> {
        let disk = self.clone();
        Box::new(SimFile { disk, number })
    }
}

impl Inner {
    fn attempt(&mut self, step: Step) -> io::Result<()> {
        let error = match (self.fault, step) {
            (DiskFault::DiskFullOnGrow, Step::Grow)
            | (DiskFault::DiskFullOnWrite, Step::Write)
            | (DiskFault::DiskFullOnSync, Step::Sync)
            | (DiskFault::DiskFull, Step::Grow | Step::Write | Step::Sync) => {
                io::ErrorKind::StorageFull.into()
            }
            (DiskFault::WriteFails, Step::Write) => io::Error::other("the head is stuck"),
            (DiskFault::SyncFails, Step::Sync) => io::Error::other("the platter is scratched"),
            (DiskFault::ReadFails, Step::Read) => io::Error::other("the sector is unreadable"),
            _ => return Ok(()),
        };
        match self.once_after {
            Some(0) => (self.fault, self.once_after) = (DiskFault::None, None),
            Some(more) => {
                self.once_after = Some(more - 1);
                return Ok(());
            }
            None => {}
        }
        Err(error)
    }

    fn carry_out(&mut self, op: DiskOp) {
        self.image.apply(&op);
        self.ops.push(op);
    }

    fn number(&self, name: &str) -> io::Result<FileNumber> {
        let number = self.image.names.get(name).copied();
        number.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Medium for SimDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        let number = self.inner().number(name)?;
        Ok(self.file(number))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        let mut inner = self.inner();
        inner.attempt(Step::Grow)?;
        let number = inner.image.next_number();
        inner.carry_out(DiskOp::Create(name.to_owned(), number));
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.attempt(Step::Grow)?;
        inner.number(from)?;
        inner.carry_out(DiskOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.number(name)?;
        inner.carry_out(DiskOp::Remove(name.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().image.names.keys().cloned().collect())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.sync(DiskOp::SyncNames)
    }

    fn rollbacks(&self) -> Option<&Path> {
        self.0.dir.get().map(PathBuf::as_path)
    }
}

/// An open file of a disk in memory.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    number: FileNumber,
}

impl MediumFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.inner().image.files[&self.number].len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.attempt(Step::Read)?;
        let file = &inner.image.files[&self.number];
        out.copy_from_slice(&file[range(file, offset, out.len())?]);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let len = inner.image.files[&self.number].len();
        if position(offset) + data.len() > len {
            inner.attempt(Step::Grow)?;
        }
        let (attempted, is_half) = match inner.attempt(Step::Write) {
            Err(error) => (Err(error), inner.fault != DiskFault::DiskFull),
            Ok(()) => (Ok(()), false),
        };
        let data = match (&attempted, is_half) {
            (Ok(()), _) => data,
            (Err(_), true) => &data[..data.len() / 2],
            (Err(_), false) => &[],
        };
        inner.carry_out(DiskOp::Write(self.number, offset, data.to_vec()));
        attempted
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.disk.inner().carry_out(DiskOp::Cut(self.number, len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync(DiskOp::Sync(self.number))
    }
}

/// The disk that had `image` on it after the steps of `ops`, but only `extra` bytes of the last one where that is not 0.
///
/// # Panics
/// If that could not have been done.
#[must_use]
pub fn replayed(mut image: Image, ops: &[DiskOp], extra: usize) -> Image {
    let whole = ops.len() - usize::from(extra > 0);
    for (i, op) in ops.iter().enumerate() {
        match op {
            DiskOp::Write(number, offset, data) if i >= whole => {
                let data = data[..extra].to_vec();
                image.apply(&DiskOp::Write(*number, *offset, data));
            }
            op => image.apply(op),
        }
    }
    image
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("a small disk")
}

fn range(bytes: &[u8], offset: u64, len: usize) -> io::Result<Range<usize>> {
    let from = position(offset);
    let range = from..from.saturating_add(len);
    match range.end <= bytes.len() {
        true => Ok(range),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
