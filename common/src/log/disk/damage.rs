//! Which entries were found damaged.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::Seq;

/// So many are remembered; the others are found again when these are mended.
const MOST: usize = 1_000;

/// The entries that could not be read, until they are mended or taken out.
#[derive(Debug, Default)]
pub(super) struct Damage(Mutex<BTreeSet<Seq>>);

impl Damage {
    fn seqs(&self) -> MutexGuard<'_, BTreeSet<Seq>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn found(&self, seq: Seq) {
        let mut seqs = self.seqs();
        if seqs.len() < MOST {
            seqs.insert(seq);
        }
    }

    pub(super) fn mended(&self, seq: Seq) {
        self.seqs().remove(&seq);
    }

    /// What lies behind `keep` is taken out.
    pub(super) fn forget_behind(&self, keep: Seq) {
        self.seqs().retain(|seq| *seq <= keep);
    }

    pub(super) fn all(&self) -> Vec<Seq> {
        self.seqs().iter().copied().collect()
    }
}
