//! What every [`Journal`] must do, as tests that any of them runs.

use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::epochs::LogPosition;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, MasterId, MessageId, Seq};
use replog_protocol::node::{
    Query, ReadError, Restored, RolledBack, Truncate, WriteJob, WriteResult,
};
use uuid::Uuid;

use crate::journal::Journal;
use crate::samples::{
    DONE, append, batch, entries, entry, epoch_of, everything, hard_state, job, log_id, others,
    range, run, shown, truncate_after, truncation,
};

/// How the journals are made that are tested.
pub trait Subject {
    /// An empty journal, which shares nothing with those made before.
    fn empty(&mut self) -> Box<dyn Journal>;

    /// Ends a journal, and opens it again as the next start of the program does; `None` if nothing of it survives.
    fn restart(&mut self, journal: Box<dyn Journal>) -> Option<(Box<dyn Journal>, Restored)>;
}

/// Runs every rule.
///
/// # Panics
/// Where a rule is broken.
pub fn check(subject: &mut impl Subject) {
    begins_empty(&mut *subject.empty());
    reads_what_was_appended(&mut *subject.empty());
    refuses_holes_and_repeats(&mut *subject.empty());
    keeps_to_the_limits_of_a_read(&mut *subject.empty());
    ends_a_page_where_an_epoch_ends(&mut *subject.empty());
    keeps_large_and_many(&mut *subject.empty());
    says_how_many_bytes_it_takes(&mut *subject.empty());
    finds_messages(&mut *subject.empty());
    forgets_its_end(&mut *subject.empty());
    replaces_its_end_in_one_write(&mut *subject.empty());
    keeps_what_is_rolled_back(&mut *subject.empty());
    goes_on_with_another_reader_when_cleared(&mut *subject.empty());
    repairs_nothing_that_is_well(&mut *subject.empty());
    is_there_again_after_a_restart(subject);
}

fn begins_empty(journal: &mut dyn Journal) {
    assert_eq!(run(journal, WriteJob::default()), DONE);
    let reader = journal.reader();
    for (first, last) in [(0, 0), (0, 9), (1, 1), (1, 9)] {
        assert_eq!(reader.read(&range(first, last, 9)), Ok(None));
        let now = reader.read_now(&range(first, last, 9));
        assert!(matches!(now, None | Some(Ok(None))));
    }
    assert_eq!(reader.damaged(), []);
    assert_eq!(reader.rollbacks(), Ok(Vec::new()));
    assert_eq!(reader.check(), Ok(()));
}

fn reads_what_was_appended(journal: &mut dyn Journal) {
    for from in (1..=250).step_by(7) {
        append(journal, entries(from..=(from + 6).min(250), 20));
    }
    let reader = journal.reader();
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=250, 20))));
    let one = reader.read(&range(100, 100, 0)).expect("readable");
    assert_eq!(one, entries(100..=100, 20).pop());
    for (first, last) in [(0, 250), (251, 251), (251, 300), (9, 8)] {
        assert_eq!(reader.read(&range(first, last, 999)), Ok(None));
    }
}

fn says_how_many_bytes_it_takes(journal: &mut dyn Journal) {
    let empty = journal.reader().bytes().expect("readable");
    let large = entries(1..=1, 3 << 20);
    let text: usize = large.iter().map(EntryBatch::bytes).sum();
    append(journal, large);
    let full = journal.reader().bytes().expect("readable");
    assert!(full >= text as u64, "{full} bytes for {text} of entries");
    assert!(full > empty, "{full} after {empty}");
}

fn refuses_holes_and_repeats(journal: &mut dyn Journal) {
    append(journal, entries(1..=2, 1));
    let twice = [entries(3..=3, 1), entries(3..=4, 1)].concat();
    let hole = [entries(3..=3, 1), entries(5..=5, 1)].concat();
    for wrong in [entries(2..=2, 1), entries(4..=4, 1), twice, hole] {
        let refused = run(journal, job(wrong.clone()));
        assert!(matches!(refused, WriteResult::Failed(_)), "{wrong:?}");
        let after = WriteJob {
            truncate: Some(truncate_after(1)),
            ..job(wrong)
        };
        let is_wrong = after.entries[0].first() != Seq(2);
        if is_wrong {
            let refused = run(journal, after);
            assert!(matches!(refused, WriteResult::Failed(_)));
        }
        let all = everything(&*journal.reader());
        assert_eq!(all, Ok(shown(&entries(1..=2, 1))), "all or nothing");
    }
    append(journal, entries(3..=3, 1));
}

fn keeps_to_the_limits_of_a_read(journal: &mut dyn Journal) {
    for seq in 1..=20 {
        append(journal, entries(seq..=seq, 50));
    }
    let one = entries(10..=10, 50)[0].bytes();
    let reader = journal.reader();
    let read = |first, last, max_bytes| {
        let page = reader.read(&range(first, last, max_bytes));
        let page = page.expect("readable").expect("one entry at least");
        assert_eq!(page.first(), Seq(first));
        page
    };
    for max_bytes in (0..20 * one).step_by(7) {
        let page = read(10, 20, max_bytes);
        assert!(page.bytes() <= max_bytes || page.count() == 1);
        assert_eq!(
            Some(&page),
            EntryBatch::concat(&entries(10..=page.last().0, 50)).as_ref()
        );
    }
    assert_eq!(read(10, 20, 2 * one).count(), 1, "the comma counts");
    assert_eq!(read(3, 5, usize::MAX).last(), Seq(5));
    assert_eq!(read(20, 99, usize::MAX).last(), Seq(20));
}

