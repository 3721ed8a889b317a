//! Where the files of a log are: in a directory, or in what a test puts in its place.

use std::fmt::Debug;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// A directory with the files of one log, flat, by their names.
pub(crate) trait Medium: Debug + Send + Sync + 'static {
    /// Opens a file that is there, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>>;

    /// Makes an empty file; one that had that name is emptied.
    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>>;

    /// Gives a file another name, which no other file has.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file away.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Bytes of all files together; of one that is taken away meanwhile, none.
    fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for name in self.list()? {
            bytes += unless_gone(self.open(&name).and_then(|file| file.len()))?;
        }
        Ok(bytes)
    }

    /// Makes the names durable.
    fn sync_names(&self) -> io::Result<()>;

    /// The directory for rollback files, if there is one.
    fn rollbacks(&self) -> Option<&Path> {
        None
    }

    /// Whether it still lies where it was opened, and `file` is the one that is called `name`; if not, what is wrong, in one
    /// line.
    fn check(&self, name: &str, file: &dyn MediumFile) -> Result<(), String> {
        let _ = (name, file);
        Ok(())
    }
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "nobody asks for that")]
pub(crate) trait MediumFile: Debug + Send + Sync + 'static {
    /// Bytes of the file.
    fn len(&self) -> io::Result<u64>;

    /// Fills `out` with what is at `offset`.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`; after an error some of it may be there.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts the file off.
    fn cut(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;

    /// Which file it is, whatever its name, where that can be told.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
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

/// The name of the directory of segments in a data directory.
const LOG_DIR: &str = "log";
/// The file that is locked while the log is open.
const LOCK_FILE: &str = "lock";

/// The directory `log` in a data directory; no other process has it.
#[derive(Debug)]
pub(crate) struct Directory {
    dir: PathBuf,
    log: PathBuf,
    /// Which directories they were.
    ids: [FileId; 2],
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    /// Takes the data directory `dir`, which is there, for this process alone.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let log = dir.join(LOG_DIR);
        match fs::create_dir(&log) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        // Both names: a start that was killed may not have come to that.
        sync_dir(dir)?;
        let is_directory = fs::metadata(&log)?.is_dir();
        if !is_directory {
            return Err(OpenError::Damaged("its log is no directory".to_owned()));
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let lock = options.open(log.join(LOCK_FILE))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let ids = [
            FileId::of(&fs::metadata(dir)?),
            FileId::of(&fs::metadata(&log)?),
        ];
        Ok(Self {
            dir: dir.to_owned(),
            log,
            ids,
            _lock: lock,
        })
    }
}

impl Medium for Directory {
    fn open(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.log.join(name))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn MediumFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(options.open(self.log.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.log.join(from), self.log.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.log.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.log)?.map(|found| Ok(found?.file_name().into_string()));
        let names: io::Result<Vec<_>> = names.collect();
        Ok(names?.into_iter().filter_map(Result::ok).collect())
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for found in fs::read_dir(&self.log)? {
            // No file is opened: descriptors are for those who read and write.
            bytes += unless_gone(found?.metadata().map(|metadata| metadata.len()))?;
        }
        Ok(bytes)
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_dir(&self.log)
    }

    fn rollbacks(&self) -> Option<&Path> {
        Some(&self.dir)
    }

    fn check(&self, name: &str, file: &dyn MediumFile) -> Result<(), String> {
        let file_id = file.id().map_err(|error| error.to_string())?;
        let [dir_id, log_id] = self.ids.map(Some);
        let path = self.log.join(name);
        for (path, opened) in [(&self.dir, dir_id), (&self.log, log_id), (&path, file_id)] {
            let path_is = |what: &str| Err(format!("{} {what}", path.display()));
            match fs::metadata(path) {
                Ok(metadata) if opened == Some(FileId::of(&metadata)) => {}
                Ok(_) => return path_is("is another one than was opened"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return path_is("is gone"),
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Ok(())
    }
}

impl MediumFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(FileId::of(&self.metadata()?)))
    }
}

/// The bytes of a file that was listed; none where it is gone by now.
fn unless_gone(bytes: io::Result<u64>) -> io::Result<u64> {
    match bytes {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        bytes => bytes,
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
