//! What a disk, or what is on it, refuses.

use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
use std::path::PathBuf;

use crate::directory::Owner;

/// Why a data directory cannot be opened. The text is one line, and says what helps.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("it is in use by another process")]
    Locked,
    /// The directory in which it is to be made is not there.
    #[error(
        "{0} does not exist, and only the last directory of the path is made: make that one first (`mkdir -p {0}`), or mount \
         what should be there"
    )]
    NoParent(PathBuf),
    /// It belongs to another node.
    #[error("it belongs to {found}, this is {expected}: each node needs a directory of its own")]
    OtherOwner {
        /// Whose it is.
        found: Owner,
        /// Who wants it.
        expected: Owner,
    },
    /// Another version of the program has written it.
    #[error(
        "it has format {found}, this program reads {expected}: start the version that wrote it"
    )]
    Format {
        /// The format that was found.
        found: u32,
        /// The format that can be read.
        expected: u32,
    },
    /// A former version of the program has written it, in a file that this one cannot read.
    #[error(
        "its log.redb is of a former version: start that version, export the log (`curl localhost:8000/messages`), and start \
         this one on an empty directory (a secondary, and a master whose secondaries have the log, is filled by the others; else append the exported messages again, each with its message_id)"
    )]
    Former,
    /// It is not what was written.
    #[error(
        "it is damaged ({0}): move its log away (`mv log log.damaged` there) and start again; what the other nodes hold is fetched from them"
    )]
    Damaged(String),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Why the log could not be written.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is no room. Nothing was written, and what is there can be read.
    Full,
    /// The disk failed.
    Failed(String),
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}
