//! What every [`LogStore`] must do, as tests that any of them runs.

use crate::entry::{Entry, Position};
use crate::log::{LogStore, StoreError};
use crate::types::{Epoch, MessageId, Seq};

/// An entry for tests, with a content of `size` bytes.
#[must_use]
pub fn entry(seq: u64, size: usize) -> Entry {
    let id = MessageId(uuid::Uuid::from_u128(u128::from(seq)));
    Entry::new(
        Seq(seq),
        Epoch(1 + seq / 100),
        id,
        &format!("\"{}\"", "x".repeat(size)),
    )
}

/// Runs every rule against stores that `make` makes, each of them empty.
///
/// # Panics
/// Where a rule is broken.
pub fn check<S: LogStore>(make: impl Fn() -> S) {
    begins_empty(&make());
    reads_what_was_appended(&make());
    refuses_holes_and_repeats(&make());
    limits_what_it_reads(&make());
    keeps_large_and_many(&make());
    forgets_its_end(&make());
}

fn read_all(store: &impl LogStore) -> Vec<Entry> {
    let mut all = Vec::new();
    loop {
        let from = Seq(all.len() as u64 + 1);
        let chunk = store
            .read(from, Seq(u64::MAX), u64::MAX, 4096)
            .expect("readable");
        if chunk.count == 0 {
            return all;
        }
        assert_eq!(chunk.first, from);
        all.extend(chunk.entries().expect("whole entries"));
    }
}

fn begins_empty(store: &impl LogStore) {
    assert_eq!(store.last(), Position::default());
    assert_eq!(store.get(Seq(1)).expect("readable"), None);
    assert_eq!(store.read(Seq(1), Seq(9), 9, 9).expect("readable").count, 0);
    store.append(&[]).expect("nothing is always stored");
}

fn reads_what_was_appended(store: &impl LogStore) {
    let entries: Vec<Entry> = (1..=250).map(|s| entry(s, 20)).collect();
    for batch in entries.chunks(7) {
        store.append(batch).expect("in order");
        assert_eq!(store.last(), batch[batch.len() - 1].position());
    }
    assert_eq!(read_all(store), entries);
    assert_eq!(
        store.get(Seq(100)).expect("readable").as_ref(),
        Some(&entries[99])
    );
    assert_eq!(store.get(Seq(0)).expect("readable"), None);
    assert_eq!(store.get(Seq(251)).expect("readable"), None);
}

fn refuses_holes_and_repeats(store: &impl LogStore) {
    store.append(&[entry(1, 1), entry(2, 1)]).expect("in order");
    for wrong in [
        vec![entry(2, 1)],
        vec![entry(4, 1)],
        vec![entry(3, 1), entry(5, 1)],
    ] {
        assert!(
            matches!(store.append(&wrong), Err(StoreError::Order { .. })),
            "{wrong:?}"
        );
        assert_eq!(store.last().seq, Seq(2), "all or none");
    }
    store
        .append(&[entry(3, 1)])
        .expect("it goes on after a refusal");
}

fn limits_what_it_reads(store: &impl LogStore) {
    let entries: Vec<Entry> = (1..=20).map(|s| entry(s, 50)).collect();
    store.append(&entries).expect("in order");
    let one = entries[0].json().len();
    let read = |from, upto, n, bytes| {
        store
            .read(Seq(from), Seq(upto), n, bytes)
            .expect("readable")
    };
    assert_eq!(read(3, 20, 4, usize::MAX).count, 4);
    assert_eq!(read(3, 5, 100, usize::MAX).count, 3);
    assert_eq!(read(1, 20, 100, 0).count, 1, "one at least");
    assert_eq!(read(1, 20, 100, 2 * one).count, 1, "the comma counts");
    assert_eq!(read(1, 20, 100, 2 * one + 1).count, 2);
    assert_eq!(read(20, 20, 100, 100).last(), Seq(20));
    assert_eq!(read(21, 30, 100, 100).count, 0);
}

fn forgets_its_end(store: &impl LogStore) {
    let entries: Vec<Entry> = (1..=250).map(|s| entry(s, 9_000)).collect();
    store.append(&entries).expect("in order");
    for keep in [300, 250, 249, 130, 129, 1, 0] {
        let kept = &entries[..keep.min(250)];
        let last = kept.last().map(Entry::position).unwrap_or_default();
        let at = if keep > 250 {
            entry(300, 1).position()
        } else {
            last
        };
        store.truncate(at).expect("written");
        assert_eq!(store.last(), last);
        assert_eq!(read_all(store), kept);
        assert_eq!(store.get(last.seq.next()).expect("readable"), None);
    }
    store.append(&entries[..3]).expect("it goes on");
    store.truncate(entries[1].position()).expect("written");
    let other = Entry::new(Seq(3), Epoch(9), entries[0].message_id, "\"other\"");
    store
        .append(std::slice::from_ref(&other))
        .expect("it goes on otherwise");
    assert_eq!(
        read_all(store),
        [entries[0].clone(), entries[1].clone(), other]
    );
}

fn keeps_large_and_many(store: &impl LogStore) {
    let sizes = [10, 700_000, 10, 3_000_000, 10, 400_000, 400_000, 400_000];
    let entries: Vec<Entry> = sizes
        .iter()
        .zip(1..)
        .map(|(size, s)| entry(s, *size))
        .collect();
    store.append(&entries).expect("in order");
    assert_eq!(read_all(store), entries);
    let all = store
        .read(Seq(1), Seq(99), 99, usize::MAX)
        .expect("readable");
    assert_eq!(all.entries().expect("whole entries"), entries);
}
