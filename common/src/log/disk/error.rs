//! What a disk, or the database on it, says no to.

use std::io::ErrorKind::{InvalidData, UnexpectedEof};

use super::directory::{FORMAT, Owner};
use crate::log::StoreError;

/// Why a log cannot be opened; its text is one line, and says what helps.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("it is in use by another process")]
    Locked,
    /// It belongs to somebody else.
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
        /// What can be read.
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
    pub(super) fn senseless() -> Self {
        Self::Damaged("it makes no sense".to_owned())
    }
}

pub(super) fn unusable(error: redb::Error) -> OpenError {
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::Locked,
        redb::Error::UpgradeRequired(found) => OpenError::Format {
            found: format!("{found} of its database"),
            expected: FORMAT,
        },
        redb::Error::Io(error) if error.kind() == InvalidData => {
            OpenError::Damaged("it is no log".to_owned())
        }
        redb::Error::Io(error) if error.kind() == UnexpectedEof => {
            OpenError::Damaged("it is cut off".to_owned())
        }
        redb::Error::Io(error) => OpenError::Io(error),
        redb::Error::Corrupted(why) => OpenError::Damaged(why),
        error => OpenError::Damaged(error.to_string()),
    }
}

pub(super) fn refused(error: &redb::Error) -> StoreError {
    match error {
        redb::Error::Io(error) => refused_io(error),
        error => StoreError::Failed(error.to_string()),
    }
}

pub(super) fn refused_io(error: &std::io::Error) -> StoreError {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full,
        _ => StoreError::Failed(error.to_string()),
    }
}