fn ends_a_page_where_an_epoch_ends(journal: &mut dyn Journal) {
    append(journal, entries(1..=301, 10));
    let reader = journal.reader();
    for (first, most) in [(1, 99), (99, 99), (100, 199), (150, 199), (300, 301)] {
        let page = reader.read(&range(first, 999, usize::MAX));
        let page = page.expect("readable").expect("entries");
        assert_eq!(page.epoch(), epoch_of(first));
        assert!(page.last() <= Seq(most));
    }
}

fn keeps_large_and_many(journal: &mut dyn Journal) {
    let sizes = [10, 700_000, 10, 3_000_000, 10, 400_000, 400_000, 400_000];
    let large: Vec<EntryBatch> = (1..)
        .zip(sizes)
        .flat_map(|(seq, size)| entries(seq..=seq, size))
        .collect();
    append(journal, large.clone());
    assert_eq!(everything(&*journal.reader()), Ok(shown(&large)));
}

fn finds_messages(journal: &mut dyn Journal) {
    let texts = ["a", "b", "a", "c"];
    for (seq, text) in (1..).zip(texts) {
        append(journal, vec![entry(seq, text)]);
    }
    let reader = journal.reader();
    let find = |id: u128, text: Option<&str>| {
        let found = reader.read(&Query::Find {
            message_id: MessageId(Uuid::from_u128(id)),
            content: text.map(Content::from_text),
        });
        found.expect("readable").map(|batch| batch.first().0)
    };
    assert_eq!(
        [find(3, None), find(4, None), find(5, None)],
        [Some(3), Some(4), None]
    );
    assert_eq!(find(9, Some("a")), Some(1), "the first of the same content");
    assert_eq!(find(4, Some("a")), Some(1), "the content decides");
    assert_eq!(
        find(4, Some("new")),
        Some(4),
        "the id is known all the same"
    );
    assert_eq!(find(9, Some("new")), None);
    assert_eq!(run(journal, truncation(truncate_after(3))), DONE);
    assert_eq!([find(3, None), find(4, None)], [Some(3), None]);
    assert_eq!(find(9, Some("c")), None);
    // What follows in its place is not taken for what went out.
    let (other, hard_state) = others(4, 4);
    let job = WriteJob {
        hard_state: Some(hard_state),
        ..job(vec![other])
    };
    assert_eq!(run(journal, job), DONE);
    assert_eq!(find(4, None), None);
    assert_eq!(find(9, Some("c")), None);
    assert_eq!(find(9, Some("other 4")), Some(4));
}

fn forgets_its_end(journal: &mut dyn Journal) {
    append(journal, entries(1..=250, 9_000));
    let reader = journal.reader();
    for keep in [300, 250, 249, 130, 129, 1] {
        assert_eq!(run(journal, truncation(truncate_after(keep))), DONE);
        let kept = shown(&entries(1..=keep.min(250), 9_000));
        assert_eq!(everything(&*reader), Ok(kept));
        assert_eq!(reader.read(&range(keep + 1, keep + 1, 9)), Ok(None));
    }
    append(journal, entries(2..=3, 10));
    assert_eq!(reader.rollbacks(), Ok(Vec::new()), "nobody wanted it kept");
}

fn replaces_its_end_in_one_write(journal: &mut dyn Journal) {
    append(journal, entries(1..=20, 40));
    let (other, hard_state) = others(16, 18);
    let replaced = run(
        journal,
        WriteJob {
            truncate: Some(truncate_after(15)),
            entries: vec![other.clone()],
            hard_state: Some(hard_state),
            ..WriteJob::default()
        },
    );
    assert_eq!(replaced, DONE);
    let mut expected = shown(&entries(1..=15, 40));
    expected.extend(shown(&[other]));
    assert_eq!(everything(&*journal.reader()), Ok(expected));
}

