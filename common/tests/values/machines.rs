//! The small machines against naive twins: what each does in any order of calls, compared with something too simple to be
//! wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::entry::{Content, Position};
use replog_common::log::contract::entry;
use replog_common::protocol::backoff::Backoff;
use replog_common::protocol::dedup::{Dedup, DeduplicateBy};
use replog_common::protocol::epochs::Epochs;
use replog_common::protocol::progress::{MAX_IN_FLIGHT, Mode, Progress};
use replog_common::protocol::reorder::{Offered, Reorder};
use replog_common::types::{Epoch, MessageId, Seq, Time};
use uuid::Uuid;

proptest! {
    /// Twin: a map. Within its bounds nothing is lost; the earliest always fits.
    #[test]
    fn reorder_holds_what_fits(
        offers in vec((1..12u64, 0..60usize, any::<bool>()), 0..80),
        max_entries in 1..6usize,
        max_bytes in 200..900usize,
    ) {
        let mut reorder = Reorder::new(max_entries, max_bytes);
        let mut twin: BTreeMap<Seq, usize> = BTreeMap::new();
        for (seq, size, take) in offers {
            let one = entry(seq, size);
            let bytes = one.json().len();
            if take {
                prop_assert_eq!(reorder.take(Seq(seq)).is_some(), twin.remove(&Seq(seq)).is_some());
            } else {
                let fits = twin.len() < max_entries && twin.values().sum::<usize>() + bytes <= max_bytes;
                let is_first = twin.first_key_value().is_none_or(|(first, _)| *first > Seq(seq));
                match reorder.offer(one) {
                    Offered::Duplicate => prop_assert!(twin.contains_key(&Seq(seq))),
                    Offered::Held => {
                        prop_assert!(!twin.contains_key(&Seq(seq)));
                        let later = |s: &Seq| s.0 > seq;
                        while twin.len() >= max_entries
                            || twin.values().sum::<usize>() + bytes > max_bytes && !twin.is_empty()
                        {
                            prop_assert!(twin.pop_last().is_some_and(|(s, _)| later(&s)));
                        }
                        twin.insert(Seq(seq), bytes);
                    }
                    Offered::Dropped => {
                        prop_assert!(!fits && !is_first);
                        prop_assert_eq!(reorder.len(), twin.len(), "nothing made way for nothing");
                    }
                }
            }
            prop_assert_eq!(reorder.len(), twin.len());
            prop_assert_eq!(reorder.first(), twin.first_key_value().map(|(s, _)| *s));
            prop_assert!(reorder.len() <= max_entries);
        }
    }

    /// Twin: the epoch of each entry in a list.
    #[test]
    fn epochs_are_a_list(steps in vec((0..3u64, proptest::option::weighted(0.1, 0..30u64)), 0..60)) {
        let mut epochs = Epochs::default();
        let mut twin: Vec<u64> = Vec::new();
        for (more, cut) in steps {
            let epoch = twin.last().copied().unwrap_or(1) + more / 2;
            twin.push(epoch);
            epochs.push(Position { seq: Seq(twin.len() as u64), epoch: Epoch(epoch), by: None });
            if let Some(cut) = cut {
                epochs.truncate(Seq(cut));
                twin.truncate(usize::try_from(cut).expect("small"));
            }
            for seq in 0..=twin.len() + 2 {
                let epoch = seq.checked_sub(1).map_or(Some(0), |i| twin.get(i).copied());
                let expected = epoch.map(|e| Position { seq: Seq(seq as u64), epoch: Epoch(e), by: None });
                prop_assert_eq!(epochs.at(Seq(seq as u64)), expected);
            }
            prop_assert_eq!(Some(epochs.last()), epochs.at(Seq(twin.len() as u64)));
            for (seq, epoch) in (0..=twin.len() + 2).flat_map(|seq| (0..9).map(move |e| (seq, e))) {
                let wanted = (1..=seq.min(twin.len())).rev().find(|i| twin[i - 1] <= epoch);
                let at = Position { seq: Seq(seq as u64), epoch: Epoch(epoch), by: None };
                prop_assert_eq!(epochs.at_or_before(at).seq, Seq(wanted.unwrap_or(0) as u64));
            }
        }
    }

    /// Each wait lies between half of the step and the step; the step doubles up to the longest; a seed is a row of waits.
    #[test]
    fn backoff_doubles_within_bounds(
        min in 1..500u64, times in 1..200u64, seed in any::<u64>(),
        resets in vec(proptest::option::weighted(0.1, 0..5000u64), 1..40),
    ) {
        let (low, high) = (Duration::from_millis(min), Duration::from_millis(min * times));
        let (mut one, mut two) = (Backoff::new(low, high, seed), Backoff::new(low, high, seed));
        let mut step = low;
        for reset in resets {
            if let Some(base) = reset.map(Duration::from_millis) {
                one.reset(base);
                two.reset(base);
                step = base.clamp(low, high);
            }
            let wait = one.next_wait();
            prop_assert_eq!(wait, two.next_wait());
            prop_assert!(step / 2 <= wait && wait <= step, "{:?} of {:?}", wait, step);
            step = (step * 2).min(high);
        }
    }

    /// Whatever is sent, acknowledged and forgotten: `next` lies behind `matched`, no more is in flight than may be.
    #[test]
    fn progress_keeps_its_window(
        steps in vec((0..6u8, 0..30u64, proptest::option::of(0..30u64)), 0..80),
        window in 1..3000usize,
    ) {
        let (mut progress, mut flight) = (Progress::new(), Vec::<(u64, usize)>::new());
        for (step, seq, held) in steps {
            let before = progress.matched();
            match step {
                0..=2 => if let Some((first, last, free)) = progress.sendable(Seq(25), window) {
                    prop_assert_eq!((progress.mode(), first), (Mode::Replicate, progress.next()));
                    prop_assert!(first <= last && last <= Seq(25));
                    let last = Seq(first.0 + seq % (last.0 - first.0 + 1));
                    let bytes = free.min(700);
                    progress.sent(last, bytes, Time::ZERO);
                    flight.push((last.0, bytes));
                    prop_assert_eq!(progress.next(), last.next());
                },
                3 => {
                    let acked = progress.acked(Seq(seq), Time::ZERO);
                    prop_assert_eq!(acked.is_news, Seq(seq) > before);
                    prop_assert_eq!(progress.matched(), before.max(Seq(seq)));
                    if acked.is_news {
                        flight.retain(|f| f.0 > seq);
                    }
                }
                4 => { progress.resume(held.map(Seq)); flight.clear(); }
                _ => { if held.is_some() { progress.probe(); } else { progress.reset(); } flight.clear(); }
            }
            prop_assert!(progress.next() > progress.matched());
            prop_assert_eq!(progress.is_waiting(), !flight.is_empty());
            prop_assert!(flight.len() <= MAX_IN_FLIGHT);
            prop_assert!(flight.iter().map(|f| f.1).sum::<usize>() <= window);
            if progress.mode() == Mode::Probe {
                prop_assert_eq!(progress.sendable(Seq(25), window), None);
            }
        }
    }

    /// Twin: a list that is searched.
    #[test]
    fn dedup_finds_by_its_rule(messages in vec((0..8u128, 0..5u8), 0..40), by_content in any::<bool>()) {
        let by = if by_content { DeduplicateBy::Content } else { DeduplicateBy::MessageId };
        let (mut dedup, mut twin) = (Dedup::new(by, None), Vec::new());
        for (id, text) in messages {
            let content = Content::from_text(&text.to_string());
            let by_text = twin.iter().position(|m: &(u128, u8)| by_content && m.1 == text);
            let index = by_text.or_else(|| twin.iter().position(|m| m.0 == id));
            let id_ = MessageId(Uuid::from_u128(id));
            prop_assert_eq!(dedup.find(id_, &content), index.map(|i| Seq(i as u64 + 1)));
            if index.is_none() {
                twin.push((id, text));
                dedup.insert(id_, &content, Seq(twin.len() as u64));
            }
        }
    }
}

/// A master that could not hear everybody took an epoch that another one has had.
#[test]
fn two_lives_of_one_epoch_agree_on_nothing_that_either_placed() {
    let by = |n: u128| Some(replog_common::types::Instance(uuid::Uuid::from_u128(n)));
    let log = |second: u128| {
        let mut epochs = Epochs::default();
        for (seq, epoch, start) in [(1, 1, 1), (2, 1, 1), (3, 2, second), (4, 2, second)] {
            let (seq, epoch) = (Seq(seq), Epoch(epoch));
            epochs.push(Position {
                seq,
                epoch,
                by: by(start),
            });
        }
        epochs
    };
    let (mine, theirs) = (log(2), log(3));
    assert!(!mine.last().agrees_with(&theirs.last()));
    assert_eq!(
        mine.at_or_before(theirs.last()),
        mine.at(Seq(2)).expect("there")
    );
    assert_eq!(mine.at_or_before(log(2).last()), mine.last());
    assert_eq!(
        (mine.end_of_life(Seq(1)), mine.end_of_life(Seq(3))),
        (Seq(2), Seq(4))
    );
}
