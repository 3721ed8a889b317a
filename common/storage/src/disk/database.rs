//! The database under a log: opened, opened again after the disk was full, and left as it is in the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Builder, Database, Error, StorageBackend};

use super::Fsync;
use super::error::{OpenError, Refused};
use super::medium::{Backend, Medium};

/// What the database itself keeps in memory of its file, at most.
const CACHE_BYTES: usize = 16 << 20;

/// A database, and what it lies on.
#[derive(Debug)]
pub(super) struct OpenDatabase {
    medium: Box<dyn Medium>,
    fsync: Fsync,
    state: RwLock<State>,
    /// Why it cannot be read or written any more. Set once, and for good.
    failure: OnceLock<String>,
}

#[derive(Debug)]
enum State {
    Open(Database, Backend),
    /// The disk was full, and there was no room even to open it again. Whoever needs the database tries again.
    Closed,
}

impl OpenDatabase {
    pub(super) fn open(medium: Box<dyn Medium>, fsync: Fsync) -> Result<Self, OpenError> {
        let state = RwLock::new(State::open(&*medium, fsync)?);
        Ok(Self {
            medium,
            fsync,
            state,
            failure: OnceLock::new(),
        })
    }

    /// Looks at a database that was just opened.
    pub(super) fn look<T>(
        &self,
        look: impl FnOnce(&Database) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        match &*self.state() {
            State::Open(db, _) => look(db),
            State::Closed => Err(OpenError::Damaged("it is closed".to_owned())),
        }
    }

    /// Reads. A write that runs at the same time and finds the disk full breaks the database for its readers too:
    /// [`Refused::Interrupted`], until that write has ended.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Refused> {
        let done = self.run(read);
        if let Err(Refused::Failed(why)) = &done {
            self.fail(why);
        }
        done
    }

    /// Writes, one at a time. Where there is no room, what was there before is there again.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Refused> {
        let refused = match self.run(write) {
            Ok(done) => return Ok(done),
            // After an error the database is of no use. It is opened again with what was written before.
            Err(Refused::Full) => match self.open_again() {
                Ok(()) | Err(Refused::Full) => return Err(Refused::Full),
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        Err(Refused::Failed(match refused {
            Refused::Failed(why) => self.fail(&why),
            _ => self.fail("it was broken by a read that failed"),
        }))
    }

    fn run<T>(&self, run: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Refused> {
        if let Some(why) = self.failure() {
            return Err(Refused::Failed(why.to_owned()));
        }
        self.open_if_closed()?;
        match &*self.state() {
            // A database that reads what it has not written may panic.
            State::Open(db, _) => match catch_unwind(AssertUnwindSafe(|| run(db))) {
                Ok(done) => Ok(done?),
                Err(_) => Err(Refused::Failed(OpenError::senseless().to_string())),
            },
            State::Closed => Err(Refused::Full),
        }
    }

    /// Why it can be used no more, if so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// From now on it is used no more, because of `why` unless something has failed before. Hands out the reason.
    pub(super) fn fail(&self, why: &str) -> String {
        self.failure.get_or_init(|| why.to_owned()).clone()
    }

    /// What it lies on.
    pub(super) fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// Opens it if it is closed. Of several who find it closed one opens it, and the others go on with what that one opened.
    fn open_if_closed(&self) -> Result<(), Refused> {
        if matches!(*self.state(), State::Open(..)) {
            return Ok(());
        }
        self.open_unless_open()
    }

    /// Two may have found it closed at the same time; the second one comes here when the first one has opened it.
    fn open_unless_open(&self) -> Result<(), Refused> {
        let mut state = self.state_mut();
        if let State::Closed = *state {
            *state = State::open(&*self.medium, self.fsync).map_err(refused_to_open)?;
        }
        Ok(())
    }

    /// Closes a database that is broken, and opens it.
    fn open_again(&self) -> Result<(), Refused> {
        // The lock on its file has to go before the file is opened again.
        drop(std::mem::replace(&mut *self.state_mut(), State::Closed));
        self.open_if_closed()
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(medium: &dyn Medium, fsync: Fsync) -> Result<Self, OpenError> {
        let backend = Backend::new(medium.open().map_err(Error::Io)?, fsync);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let db = builder.create_with_backend(backend.clone());
        Ok(Self::Open(db.map_err(Error::from)?, backend))
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        // Every commit has left the file as it is to be opened. Closing the database writes once more, and ends the process
        // where the file makes no sense; only its lock has to go.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(db, backend) = std::mem::replace(state, State::Closed) {
            std::mem::forget(db);
            backend.close().ok();
        }
    }
}

fn refused_to_open(error: OpenError) -> Refused {
    match error {
        OpenError::Io(error) => error.into(),
        error => Refused::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::SimDisk;

    fn database(disk: &SimDisk) -> OpenDatabase {
        OpenDatabase::open(Box::new(disk.clone()), Fsync::Always).unwrap()
    }

    /// Two readers find it closed: the second one must not open it under the first one.
    #[test]
    fn a_healthy_database_is_not_opened_again() {
        let disk = SimDisk::default();
        let database = database(&disk);
        *database.state_mut() = State::Closed;
        database.open_unless_open().unwrap();
        database.open_unless_open().unwrap();
        database.open_if_closed().unwrap();
        assert_eq!(disk.times_opened(), 2, "at the start, and once more");
    }

    #[test]
    fn a_read_that_was_interrupted_by_a_write_is_no_failure() {
        let database = database(&SimDisk::default());
        let interrupted = database.read(|_| Err::<(), _>(Error::PreviousIo));
        assert!(matches!(interrupted, Err(Refused::Interrupted)));
        assert_eq!(database.failure(), None);
        assert!(database.read(|_| Ok(())).is_ok());
        // A write finds a database in that state only if a read has failed.
        let broken = database.write(|_| Err::<(), _>(Error::PreviousIo));
        assert!(matches!(broken, Err(Refused::Failed(_))));
        assert!(database.failure().is_some());
    }

    #[test]
    fn a_panic_in_the_database_is_a_failure_for_good() {
        let database = database(&SimDisk::default());
        let panicked =
            database.read(|_| -> Result<(), Error> { std::panic::resume_unwind(Box::new(())) });
        assert!(matches!(panicked, Err(Refused::Failed(_))));
        assert!(matches!(database.read(|_| Ok(())), Err(Refused::Failed(_))));
    }
}