fn keeps_what_is_rolled_back(journal: &mut dyn Journal) {
    append(journal, entries(1..=210, 40));
    let roll_back = |journal: &mut dyn Journal, after| {
        let rollback_of = Some(log_id(7));
        run(
            journal,
            truncation(Truncate {
                rollback_of,
                ..truncate_after(after)
            }),
        )
    };
    assert_eq!(roll_back(journal, 210), DONE, "nothing to roll back");
    let mut expected = Vec::new();
    for (after, last) in [(209, 210), (90, 209), (0, 90)] {
        let what = RolledBack {
            log_id: log_id(7),
            first: Seq(after + 1),
            last: Seq(last),
        };
        let done = WriteResult::Done {
            rolled_back: Some(what),
        };
        assert_eq!(roll_back(journal, after), done);
        expected.push(what);
        let all = everything(&*journal.reader());
        assert_eq!(all, Ok(shown(&entries(1..=after, 40))));
    }
    let reader = journal.reader();
    let kept = reader.rollbacks().expect("readable");
    assert_eq!(reader.dropped_rollback_entries(), 0);
    assert!(kept.is_sorted_by_key(|r| r.at_ms));
    assert_eq!(kept.len(), expected.len());
    for (kept, what) in kept.iter().zip(expected) {
        assert_eq!(
            (kept.log_id, kept.first, kept.last),
            (what.log_id, what.first, what.last)
        );
        let text = match &kept.file {
            None => String::from_utf8(kept.entries.to_vec()).expect("text"),
            Some(file) => {
                let text = std::fs::read_to_string(file).expect("readable");
                text.trim_end().replace('\n', ",")
            }
        };
        let parts = entries(what.first.0..=what.last.0, 40);
        let parts: Vec<&[u8]> = parts.iter().map(|b| &b.text()[..]).collect();
        assert_eq!(text.as_bytes(), parts.join(&b","[..]));
    }
}

fn goes_on_with_another_reader_when_cleared(journal: &mut dyn Journal) {
    append(journal, entries(1..=10, 40));
    let former = journal.reader();
    let cleared = WriteJob {
        truncate: Some(truncate_after(0)),
        hard_state: Some(HardState {
            log_id: Some(log_id(2)),
            ..HardState::default()
        }),
        ..WriteJob::default()
    };
    assert_eq!(run(journal, cleared), DONE);
    let is_of_former = |read| match read {
        Err(ReadError::Gone) => true,
        Ok(Some(page)) => Some(page) == entries(1..=1, 40).pop(),
        _ => false,
    };
    assert!(is_of_former(former.read(&range(1, 1, 0))));
    let reader = journal.reader();
    assert_eq!(reader.read(&range(1, 9, 9)), Ok(None));
    append(journal, entries(1..=3, 7));
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=3, 7))));
    assert!(
        is_of_former(former.read(&range(1, 1, 0))),
        "never of the new one"
    );
    assert_eq!(reader.rollbacks(), Ok(Vec::new()), "it was cleared away");
}

fn repairs_nothing_that_is_well(journal: &mut dyn Journal) {
    append(journal, entries(1..=10, 40));
    let repairs = WriteJob {
        repairs: vec![entry(5, "another"), entry(11, "after the end")],
        ..WriteJob::default()
    };
    assert_eq!(run(journal, repairs), DONE);
    append(journal, entries(11..=12, 40));
    let all = everything(&*journal.reader());
    assert_eq!(all, Ok(shown(&entries(1..=12, 40))));
}

fn is_there_again_after_a_restart(subject: &mut impl Subject) {
    let journal = subject.empty();
    let Some((mut journal, restored)) = subject.restart(journal) else {
        return;
    };
    assert_eq!(restored, Restored::default());
    append(&mut *journal, entries(1..=210, 40));
    let rolled_back = Truncate {
        rollback_of: Some(log_id(1)),
        ..truncate_after(205)
    };
    run(&mut *journal, truncation(rolled_back));
    let kept = journal.reader().rollbacks();
    let (mut journal, restored) = subject.restart(journal).expect("it has survived");
    let last = LogPosition {
        seq: Seq(205),
        epoch: epoch_of(205),
    };
    assert_eq!(restored.last, last);
    assert_eq!(restored.hard_state.log_id, hard_state().log_id);
    let reader = journal.reader();
    assert_eq!(everything(&*reader), Ok(shown(&entries(1..=205, 40))));
    if kept.iter().flatten().any(|r| r.file.is_some()) {
        assert_eq!(reader.rollbacks(), kept);
    }
    drop(reader); // it holds the log open
    // Entries of an epoch that is known follow what is left of it, and nothing else is written.
    run(&mut *journal, truncation(truncate_after(199)));
    let more = batch(200..=203, epoch_of(150), "more");
    let last = more.last_position();
    let unchanged = WriteJob {
        entries: vec![more.clone()],
        ..WriteJob::default()
    };
    assert_eq!(run(&mut *journal, unchanged), DONE);
    let (mut journal, restored) = subject.restart(journal).expect("it has survived");
    assert_eq!(restored.last, last);
    let mut expected = shown(&entries(1..=199, 40));
    expected.extend(shown(&[more]));
    assert_eq!(everything(&*journal.reader()), Ok(expected));
    let promised = HardState {
        epoch: Epoch {
            n: 77,
            master: MasterId(Uuid::from_u128(9)),
        },
        is_partial: true,
        ..restored.hard_state
    };
    let written = run(
        &mut *journal,
        WriteJob {
            hard_state: Some(promised.clone()),
            ..WriteJob::default()
        },
    );
    assert_eq!(written, DONE);
    let (_, restored) = subject.restart(journal).expect("it has survived");
    assert_eq!(
        restored,
        Restored {
            hard_state: promised,
            last
        }
    );
}
