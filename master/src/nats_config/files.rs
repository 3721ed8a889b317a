//! A directory that is made as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::NatsConfigError;

/// Files to be written below one directory.
#[derive(Default)]
pub(super) struct Files(Vec<NewFile>);

struct NewFile {
    path: PathBuf,
    content: String,
    mode: u32,
}

impl Files {
    /// A file that anybody may read.
    pub(super) fn add(&mut self, path: impl Into<PathBuf>, content: impl Into<String>) {
        self.push(path.into(), content.into(), 0o644);
    }

    /// A file that its owner alone may read.
    pub(super) fn add_secret(&mut self, path: impl Into<PathBuf>, content: impl Into<String>) {
        self.push(path.into(), content.into(), 0o600);
    }

    fn push(&mut self, path: PathBuf, content: String, mode: u32) {
        self.0.push(NewFile {
            path,
            content,
            mode,
        });
    }

    /// The paths, below the directory.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|file| file.path.as_path())
    }

    /// Makes the directory, which must not be there or be empty.
    pub(super) fn write(&self, dir: &Path) -> Result<(), NatsConfigError> {
        let is_empty = match fs::read_dir(dir) {
            Ok(mut names) => names.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error.into()),
        };
        let (Some(parent), Some(name), true) = (dir.parent(), dir.file_name(), is_empty) else {
            return Err(NatsConfigError::NotEmpty(dir.to_owned()));
        };
        let mut unfinished = name.to_owned();
        unfinished.push(".unfinished");
        let unfinished = parent.join(unfinished);
        if unfinished.try_exists()? {
            return Err(NatsConfigError::NotEmpty(unfinished));
        }
        let written = self.write_into(&unfinished);
        // Taken over by a directory that is empty; one that is not empty any more stays, and this fails.
        let written = written.and_then(|()| fs::rename(&unfinished, dir));
        if written.is_err() {
            // What is left of it says by its name what it is.
            let _ = fs::remove_dir_all(&unfinished);
        }
        Ok(written?)
    }

    fn write_into(&self, dir: &Path) -> io::Result<()> {
        for NewFile {
            path,
            content,
            mode,
        } in &self.0
        {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            let mut file = File::options();
            let file = file.write(true).create_new(true).mode(*mode);
            file.open(path)?.write_all(content.as_bytes())?;
        }
        Ok(())
    }
}
