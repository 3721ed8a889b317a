//! A data directory: one node's, and no other's.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use redb::Database;
use serde::{Deserialize, Serialize};

use super::error::unusable;
use super::medium::OnFile;
use super::{DiskLog, DiskOptions, Fsync, OpenError, tables};
use crate::log::Standing;
use crate::types::NodeId;

/// The format of what this program writes.
pub(super) const FORMAT: u32 = 1;
/// The file in the directory.
const FILE: &str = "log.redb";
/// Its name while it is made.
const NEW_FILE: &str = "log.redb.new";

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It gives the positions.
    Master,
    /// It follows.
    Secondary,
}

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// What it is.
    pub role: Role,
    /// Its name, if it has one.
    pub node: Option<NodeId>,
    /// The cluster.
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

/// What is written of the owner; the format is looked at before the rest.
#[derive(Serialize, Deserialize)]
struct Label {
    format: u32,
    #[serde(flatten)]
    owner: Option<Owner>,
}

/// Opens the log in the directory `dir`, which is made where only its last part is missing.
///
/// # Errors
/// As [`DiskLog::open`]; or the directory cannot be made.
pub fn open_directory(
    dir: &Path,
    fsync: Fsync,
    owner: &Owner,
    options: &DiskOptions,
) -> Result<(DiskLog, Standing), OpenError> {
    make(dir).map_err(OpenError::Io)?;
    let path = dir.join(FILE);
    if !path.try_exists().map_err(OpenError::Io)? {
        create_file(dir, owner, options)?;
    }
    // The names in it too; a start that was killed may not have come to that.
    sync(dir).map_err(OpenError::Io)?;
    let is_new = false;
    let medium = OnFile {
        path,
        fsync,
        is_new,
    };
    DiskLog::open(Box::new(medium), owner, options)
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => match dir.parent() {
            Some(parent) if parent != Path::new("") => sync(parent),
            _ => sync(Path::new(".")),
        },
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An empty log gets its name when it is whole: what a start that was killed has left under another one is none.
fn create_file(dir: &Path, owner: &Owner, options: &DiskOptions) -> Result<(), OpenError> {
    let alone = File::open(dir).map_err(OpenError::Io)?;
    // Not every file system locks a directory; the file in it is locked in any case.
    if let Err(TryLockError::WouldBlock) = alone.try_lock() {
        return Err(OpenError::Locked);
    }
    if dir.join(FILE).try_exists().map_err(OpenError::Io)? {
        return Ok(()); // somebody was faster
    }
    let new = dir.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::Io(error)),
        _ => {}
    }
    let medium = OnFile {
        path: new.clone(),
        fsync: Fsync::Always,
        is_new: true,
    };
    drop(DiskLog::open(Box::new(medium), owner, options)?);
    fs::rename(&new, dir.join(FILE)).map_err(OpenError::Io)
}

/// Whether the log belongs to `owner`; a new one does from now on.
pub(super) fn check_owner(db: &Database, owner: &Owner) -> Result<(), OpenError> {
    let Some(found): Option<Label> = tables::fact(db, tables::OWNER).map_err(unusable)? else {
        let label = Label {
            format: FORMAT,
            owner: Some(owner.clone()),
        };
        return tables::create(db, &label).map_err(unusable);
    };
    match found.owner {
        _ if found.format != FORMAT => Err(OpenError::Format {
            found: found.format.to_string(),
            expected: FORMAT,
        }),
        Some(found) if found == *owner => Ok(()),
        Some(found) => Err(OpenError::OtherOwner {
            found,
            expected: owner.clone(),
        }),
        None => Err(OpenError::Damaged("it does not say whose it is".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tape::Tape;
    use crate::log::{Batch, LogStore, contract};
    use crate::protocol::dedup::DeduplicateBy;
    use crate::types::Seq;

    fn owner() -> Owner {
        Owner {
            role: Role::Master,
            node: None,
            cluster: "default".to_owned(),
        }
    }

    fn options() -> DiskOptions {
        DiskOptions {
            cache_bytes: 0,
            deduplicate_by: DeduplicateBy::MessageId,
        }
    }

    /// The second one has found no file, and goes on when the first one has made it.
    #[test]
    fn of_two_first_starts_one_makes_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || open_directory(dir.path(), Fsync::Always, &owner(), &options());
        let (log, _) = open().expect("it is new");
        create_file(dir.path(), &owner(), &options()).expect("nothing to do");
        let standing = Standing {
            lives: vec![crate::protocol::epochs::Run {
                first: Seq(1),
                epoch: contract::entry(1, 1).epoch,
                by: None,
            }],
            ..Standing::default()
        };
        log.write(&Batch {
            entries: &[contract::entry(1, 1)],
            standing: Some(&standing),
            ..Batch::default()
        })
        .expect("written");
        drop(log);
        assert_eq!(open().expect("it is there").0.last().seq, Seq(1));
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let tape = Tape::default();
        let (owner, options) = (owner(), options());
        let open = || DiskLog::open(Box::new(tape.clone()), &owner, &options);
        let (log, _) = open().expect("it is new");
        let label = Label {
            format: FORMAT + 1,
            owner: None, // whatever that version writes there
        };
        let created = (log.shared.database).with(|db| tables::create(db, &label));
        created.expect("written");
        drop(log);
        let refused = open().expect_err("it is not ours to read").to_string();
        assert_eq!(
            refused,
            "it has format 2, this program reads 1: start the version that wrote it"
        );
    }
}
