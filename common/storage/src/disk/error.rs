//! What a disk, or the database on it, refuses.

use std::io::ErrorKind::{
    FileTooLarge, InvalidData, IsADirectory, QuotaExceeded, StorageFull, UnexpectedEof,
};

use crate::directory::{FORMAT, Owner};

/// Why a data directory cannot be opened. The text is one line, and says what helps.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("it is in use by another process")]
    Locked,
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
        /// The format of the file.
        found: String,
        /// The newest format that can be read.
        expected: u32,
    },
    /// It is not what was written.
    #[error(
        "it is damaged ({0}): move its file away (`mv log.redb log.redb.damaged` there) and start again; what the other nodes hold is fetched from them"
    )]
    Damaged(String),
    /// The disk refuses.
    #[error("{0}")]
    Io(std::io::Error),
}

impl OpenError {
    /// The database stumbled over what it read.
    pub(super) fn senseless() -> Self {
        Self::Damaged("it makes no sense".to_owned())
    }
}

impl From<redb::Error> for OpenError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            redb::Error::UpgradeRequired(found) => Self::Format {
                found: format!("{found} of its database"),
                expected: FORMAT,
            },
            redb::Error::Io(error) => match error.kind() {
                InvalidData => Self::Damaged("it is no log".to_owned()),
                UnexpectedEof => Self::Damaged("it is cut off".to_owned()),
                IsADirectory => Self::Damaged("its log.redb is a directory".to_owned()),
                _ => Self::Io(error),
            },
            redb::Error::Corrupted(why) => Self::Damaged(why),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Why the log could not be read or written.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is no room. Nothing was written, and what is there can be read.
    Full,
    /// A write that ran at the same time has broken the database: when that write has ended, it can be tried again.
    Interrupted,
    /// The disk failed.
    Failed(String),
}

impl From<redb::Error> for Refused {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo => Self::Interrupted,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}
