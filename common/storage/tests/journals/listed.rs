//! A log of many small segments, whatever is done to it, against a list.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::node::{Truncate, WriteJob, WriteResult};
use replog_storage::journal::Journal;
use replog_storage::samples::{
    DONE, Shown, entries, everything, hard_state, log_id, range, run, shown, truncate_after,
    truncation,
};
use replog_storage::sim_disk::{DiskFault, SimDisk};

use crate::made::find;
use crate::segmented::options;

#[derive(Clone, Debug)]
enum Step {
    Append(u64, usize),
    Truncate(u64, bool),
    Restart,
    /// The next write finds no room at that step.
    Full(DiskFault, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(DiskFault::DiskFullOnGrow),
        Just(DiskFault::DiskFullOnWrite)
    ];
    prop_oneof![
        8 => (1..30u64, prop_oneof![9 => 0..200usize, 1 => 3_000..9_000usize])
            .prop_map(|(count, size)| Step::Append(count, size)),
        2 => (0..300u64, any::<bool>()).prop_map(|(keep, is_kept)| Step::Truncate(keep, is_kept)),
        1 => Just(Step::Restart),
        1 => (fault, 0..9u64).prop_map(|(fault, passing)| Step::Full(fault, passing)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Twin: a list of entries.
    #[test]
    fn it_is_a_list(
        steps in vec(step(), 0..60),
        cache_bytes in prop_oneof![Just(0), Just(20_000usize)],
        reads in vec((1..300u64, 1..300u64, 0..30_000usize), 0..20),
    ) {
        let disk = SimDisk::default();
        let options = options(cache_bytes, false);
        let (mut journal, _) = disk.open(&options).expect("it opens");
        // A truncation takes the epochs of what goes out with it.
        let (mut twin, mut is_cut) = (Vec::<Shown>::new(), true);
        for step in steps {
            let last = twin.len() as u64;
            match step {
                Step::Append(count, size) => {
                    let to = (last + count).min(990);
                    let more = entries(last + 1..=to, size);
                    let job = WriteJob {
                        entries: more.clone(),
                        hard_state: is_cut.then(hard_state),
                        ..WriteJob::default()
                    };
                    match run(&mut journal, job) {
                        DONE => {
                            is_cut = false;
                            twin.extend(shown(&more));
                        }
                        full => prop_assert_eq!(full, WriteResult::DiskFull),
                    }
                }
                Step::Truncate(keep, is_kept) => {
                    let keep = keep.min(last);
                    let truncate = Truncate {
                        rollback_of: is_kept.then(|| log_id(1)),
                        ..truncate_after(keep)
                    };
                    match run(&mut journal, truncation(truncate)) {
                        WriteResult::Done { .. } => {
                            is_cut = true;
                            twin.truncate(keep as usize);
                        }
                        full => prop_assert_eq!(full, WriteResult::DiskFull),
                    }
                }
                Step::Restart => {
                    drop(journal);
                    disk.fail(DiskFault::None);
                    let restored;
                    (journal, restored) = disk.open(&options).expect("it opens");
                    prop_assert_eq!(restored.last.seq.0, last);
                }
                Step::Full(fault, passing) => disk.fail_once(fault, passing),
            }
            let now = everything(&*journal.reader());
            prop_assert_eq!(now.expect("readable"), twin.clone());
        }
        disk.fail(DiskFault::None);
        let reader = journal.reader();
        for (first, last, max_bytes) in reads {
            let page = reader.read(&range(first, last, max_bytes)).expect("readable");
            let wanted = twin.iter().skip(first as usize - 1);
            match page {
                None => prop_assert!(first > last || first > twin.len() as u64),
                Some(page) => {
                    let read = shown(std::slice::from_ref(&page));
                    prop_assert!(read.len() == 1 || page.bytes() <= max_bytes);
                    prop_assert!(read.len() as u64 <= last + 1 - first);
                    prop_assert_eq!(read.clone(), wanted.take(read.len()).cloned().collect::<Vec<_>>());
                }
            }
        }
        for seq in 1..=twin.len() as u64 {
            prop_assert_eq!(find(&*reader, u128::from(seq), "?"), Ok(Some(seq)));
        }
    }
}
