//! The memory of bodies that are not there yet.
//!
//! One body is bounded, and so are the connections; ten thousand large bodies of which the last byte does not come would still be
//! more than any machine has. Small bodies are free: they are taken however many large ones there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So much of each body is not counted.
const FREE_BYTES: usize = 64 << 10;

/// What all unfinished bodies together may take. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct BodyMemory {
    left_bytes: Arc<AtomicUsize>,
}

/// What one body takes, given back when this value is dropped.
#[derive(Debug)]
pub(super) struct BodyShare {
    memory: BodyMemory,
    taken_bytes: usize,
}

impl BodyMemory {
    /// So many bytes, beside what is free.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            left_bytes: Arc::new(AtomicUsize::new(bytes)),
        }
    }

    /// The share of a body of which nothing has come.
    pub(super) fn share(&self) -> BodyShare {
        BodyShare {
            memory: self.clone(),
            taken_bytes: 0,
        }
    }
}

impl BodyShare {
    /// So many bytes of the body are kept by now. False where there is no memory for them.
    pub(super) fn keep(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(FREE_BYTES);
        let left = &self.memory.left_bytes;
        if wanted <= self.taken_bytes {
            if wanted < self.taken_bytes {
                left.fetch_add(self.taken_bytes - wanted, Ordering::Relaxed);
                self.taken_bytes = wanted;
            }
            return true;
        }
        let more = wanted - self.taken_bytes;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(more)
        });
        if taken.is_ok() {
            self.taken_bytes = wanted;
        }
        taken.is_ok()
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.keep(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_share_what_there_is_and_small_ones_are_free() {
        let memory = BodyMemory::new(1000);
        let (mut one, mut other, mut small) = (memory.share(), memory.share(), memory.share());
        assert!(one.keep(FREE_BYTES) && one.keep(FREE_BYTES + 400) && one.keep(FREE_BYTES + 600));
        assert!(!other.keep(FREE_BYTES + 401), "600 of 1000 are taken");
        assert!(other.keep(FREE_BYTES + 400));
        assert!(small.keep(FREE_BYTES) && !small.keep(FREE_BYTES + 1));
        assert!(one.keep(10), "what is no longer kept is given back");
        assert!(small.keep(FREE_BYTES + 600));
        drop((one, other, small));
        assert!(
            memory.share().keep(FREE_BYTES + 1000),
            "and all of it at the end"
        );
    }
}
