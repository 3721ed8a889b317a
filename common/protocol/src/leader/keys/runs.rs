//! Keys that count up: a run of them takes as much memory as one, however long it is.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use uuid::Uuid;

/// Runs of keys among other keys, in the order in which they came. No key is in two of them.
#[derive(Clone, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// Which of the runs begins with that key.
    by_first: BTreeMap<Uuid, u32>,
    /// The last run may grow up to this key, which another one begins with; `None` if it may grow on.
    limit: Option<Uuid>,
}

/// The keys from `first` on, each the one before plus one.
#[derive(Clone, Copy)]
struct Run {
    first: Uuid,
    len: u32,
    /// How many keys came before it.
    offset: u32,
    /// How many of those are in no run.
    listed: u32,
}

impl Run {
    /// The offset of the key that follows it.
    fn end(&self) -> u32 {
        self.offset + self.len
    }

    fn find(&self, key: Uuid) -> Option<u32> {
        let after = key.as_u128().checked_sub(self.first.as_u128())?;
        (after < u128::from(self.len)).then(|| self.offset + after as u32)
    }
}

impl Runs {
    /// How many keys are in runs.
    pub(super) fn len(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.end() - run.listed)
    }

    /// Takes a key that goes on counting where the last run ends, if nothing came since: so many keys are in no run.
    pub(super) fn extend(&mut self, key: Uuid, listed: u32) -> bool {
        let Some(run) = self.runs.last_mut() else {
            return false;
        };
        let next = run.first.as_u128().checked_add(u128::from(run.len));
        let goes_on = run.listed == listed
            && next == Some(key.as_u128())
            && self.limit.is_none_or(|limit| key < limit);
        if goes_on {
            run.len += 1;
        }
        goes_on
    }

    /// Begins a run with that key, which comes after so many that are in no run; unless the key is in a run already.
    pub(super) fn begin(&mut self, key: Uuid, listed: u32) -> bool {
        if self.find(key).is_some() {
            return false;
        }
        let run = Run {
            first: key,
            len: 1,
            offset: self.len() + listed,
            listed,
        };
        self.by_first.insert(key, self.runs.len() as u32);
        self.runs.push(run);
        self.set_limit();
        true
    }

    /// Whether a key in no run came after the last run: so many there are.
    pub(super) fn ends_before(&self, listed: u32) -> bool {
        self.runs.last().is_none_or(|run| run.listed < listed)
    }

    /// How many keys came before that one.
    pub(super) fn find(&self, key: Uuid) -> Option<u32> {
        let (_, run) = self.by_first.range(..=key).next_back()?;
        self.runs[*run as usize].find(key)
    }

    /// How many keys came before the one that is in no run, and that so many others in no run came before.
    pub(super) fn offset_of_listed(&self, index: u32) -> u32 {
        let before = self.runs.partition_point(|run| run.listed <= index);
        match before.checked_sub(1) {
            None => index,
            Some(last) => self.runs[last].end() + (index - self.runs[last].listed),
        }
    }

    /// Removes what is not among the first `len` keys.
    pub(super) fn truncate(&mut self, len: u32) {
        while let Some(run) = self.runs.last_mut()
            && run.end() > len
        {
            if run.offset < len {
                run.len = len - run.offset;
                break;
            }
            self.by_first.remove(&run.first);
            self.runs.pop();
        }
        self.set_limit();
    }

    /// Every key, with how many came before it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Uuid)> {
        self.runs.iter().flat_map(|run| {
            let first = run.first.as_u128();
            (0..run.len).map(move |i| (run.offset + i, Uuid::from_u128(first + u128::from(i))))
        })
    }

    fn set_limit(&mut self) {
        let last = self.runs.last().map(|run| run.first);
        self.limit = last.and_then(|last| {
            let mut above = self.by_first.range((Excluded(last), Unbounded));
            above.next().map(|(first, _)| *first)
        });
    }
}
