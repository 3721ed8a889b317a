//! What a log's file lies on.

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// When what was written is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before anything is answered: it survives power loss.
    #[default]
    Always,
    /// When the operating system likes to: it survives the end of the process.
    Never,
}

impl Fsync {
    /// Its word in the settings and in `/health`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// Where the bytes are; a test puts something else under the log. Opened again after a disk was full.
pub trait Medium: Debug + Send + Sync + 'static {
    /// Opens it.
    ///
    /// # Errors
    /// It cannot be opened, for reading and for writing.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Whether it is synced before a write counts.
    fn fsync(&self) -> Fsync {
        Fsync::Always
    }
}

/// A file.
#[derive(Clone, Debug)]
pub(super) struct OnFile {
    pub(super) path: PathBuf,
    pub(super) fsync: Fsync,
    /// It may be made; else it is one that somebody has moved away.
    pub(super) is_new: bool,
}

impl Medium for OnFile {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(self.is_new)
            .truncate(false)
            .open(&self.path)?;
        // The database would make a new one of it.
        if !self.is_new && file.metadata()?.len() == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    }

    fn fsync(&self) -> Fsync {
        self.fsync
    }
}

/// What the database is given.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    inner: Arc<dyn StorageBackend>,
    fsync: Fsync,
}

impl Backend {
    pub(super) fn new(inner: Box<dyn StorageBackend>, fsync: Fsync) -> Self {
        let inner = Arc::from(inner);
        Self { inner, fsync }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.fsync {
            // A full disk that shows only here has dropped what was written: that is no matter of room any more.
            Fsync::Always => self.inner.sync_data().map_err(io::Error::other),
            Fsync::Never => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }
}
