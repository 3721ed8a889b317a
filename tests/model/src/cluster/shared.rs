//! What many clusters have in common.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A value that is copied only when it changes, and the number by which the model checker knows it, which is counted only
/// once.
#[derive(Clone, Debug, Default)]
pub struct Shared<T>(Arc<Numbered<T>>);

#[derive(Clone, Debug, Default)]
struct Numbered<T> {
    value: T,
    number: OnceLock<u64>,
}

impl<T> Shared<T> {
    /// That value.
    #[must_use]
    pub fn new(value: T) -> Self {
        let number = OnceLock::new();
        Self(Arc::new(Numbered { value, number }))
    }

    /// Whether both are one value, not only equal ones.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The value's number: `count` gives it where it is not known yet.
    pub fn number(&self, count: impl FnOnce(&T) -> u64) -> u64 {
        *self.0.number.get_or_init(|| count(&self.0.value))
    }
}

impl<T: Clone> Shared<T> {
    /// The value, to be changed; others that share it keep it as it is.
    pub fn make_mut(&mut self) -> &mut T {
        let numbered = Arc::make_mut(&mut self.0);
        numbered.number = OnceLock::new();
        &mut numbered.value
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}
