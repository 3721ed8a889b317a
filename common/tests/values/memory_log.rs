//! The log in memory against a list.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::entry::{Chunk, Entry};
use replog_common::log::LogStore;
use replog_common::log::contract::entry;
use replog_common::log::memory::MemoryLog;
use replog_common::types::Seq;

proptest! {
    /// Twin: a list of entries.
    #[test]
    fn the_log_in_memory_is_a_list(
        batches in vec(vec(0..400usize, 0..6), 0..12),
        reads in vec((0..40u64, 0..40u64, 0..20u64, 0..3000usize), 0..20),
    ) {
        let (log, mut twin) = (MemoryLog::new(), Vec::<Entry>::new());
        for sizes in batches {
            let next = twin.len() as u64 + 1;
            let batch: Vec<Entry> = (next..).zip(sizes)
                .map(|(seq, size)| entry(seq, size)).collect();
            log.append(&batch).expect("in order");
            twin.extend(batch);
        }
        for (from, upto, count, bytes) in reads {
            let chunk = log.read(Seq(from), Seq(upto), count, bytes).expect("readable");
            let wanted: Vec<Entry> = twin.iter()
                .filter(|e| from > 0 && e.seq.0 >= from && e.seq.0 <= upto)
                .take(usize::try_from(count).expect("small")).cloned().collect();
            let fits = |n: &usize| *n == 1 || Chunk::of(&wanted[..*n]).text.len() <= bytes;
            let most = (1..=wanted.len()).filter(fits).max().unwrap_or(0);
            prop_assert_eq!(chunk.count, most as u64);
            prop_assert_eq!(chunk.entries().expect("whole"), wanted[..most].to_vec());
        }
    }
}
