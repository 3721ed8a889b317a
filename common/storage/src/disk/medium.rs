//! What the database of a log lies on: a file, or what a test puts in its place.

use std::fmt::Debug;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::Fsync;

/// Where the bytes of the database are. It is opened again after a disk was full.
pub(crate) trait Medium: Debug + Send + Sync + 'static {
    /// Opens it for reading and writing.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// The directory for rollback files, if there is one.
    fn dir(&self) -> Option<&Path> {
        None
    }

    /// Whether it still lies where it was opened; if not, what is wrong, in one line.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A file in a data directory.
#[derive(Debug)]
pub(crate) struct FileMedium {
    dir: PathBuf,
    dir_id: FileId,
    path: PathBuf,
    /// Set when the file is opened for the first time.
    file_id: OnceLock<FileId>,
    /// The file may be made; else it is there, or somebody has moved it away.
    is_new: bool,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl FileMedium {
    /// The file of that name in the directory `dir`; made when it is opened, if it `is_new`.
    pub(crate) fn new(dir: &Path, name: &str, is_new: bool) -> io::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            dir_id: FileId::of(&fs::metadata(dir)?),
            path: dir.join(name),
            file_id: OnceLock::new(),
            is_new,
        })
    }

    fn check_file(&self, file: &File) -> io::Result<()> {
        let metadata = file.metadata()?;
        // The database would make a new one of an empty file.
        if !self.is_new && metadata.len() == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let id = FileId::of(&metadata);
        match *self.file_id.get_or_init(|| id) == id {
            true => Ok(()),
            false => Err(io::Error::other(self.is_another(&self.path))),
        }
    }

    fn is_another(&self, path: &Path) -> String {
        format!("{} is another one than was opened", path.display())
    }
}

impl Medium for FileMedium {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(self.is_new)
            .truncate(false)
            .open(&self.path)?;
        self.check_file(&file)?;
        let backend = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(backend))
    }

    fn dir(&self) -> Option<&Path> {
        Some(&self.dir)
    }

    fn check(&self) -> Result<(), String> {
        let was = [
            (&self.dir, Some(&self.dir_id)),
            (&self.path, self.file_id.get()),
        ];
        for (path, opened) in was {
            match fs::metadata(path) {
                Ok(metadata) if opened.is_none_or(|id| *id == FileId::of(&metadata)) => {}
                Ok(_) => return Err(self.is_another(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(format!("{} is gone", path.display()));
                }
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(())
    }
}

/// What the database is handed.
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
            // A full disk that shows only here has dropped what was written: there is more wrong than a lack of room.
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
