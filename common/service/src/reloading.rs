//! What files say, read again when they change: secrets are renewed while a program runs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the files are looked at. Their bytes are compared, not their times: a secret that Kubernetes mounts is a link to
/// another directory at each change, and two changes within one tick of a file system's clock have one time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Makes a value of the bytes of its files, in their order.
type Make<T> = dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync;

/// Why files cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableFile {
    /// The file; of several that do not fit together, the first.
    pub path: PathBuf,
    /// Why not. Never what is in it.
    pub why: String,
}

impl fmt::Display for UnusableFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

/// A value made of files, made again when they change. Files that are gone or cannot be used change nothing: what was made
/// before stays, and [`Reloading::problem`] says so. Cheap to clone; all clones are one.
pub struct Reloading<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// What the value is, in log lines.
    what: &'static str,
    paths: Vec<PathBuf>,
    make: Box<Make<T>>,
    current: RwLock<Arc<T>>,
    last_look: Mutex<LastLook>,
}

struct LastLook {
    /// What was read; nothing where a file could not be read.
    contents: Option<Vec<Vec<u8>>>,
    problem: Option<UnusableFile>,
}

impl<T> Clone for Reloading<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret.
        f.debug_struct("Reloading")
            .field("what", &self.0.what)
            .field("paths", &self.0.paths)
            .finish_non_exhaustive()
    }
}

impl<T> Reloading<T> {
    /// The value that `make` makes of the files at `paths`; without any path a value that stays. `what` names the value in log
    /// lines.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than 1 MiB, or of which no value can be made.
    pub fn read(
        what: &'static str,
        paths: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, UnusableFile> {
        let contents = read_all(&paths)?;
        let value = make(&contents).map_err(|why| unusable(&paths, why))?;
        Ok(Self(Arc::new(Shared {
            what,
            paths,
            make: Box::new(make),
            current: RwLock::new(Arc::new(value)),
            last_look: Mutex::new(LastLook {
                contents: Some(contents),
                problem: None,
            }),
        })))
    }

    /// The value that holds now.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        let current = self.0.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the files as they are now are not what [`Reloading::current`] is made of, if they are not.
    #[must_use]
    pub fn problem(&self) -> Option<UnusableFile> {
        let last_look = self.0.last_look.lock();
        let last_look = last_look.unwrap_or_else(PoisonError::into_inner);
        last_look.problem.clone()
    }

    /// Reads the files again, and makes the value again where they have changed since the last look. Waits for the disk.
    pub fn look(&self) {
        let Shared {
            what,
            paths,
            make,
            current,
            last_look,
        } = &*self.0;
        let read = read_all(paths);
        let mut last_look = last_look.lock().unwrap_or_else(PoisonError::into_inner);
        let (contents, made) = match read {
            Ok(contents) if last_look.contents.as_ref() == Some(&contents) => return,
            Ok(contents) => {
                let made = make(&contents).map_err(|why| unusable(paths, why));
                (Some(contents), made)
            }
            Err(problem) => (None, Err(problem)),
        };
        last_look.contents = contents;
        match made {
            Ok(value) => {
                *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                last_look.problem = None;
                info!("the {what} were read again");
            }
            Err(problem) => {
                if last_look.problem.as_ref() != Some(&problem) {
                    warn!(%problem, "the {what} cannot be read again: those read before stay");
                }
                last_look.problem = Some(problem);
            }
        }
    }
}

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Looks once a second until `stop` is cancelled.
    pub async fn keep_up(self, stop: CancellationToken) {
        if self.0.paths.is_empty() {
            return;
        }
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            let looking = self.clone();
            let looked = tokio::task::spawn_blocking(move || looking.look()).await;
            if let Err(error) = looked {
                warn!(%error, "the {} cannot be looked at, which is a bug", self.0.what);
            }
        }
    }
}

fn unusable(paths: &[PathBuf], why: String) -> UnusableFile {
    let path = paths.first().cloned().unwrap_or_default();
    UnusableFile { path, why }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, UnusableFile> {
    let read = |path: &PathBuf| {
        read_file(path).map_err(|error| UnusableFile {
            path: path.clone(),
            why: error.to_string(),
        })
    };
    paths.iter().map(read).collect()
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe that nobody writes to would not even be opened.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).is_ok_and(|len| len <= MAX_FILE_BYTES) {
        true => Ok(bytes),
        false => Err(io::Error::other("larger than 1 MiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(files: &[Vec<u8>]) -> Result<u32, String> {
        let text = files.concat();
        let text = String::from_utf8(text).map_err(|_| "no text".to_owned())?;
        text.trim().parse().map_err(|_| "no number".to_owned())
    }

    #[test]
    fn what_changes_is_read_again_and_what_cannot_be_used_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        let problem = Reloading::read("numbers", vec![path.clone()], number).unwrap_err();
        assert_eq!(problem.path, path);
        std::fs::write(&path, "1").unwrap();
        let numbers = Reloading::read("numbers", vec![path.clone()], number).unwrap();
        assert_eq!(*numbers.current(), 1);
        // The same length, and maybe the same time.
        std::fs::write(&path, "2").unwrap();
        numbers.look();
        assert_eq!((*numbers.current(), numbers.problem()), (2, None));
        std::fs::write(&path, "x").unwrap();
        numbers.look();
        let why = numbers.problem().map(|problem| problem.why);
        assert_eq!((*numbers.current(), why), (2, Some("no number".to_owned())));
        std::fs::remove_file(&path).unwrap();
        numbers.look();
        assert_eq!(*numbers.current(), 2);
        assert_ne!(numbers.problem().unwrap().why, "no number");
        std::fs::write(&path, "2").unwrap();
        numbers.look();
        assert_eq!((*numbers.current(), numbers.problem()), (2, None));
    }

    #[test]
    fn what_has_no_end_or_lets_wait_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (large, pipe) = (dir.path().join("large"), dir.path().join("pipe"));
        File::create(&large)
            .and_then(|file| file.set_len(MAX_FILE_BYTES + 1))
            .unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        for (path, why) in [
            (large, "larger than 1 MiB"),
            (pipe, "not a regular file"),
            (PathBuf::from("/dev/zero"), "not a regular file"),
            (dir.path().to_owned(), "not a regular file"),
        ] {
            let problem = Reloading::read("numbers", vec![path], number).unwrap_err();
            assert_eq!(problem.why, why);
        }
    }
}
