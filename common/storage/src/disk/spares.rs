//! The next segment, made before it is needed: a file of zeros, so that a write into it changes nothing but its bytes, and finds
//! the room that it needs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::Refused;
use super::medium::{Medium, MediumFile};
use super::segment::SPARE;
use super::store::synced;

/// So many zeros are written at one time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A file of zeros that has no segment's name yet.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) file: Box<dyn MediumFile>,
    pub(super) bytes: u64,
}

/// One spare at most. Who holds the slot makes one, or makes a segment of it: both write to the file of one name.
#[derive(Debug, Default)]
pub(super) struct Spares {
    slot: Mutex<Option<Spare>>,
    /// There was no room for one: it is made when it is needed, and not tried before.
    is_refused: AtomicBool,
}

impl Spares {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Spare>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is none, and nobody makes one.
    pub(super) fn is_wanted(&self) -> bool {
        let is_empty = || self.slot.try_lock().is_ok_and(|slot| slot.is_none());
        !self.is_refused.load(Ordering::Relaxed) && is_empty()
    }

    /// The spare, if it has `least` bytes; else a new one of so many `bytes`, or of `least` where the disk is nearly full.
    pub(super) fn take(
        &self,
        slot: &mut Option<Spare>,
        medium: &dyn Medium,
        bytes: u64,
        least: u64,
    ) -> Result<Spare, Refused> {
        if let Some(spare) = slot.take_if(|spare| spare.bytes >= least) {
            return Ok(spare);
        }
        *slot = None;
        let bytes = bytes.max(least);
        let made = match make(medium, bytes) {
            Err(Refused::Full) if bytes > least => make(medium, least),
            made => made,
        };
        self.is_refused.store(false, Ordering::Relaxed);
        made
    }

    /// Makes a spare where there is none, and room for it.
    pub(super) fn fill(
        &self,
        slot: &mut Option<Spare>,
        medium: &dyn Medium,
        bytes: u64,
    ) -> Result<(), Refused> {
        if slot.is_some() {
            return Ok(());
        }
        match make(medium, bytes) {
            Ok(made) => {
                // Durable in its full size: then a write into it changes its bytes alone.
                synced(made.file.sync())?;
                *slot = Some(made);
            }
            Err(Refused::Full) => self.is_refused.store(true, Ordering::Relaxed),
            Err(refused) => return Err(refused),
        }
        Ok(())
    }
}

fn make(medium: &dyn Medium, bytes: u64) -> Result<Spare, Refused> {
    match make_file(medium, bytes) {
        Ok(file) => Ok(Spare { file, bytes }),
        Err(error) => {
            medium.remove(SPARE).ok();
            Err(error.into())
        }
    }
}

/// Makes the file of a spare.
pub(super) fn make_file(medium: &dyn Medium, bytes: u64) -> io::Result<Box<dyn MediumFile>> {
    let file = medium.create(SPARE)?;
    let mut at = 0;
    while at < bytes {
        let some = (bytes - at).min(ZEROS.len() as u64);
        file.write_at(at, &ZEROS[..some as usize])?;
        at += some;
    }
    Ok(file)
}
