//! What is read of entries in memory, against a list.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::Seq;
use replog_protocol::node::RolledBack;
use replog_storage::journal::Journal;
use replog_storage::memory::MemoryJournal;
use replog_storage::samples::{
    DONE, append, entries, everything, log_id, range, run, shown, truncate_after, truncation,
};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Truncate(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => vec(prop_oneof![9 => 0..400usize, 1 => 200_000..600_000usize], 1..40).prop_map(Step::Append),
        1 => (0..300u64).prop_map(Step::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Twin: a list of entries. A page has as many of them as fit, unless a sealed segment ends before.
    #[test]
    fn it_is_a_list(
        steps in vec(step(), 0..20),
        reads in vec((0..300u64, 0..300u64, 0..3_000usize), 0..20),
    ) {
        let (mut journal, mut twin) = (MemoryJournal::new(), Vec::<EntryBatch>::new());
        for step in steps {
            match step {
                Step::Append(sizes) => {
                    let next = twin.len() as u64 + 1;
                    let batches: Vec<EntryBatch> = (next..).zip(sizes)
                        .flat_map(|(seq, size)| entries(seq..=seq, size)).collect();
                    append(&mut journal, batches.clone());
                    twin.extend(batches);
                }
                Step::Truncate(after) => {
                    let mut truncate = truncate_after(after);
                    truncate.rollback_of = Some(log_id(1)); // else 0 would be another log
                    run(&mut journal, truncation(truncate));
                    twin.truncate(usize::try_from(after).expect("small"));
                }
            }
        }
        let reader = journal.reader();
        prop_assert_eq!(everything(&*reader).expect("readable"), shown(&twin));
        for (first, last, max_bytes) in reads {
            let page = reader.read(&range(first, last, max_bytes)).expect("readable");
            let wanted: Vec<EntryBatch> = twin.iter()
                .filter(|b| first > 0 && (first..=last).contains(&b.first().0)).cloned().collect();
            match page {
                None => prop_assert!(wanted.is_empty()),
                Some(page) => {
                    let count = usize::try_from(page.count()).expect("small");
                    prop_assert_eq!(shown(&wanted[..count]), shown(std::slice::from_ref(&page)));
                    prop_assert!(count == 1 || page.bytes() <= max_bytes);
                }
            }
        }
    }
}

#[test]
fn who_reads_a_cleared_log_finishes_with_it() {
    let mut journal = MemoryJournal::new();
    append(&mut journal, entries(1..=10, 5));
    let former = journal.reader();
    assert_eq!(run(&mut journal, truncation(truncate_after(0))), DONE);
    append(&mut journal, entries(1..=2, 9));
    assert_eq!(everything(&*former), Ok(shown(&entries(1..=10, 5))));
    assert_eq!(
        everything(&*journal.reader()),
        Ok(shown(&entries(1..=2, 9)))
    );
}

#[test]
fn what_is_rolled_back_survives_a_clearing() {
    let mut journal = MemoryJournal::new();
    append(&mut journal, entries(1..=10, 5));
    let mut truncate = truncate_after(4);
    truncate.rollback_of = Some(log_id(1));
    let what = RolledBack {
        log_id: log_id(1),
        first: Seq(5),
        last: Seq(10),
    };
    let done = replog_protocol::node::WriteResult::Done {
        rolled_back: Some(what),
    };
    assert_eq!(run(&mut journal, truncation(truncate)), done);
    assert_eq!(run(&mut journal, truncation(truncate_after(0))), DONE);
    let kept = journal.reader().rollbacks().expect("readable");
    assert_eq!(
        (kept.len(), kept[0].first, kept[0].last),
        (1, Seq(5), Seq(10))
    );
}
