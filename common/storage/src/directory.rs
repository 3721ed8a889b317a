//! A data directory: one node's, and no other's.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use replog_protocol::ids::NodeId;
use replog_protocol::node::Restored;
use serde::{Deserialize, Serialize};

use crate::disk::{DiskJournal, DiskOptions, FileMedium, Fsync, OpenError, sync_dir};

/// The format of what this program writes. Format 1 is converted when it is opened.
pub const FORMAT: u32 = 2;
/// The file in the directory.
const FILE: &str = "log.redb";
/// Its name while it is made.
const NEW_FILE: &str = "log.redb.new";

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It gives entries their positions.
    Master,
    /// It follows a master.
    Secondary,
}

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// What the node is.
    pub role: Role,
    /// The name of the node, if it has one.
    pub node: Option<NodeId>,
    /// The cluster of the node.
    pub cluster: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Master => write!(f, "the master")?,
            Role::Secondary => write!(f, "the secondary")?,
        }
        if let Some(node) = &self.node {
            write!(f, " {node}")?;
        }
        write!(f, " of cluster {}", self.cluster)
    }
}

/// Opens the log in the data directory `dir`, which is made where only its last part is missing. Hands out what was stored
/// there. May take a while: an index of contents that was not kept is made now.
///
/// # Errors
/// The directory is another node's, in use, damaged, of a newer format; or the disk refuses.
pub fn open(dir: &Path, options: &DiskOptions) -> Result<(DiskJournal, Restored), OpenError> {
    make(dir).map_err(OpenError::Io)?;
    if !dir.join(FILE).try_exists().map_err(OpenError::Io)? {
        create_file(dir, options)?;
    }
    // The names in the directory too; a start that was killed may not have come to that.
    sync_dir(dir).map_err(OpenError::Io)?;
    let medium = FileMedium::new(dir, FILE, false).map_err(OpenError::Io)?;
    DiskJournal::open(Box::new(medium), options)
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => match dir.parent() {
            Some(parent) if parent != Path::new("") => sync_dir(parent),
            _ => sync_dir(Path::new(".")),
        },
    }
}

/// An empty log gets its name when it is whole: what a start that was killed has left under another name is none.
fn create_file(dir: &Path, options: &DiskOptions) -> Result<(), OpenError> {
    let alone = File::open(dir).map_err(OpenError::Io)?;
    // Not every file system locks a directory; the file in it is locked in any case.
    if let Err(TryLockError::WouldBlock) = alone.try_lock() {
        return Err(OpenError::Locked);
    }
    if dir.join(FILE).try_exists().map_err(OpenError::Io)? {
        return Ok(()); // another start was faster
    }
    match fs::remove_file(dir.join(NEW_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::Io(error)),
        _ => {}
    }
    let medium = FileMedium::new(dir, NEW_FILE, true).map_err(OpenError::Io)?;
    let synced = DiskOptions {
        fsync: Fsync::Always,
        ..options.clone()
    };
    drop(DiskJournal::open(Box::new(medium), &synced)?);
    fs::rename(dir.join(NEW_FILE), dir.join(FILE)).map_err(OpenError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// The second one has found no file, and goes on when the first one has made it.
    #[test]
    fn of_two_first_starts_one_makes_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let options = samples::disk_options(0);
        let (mut journal, _) = open(dir.path(), &options).unwrap();
        create_file(dir.path(), &options).unwrap();
        samples::append(&mut journal, samples::entries(1..=1, 1));
        drop(journal);
        let (_, restored) = open(dir.path(), &options).unwrap();
        assert_eq!(restored.last.seq.0, 1);
    }
}
