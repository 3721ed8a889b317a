//! What `/health` says of any node.

use std::time::Duration;

use replog_protocol::ids::Seq;
use replog_protocol::ids::Time;
use replog_protocol::log::Log;
use replog_protocol::node_url::NodeUrl;
use replog_protocol::repair::Repair;
use replog_protocol::write_concern::WriteConcern;
use replog_storage::journal::StorageKind;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::readiness::Readiness;

/// Which release runs, since when, and where clients reach it: the same at every look.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Running {
    /// The release.
    version: &'static str,
    /// When this process started, by its wall clock (RFC 3339, UTC).
    #[schema(example = "2026-01-31T12:00:00.123Z")]
    started_at: String,
    /// Where clients reach the node; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    url: Option<NodeUrl>,
}

impl Running {
    /// A node of that release, which starts now.
    #[must_use]
    pub fn starting(version: &'static str, url: Option<NodeUrl>) -> Self {
        let now = OffsetDateTime::now_utc();
        let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
        Self {
            version,
            started_at: now.format(&Rfc3339).unwrap_or_default(),
            url,
        }
    }

    /// Where clients reach the node, as far as that is known.
    #[must_use]
    pub fn url(&self) -> Option<&NodeUrl> {
        self.url.as_ref()
    }
}

/// The last position of a log that a majority has committed: on a disk as far as that is stored there.
#[must_use]
pub fn committed_seq(log: &Log, kind: StorageKind) -> Seq {
    let committed = match kind {
        StorageKind::Memory => log.committed(),
        StorageKind::Disk { .. } => &log.hard_state().committed,
    };
    committed.by(WriteConcern::Majority).min(log.durable())
}

/// A time in whole milliseconds.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Where a log is kept, and how that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StorageHealth {
    /// `memory` or `disk`.
    kind: &'static str,
    /// `always` or `never`, on a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    fsync: Option<&'static str>,
    /// The last write found no room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_full: bool,
    /// Entries that were found damaged, and are not repaired yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<u64>)]
    damaged: Vec<Seq>,
}

impl StorageHealth {
    /// Of a node's own log, kept in that kind of storage.
    #[must_use]
    pub fn of(kind: StorageKind, log: &Log, repair: &Repair, now: Time) -> Self {
        let (kind, fsync) = match kind {
            StorageKind::Memory => ("memory", None),
            StorageKind::Disk { synced: true } => ("disk", Some("always")),
            StorageKind::Disk { synced: false } => ("disk", Some("never")),
        };
        Self {
            kind,
            fsync,
            is_full: log.is_disk_full(now),
            damaged: repair.damaged().to_vec(),
        }
    }

    /// `memory` or `disk`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Entries that were found damaged, and are not repaired yet.
    #[must_use]
    pub fn damaged(&self) -> &[Seq] {
        &self.damaged
    }

    /// Whether the last write found no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether there is room for what comes; damaged entries are repaired meanwhile.
    #[must_use]
    pub fn check(&self, readiness: Readiness) -> Readiness {
        if self.is_full {
            let detail = "there is no room on the disk; it is tried again";
            return readiness.failed("storage", "disk_full", detail);
        }
        let fsync = self.fsync.map(|when| format!(", fsync {when}"));
        let damaged = match self.damaged.len() {
            0 => String::new(),
            n => format!(", {n} damaged entries to be repaired"),
        };
        let detail = format!("{}{}{damaged}", self.kind, fsync.unwrap_or_default());
        readiness.passed("storage", detail)
    }
}

#[cfg(test)]
mod tests {
    use replog_protocol::node::Restored;

    use super::*;

    #[test]
    fn only_what_is_so_is_said() {
        let log = Log::new(Restored::default());
        let mut repair = Repair::default();
        let json = |kind, repair: &Repair| {
            let health = StorageHealth::of(kind, &log, repair, Time::ZERO);
            serde_json::to_string(&health).unwrap()
        };
        assert_eq!(json(StorageKind::Memory, &repair), r#"{"kind":"memory"}"#);
        repair.update(vec![Seq(3)], Seq(9));
        let disk = StorageKind::Disk { synced: false };
        let expected = r#"{"kind":"disk","fsync":"never","damaged":[3]}"#;
        assert_eq!(json(disk, &repair), expected);
    }
}
