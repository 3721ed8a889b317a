//! What is shown and decides nothing.

use std::hash::{Hash, Hasher};

/// A number for health and metrics. It is left out of hashes: two states that differ in nothing else will do the same, and
/// the model checker, which knows states by their hash, takes them for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally(u64);

impl Tally {
    /// So many more.
    pub fn add(&mut self, n: u64) {
        self.0 += n;
    }

    /// That many now.
    pub fn set(&mut self, n: u64) {
        self.0 = n;
    }

    /// How many by now.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Hash for Tally {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Something that is shown to operators and decides nothing. It is left out of hashes, as a [`Tally`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown<T>(pub T);

impl<T> Hash for Shown<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
