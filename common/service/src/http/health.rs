//! What `/health` says of any node.

use std::time::Duration;

use replog_protocol::ids::Seq;
use replog_protocol::ids::Time;
use replog_protocol::log::Log;
use replog_protocol::repair::Repair;
use replog_protocol::write_concern::WriteConcern;
use replog_storage::journal::StorageKind;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::broker::BrokerState;

/// Whether the broker grants what this program needs.
///
/// # Errors
/// 503 `denied`.
pub fn granted(broker: BrokerState) -> Result<(), Problem> {
    if broker == BrokerState::Denied {
        let detail = "the broker refuses something that this program needs; it is tried again";
        return Err(Problem::unavailable("denied", detail));
    }
    Ok(())
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
