//! A data directory: one node's, and no other's.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use replog_protocol::ids::NodeId;
use replog_protocol::node::Restored;
use serde::{Deserialize, Serialize};

use crate::disk::{Directory, DiskJournal, DiskOptions, OpenError, sync_dir};

/// The format of what this program writes. Formats 1 and 2 were files of a database, and are refused.
pub const FORMAT: u32 = 3;
/// The file of the former formats.
const FORMER_FILE: &str = "log.redb";

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
/// there. May take a while: an index that was not kept is made now.
///
/// # Errors
/// The directory is another node's, in use, damaged, of a newer or a former format; or the disk refuses.
pub fn open(dir: &Path, options: &DiskOptions) -> Result<(DiskJournal, Restored), OpenError> {
    make(dir)?;
    if dir.join(FORMER_FILE).try_exists()? {
        return Err(OpenError::Former);
    }
    DiskJournal::open(Box::new(Directory::open(dir)?), options)
}

fn make(dir: &Path) -> Result<(), OpenError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().filter(|p| *p != Path::new(""));
            Err(OpenError::NoParent(parent.unwrap_or(dir).to_owned()))
        }
        Err(error) => Err(error.into()),
        Ok(()) => match dir.parent() {
            Some(parent) if parent != Path::new("") => Ok(sync_dir(parent)?),
            _ => Ok(sync_dir(Path::new("."))?),
        },
    }
}
