//! How a log is kept on a disk.

use crate::directory::Owner;

/// When a write is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// It is synced before it counts: it survives power loss.
    #[default]
    Always,
    /// When the operating system likes: it survives the end of the process.
    Never,
}

impl Fsync {
    /// What it is called in the settings and in `/health`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// How a log is kept on a disk.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Whose log it is: a directory of another node is refused.
    pub owner: Owner,
    /// When a write is durable.
    pub fsync: Fsync,
    /// How many bytes of the newest entries stay in memory, at most.
    pub cache_bytes: usize,
    /// Whether equal contents are one message, so that entries are found by their content too.
    pub deduplicate_contents: bool,
    /// How large its files are.
    pub segments: SegmentOptions,
}

/// How large the files of a log are: small for a small log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOptions {
    /// Bytes of the first segment; each one after it is twice as large,
    pub first_bytes: u64,
    /// but not larger than this. A write that needs more has a segment of its own.
    pub max_bytes: u64,
    /// Whether indexes are written and the next segment is made beside the writes, on a thread; else with the write that gives
    /// rise to it, for tests.
    pub in_background: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            first_bytes: 1 << 20,
            max_bytes: 16 << 20,
            in_background: true,
        }
    }
}

impl SegmentOptions {
    /// Bytes of the segment with that number, which begins at 1.
    pub(super) fn bytes_of(&self, number: u64) -> u64 {
        let doubled = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX);
        let bytes = self.first_bytes.saturating_mul(1 << doubled.min(32));
        bytes.min(self.max_bytes)
    }
}
