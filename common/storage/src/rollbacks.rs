//! Entries that went out of a log and are kept in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use replog_protocol::node::RolledBack;

use crate::journal::Rollback;

/// So many bytes of rolled-back entries are kept in memory; the newest rollback is kept however large it is, for it was in
/// memory before as well.
const MAX_BYTES: usize = 64 << 20;
/// So many rollbacks are kept in memory.
const MAX_ROLLBACKS: usize = 1_000;

/// The rollbacks that are kept in memory, the oldest first: at most 1,000, and of 64 MiB together, or only one that is
/// larger. Where there are more the oldest ones are dropped, and their entries counted.
#[derive(Debug, Default)]
pub(crate) struct KeptRollbacks(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    rollbacks: VecDeque<Rollback>,
    bytes: usize,
    dropped_entries: u64,
}

impl KeptRollbacks {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one more; `entries` are JSON objects, comma separated.
    pub(crate) fn push(&self, what: RolledBack, entries: Bytes) {
        let mut kept = self.kept();
        kept.bytes += entries.len();
        kept.rollbacks.push_back(Rollback {
            log_id: what.log_id,
            first: what.first,
            last: what.last,
            at_ms: now_ms(),
            file: None,
            entries,
        });
        while kept.rollbacks.len() > 1
            && (kept.bytes > MAX_BYTES || kept.rollbacks.len() > MAX_ROLLBACKS)
            && let Some(oldest) = kept.rollbacks.pop_front()
        {
            kept.bytes -= oldest.entries.len();
            kept.dropped_entries += oldest.last.after(oldest.first.prev());
        }
    }

    /// All that are kept, the oldest first.
    pub(crate) fn list(&self) -> Vec<Rollback> {
        self.kept().rollbacks.iter().cloned().collect()
    }

    /// How many entries were dropped because there were too many.
    pub(crate) fn dropped_entries(&self) -> u64 {
        self.kept().dropped_entries
    }
}

/// Milliseconds since 1970 by the wall clock: shown to people, decides nothing.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use replog_protocol::ids::{LogId, Seq};

    fn rolled_back(first: u64, last: u64) -> RolledBack {
        RolledBack {
            log_id: LogId::default(),
            first: Seq(first),
            last: Seq(last),
        }
    }

    #[test]
    fn the_oldest_are_dropped_and_counted() {
        let kept = KeptRollbacks::default();
        let half = Bytes::from(vec![b'x'; MAX_BYTES / 2]);
        kept.push(rolled_back(1, 5), half.clone());
        kept.push(rolled_back(6, 7), half.clone());
        assert_eq!((kept.list().len(), kept.dropped_entries()), (2, 0));
        kept.push(rolled_back(8, 8), Bytes::from_static(b"x"));
        assert_eq!((kept.list().len(), kept.dropped_entries()), (2, 5));
        assert_eq!(kept.list()[0].first, Seq(6));
        let too_large = [&half[..], &half[..], b"x"].concat();
        kept.push(rolled_back(9, 9), too_large.into());
        assert_eq!((kept.list().len(), kept.dropped_entries()), (1, 8));
        assert_eq!(kept.list()[0].first, Seq(9), "the newest one stays");
    }

    #[test]
    fn many_small_ones_are_bounded_too() {
        let kept = KeptRollbacks::default();
        for seq in 1..=1_003 {
            kept.push(rolled_back(seq, seq), Bytes::new());
        }
        assert_eq!((kept.list().len(), kept.dropped_entries()), (1_000, 3));
    }
}
