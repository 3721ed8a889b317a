//! Which entries were found damaged.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use replog_protocol::ids::Seq;

/// So many damaged entries are remembered; the others are found again when these are repaired.
const MAX_REMEMBERED: usize = 1_000;

/// The entries that could not be read, until they are repaired or taken out of the log.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<BTreeSet<Seq>>);

impl Damage {
    fn seqs(&self) -> MutexGuard<'_, BTreeSet<Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn found(&self, seq: Seq) {
        let mut seqs = self.seqs();
        if seqs.len() < MAX_REMEMBERED {
            seqs.insert(seq);
        }
    }

    pub(super) fn repaired(&self, seq: Seq) {
        self.seqs().remove(&seq);
    }

    /// What lies after `keep` was taken out of the log.
    pub(super) fn forget_after(&self, keep: Seq) {
        self.seqs().retain(|seq| *seq <= keep);
    }

    pub(super) fn all(&self) -> Vec<Seq> {
        self.seqs().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_is_remembered() {
        let damage = Damage::default();
        (1..=1_500).for_each(|seq| damage.found(Seq(seq)));
        assert_eq!(damage.all().len(), MAX_REMEMBERED);
        damage.forget_after(Seq(3));
        damage.repaired(Seq(2));
        assert_eq!(damage.all(), [Seq(1), Seq(3)]);
    }
}
