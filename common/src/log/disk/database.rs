//! The database under a log: opened, opened again after the disk was full, and left as it is in the end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, PoisonError, RwLock};

use redb::{Builder, Database, Error, StorageBackend};

use super::error::{OpenError, refused, refused_io, unusable};
use super::medium::{Backend, Medium};
use crate::log::StoreError;

/// What the database itself keeps in memory of its file, at most.
const CACHE_BYTES: usize = 16 << 20;

/// A database, and what it lies on.
#[derive(Debug)]
pub(super) struct OpenDatabase {
    medium: Box<dyn Medium>,
    /// `None` while it could not be opened again.
    db: RwLock<Option<(Database, Backend)>>,
    /// Why it cannot be read or written any more.
    failure: OnceLock<String>,
}

impl OpenDatabase {
    pub(super) fn open(medium: Box<dyn Medium>) -> Result<Self, OpenError> {
        let db = RwLock::new(Some(open(&*medium)?));
        Ok(Self {
            medium,
            db,
            failure: OnceLock::new(),
        })
    }

    /// Looks at one that was just opened.
    pub(super) fn look<T>(
        &self,
        run: impl FnOnce(&Database) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        match db.as_ref() {
            Some((db, _)) => run(db),
            None => Err(OpenError::Damaged("it is closed".to_owned())),
        }
    }

    /// Reads or writes; a database that reads what it has not written may panic.
    pub(super) fn with<T>(
        &self,
        run: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        if self.is_closed() {
            self.open_again()?;
        }
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let gone = || StoreError::Failed("it could not be opened again".to_owned());
        let (db, _) = db.as_ref().ok_or_else(gone)?;
        let run = catch_unwind(AssertUnwindSafe(|| run(db)));
        let done = match run {
            Ok(result) => result.map_err(|error| refused(&error)),
            Err(_) => Err(StoreError::Failed(OpenError::senseless().to_string())),
        };
        if let Err(StoreError::Failed(why)) = &done {
            self.failure.get_or_init(|| why.clone());
        }
        done
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    fn is_closed(&self) -> bool {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.is_none()
    }

    /// After a disk was full the database is closed for good: opened again, it has what was written before. Where there is
    /// no room even for that, it is tried again when it is needed.
    pub(super) fn open_again(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        drop(db.take()); // its lock has to go first
        let again = open(&*self.medium).map_err(|error| match error {
            OpenError::Io(error) => refused_io(&error),
            error => StoreError::Failed(error.to_string()),
        })?;
        *db = Some(again);
        Ok(())
    }
}

impl Drop for OpenDatabase {
    fn drop(&mut self) {
        // Every commit has left the file as it is to be opened. Closing the database writes once more, and ends the process
        // where the file makes no sense; only its lock has to go.
        let db = self.db.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((db, backend)) = db.take() {
            std::mem::forget(db);
            backend.close().ok();
        }
    }
}

fn open(medium: &dyn Medium) -> Result<(Database, Backend), OpenError> {
    let inner = medium.open().map_err(|e| unusable(Error::Io(e)))?;
    let backend = Backend::new(inner, medium.fsync());
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let db = builder.create_with_backend(backend.clone());
    Ok((db.map_err(|error| unusable(error.into()))?, backend))
}
