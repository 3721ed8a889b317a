//! How fast, and how much at once: backoff and the window of one secondary.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::leader::backoff::Backoff;
use replog_protocol::leader::progress::{MAX_IN_FLIGHT, Mode, Progress};

proptest! {
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

    /// Whatever is sent, acknowledged and forgotten: `next` lies after `matched`, no more is in flight than may be, and what
    /// is matched never goes down but by a reset.
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
                4 => {
                    progress.resume(held.map(Seq));
                    flight.clear();
                    prop_assert_eq!(progress.mode(), Mode::Replicate);
                    prop_assert_eq!(progress.matched(), before);
                }
                _ => {
                    match held {
                        Some(_) => progress.probe(),
                        None => progress.reset(),
                    }
                    flight.clear();
                    prop_assert_eq!(progress.matched(), if held.is_some() { before } else { Seq::ZERO });
                }
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

    /// A secondary that holds entries back is sent what lies before them first, and nothing that it holds.
    #[test]
    fn a_gap_is_filled_before_anything_else(matched in 0..10u64, gap in 1..10u64, tail in 20..40u64) {
        let mut progress = Progress::new();
        progress.acked(Seq(matched), Time::ZERO);
        let held = Seq(matched + gap + 1);
        progress.resume(Some(held));
        let (first, last, _) = progress.sendable(Seq(tail), 100).expect("the gap");
        prop_assert_eq!((first, last), (Seq(matched + 1), held.prev()));
        progress.sent(last, 1, Time::ZERO);
        prop_assert_eq!(progress.sendable(Seq(tail), 100), None, "what is held comes out of the gap's answer");
        progress.acked(held, Time::ZERO);
        let (first, last, _) = progress.sendable(Seq(tail), 100).expect("the rest");
        prop_assert_eq!((first, last), (held.next(), Seq(tail)));
    }
}
