//! Where a node keeps its log, as its settings say.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tracing::{error, info};

use super::program::Failure;
use super::settings::CommonArgs;
use crate::log::disk::{DiskOptions, Owner, Role, open_directory};
use crate::log::{LogStore, MemoryLog, Standing, StoreError};
use crate::protocol::dedup::DeduplicateBy;
use crate::types::{NodeId, Seq};

/// A log, and what its node has to know again.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The log.
    pub log: Arc<dyn LogStore>,
    /// Where its node stood, when it is on a disk.
    pub standing: Option<Standing>,
    /// The directory.
    pub dir: Option<PathBuf>,
    /// What `/health` says of it.
    pub shown: ShownStorage,
}

/// Where a log is kept, for `/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownStorage {
    /// `memory` or `disk`.
    pub kind: &'static str,
    /// `always` or `never`, on a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsync: Option<&'static str>,
    /// The last write found no room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_full: bool,
    /// Entries that were found damaged there, and are not mended yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Seq>,
}

impl ShownStorage {
    /// A write has ended: says so once when there is no room, and once when there is again.
    pub fn note<T>(&mut self, written: &Result<T, StoreError>) {
        match written {
            Err(StoreError::Full) if !self.is_full => {
                self.is_full = true;
                error!(
                    "the disk is full: nothing is stored until there is room; what is there can be read"
                );
            }
            Ok(_) if self.is_full => {
                self.is_full = false;
                info!("there is room on the disk again");
            }
            _ => {}
        }
    }
}

impl Storage {
    /// An empty log in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            log: Arc::new(MemoryLog::new()),
            standing: None,
            dir: None,
            shown: ShownStorage {
                kind: "memory",
                fsync: None,
                is_full: false,
                damaged: Vec::new(),
            },
        }
    }

    /// Opens the data directory, where one is set.
    ///
    /// # Errors
    /// It cannot be used; the text names it, and what helps.
    pub async fn open(
        args: &CommonArgs,
        role: Role,
        node: Option<NodeId>,
        deduplicate_by: DeduplicateBy,
    ) -> Result<Self, Failure> {
        let Some(dir) = args.data_dir.clone() else {
            return Ok(Self::memory());
        };
        let owner = Owner {
            role,
            node,
            cluster: args.cluster.clone(),
        };
        let options = DiskOptions {
            cache_bytes: args.cache_bytes,
            deduplicate_by,
        };
        let (path, fsync) = (dir.clone(), args.fsync);
        // An index that was not kept is made now, which may take a while.
        let opened =
            tokio::task::spawn_blocking(move || open_directory(&path, fsync, &owner, &options));
        let refused = |error: &dyn std::fmt::Display| {
            let dir = dir.display();
            Failure::cannot_start(format!("--data-dir {dir} cannot be used: {error}"))
        };
        let opened = opened.await.map_err(|panic| refused(&panic))?;
        let (log, standing) = opened.map_err(|error| refused(&error))?;
        Ok(Self {
            log: Arc::new(log),
            standing: Some(standing),
            dir: Some(dir),
            shown: ShownStorage {
                kind: "disk",
                fsync: Some(fsync.word()),
                is_full: false,
                damaged: Vec::new(),
            },
        })
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.log.last().seq
    }
}
