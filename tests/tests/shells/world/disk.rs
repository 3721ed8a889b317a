//! A disk in memory for a node, and a directory for what it puts aside.

use std::sync::Arc;

use replog_common::log::Standing;
use replog_common::log::disk::{DiskLog, DiskOptions, Owner, Role};
use replog_common::log::tape::{Refuses, Tape};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::service::storage::Storage;
use replog_common::types::NodeId;
use tempfile::TempDir;

use super::CLUSTER;

/// One node's.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    owner: Owner,
    tape: Tape,
    dir: Arc<TempDir>,
}

impl Disk {
    /// An empty one; the master's, or that secondary's.
    pub(crate) fn of(secondary: Option<&str>) -> Self {
        let node: Option<NodeId> = secondary.map(|name| name.parse().expect("a name"));
        Self {
            owner: Owner {
                role: node.as_ref().map_or(Role::Master, |_| Role::Secondary),
                node,
                cluster: CLUSTER.to_owned(),
            },
            tape: Tape::default(),
            dir: Arc::new(tempfile::tempdir().expect("a directory")),
        }
    }

    pub(crate) fn refuse(&self, what: Refuses) {
        self.tape.refuse(what);
    }

    pub(crate) fn refuse_once(&self, what: Refuses) {
        self.tape.refuse_once(what, 0);
    }

    pub(crate) fn hang(&self, hangs: bool) {
        self.tape.hang(hangs);
    }

    fn open(&self, tape: &Tape) -> (DiskLog, Standing) {
        let options = DiskOptions {
            cache_bytes: 1 << 20,
            deduplicate_by: DeduplicateBy::MessageId,
        };
        let opened = DiskLog::open(Box::new(tape.clone()), &self.owner, &options);
        opened.expect("a good disk")
    }

    /// Where its node would stand if it ended now and began again.
    pub(crate) fn remembers(&self) -> Standing {
        self.open(&Tape::of(self.tape.bytes())).1
    }

    /// The same after one bit of every copy of that text has changed.
    pub(crate) fn rotten(&self, text: &str) -> Self {
        let mut bytes = self.tape.bytes();
        let is_here = |window: &[u8]| window == text.as_bytes();
        let found: Vec<usize> = (bytes.windows(text.len()).enumerate())
            .filter_map(|(at, window)| is_here(window).then_some(at))
            .collect();
        assert!(!found.is_empty(), "{text} is not on the disk");
        found.iter().for_each(|at| bytes[*at] ^= 1);
        Self {
            tape: Tape::of(bytes),
            ..self.clone()
        }
    }

    /// Whether what was to be refused once was.
    pub(crate) fn has_refused(&self) -> bool {
        self.tape.has_refused()
    }

    /// Files of what was put aside.
    pub(crate) fn put_aside(&self) -> usize {
        std::fs::read_dir(&*self.dir).expect("readable").count()
    }

    /// The log on it.
    pub(crate) fn storage(&self) -> Storage {
        let (log, standing) = self.open(&self.tape);
        Storage {
            log: Arc::new(log),
            standing: Some(standing),
            dir: Some(self.dir.path().to_owned()),
            ..Storage::memory()
        }
    }
}
