//! Who holds what and who waits, against positions in a map and waiters in a list.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::leader::commit::{Commit, Wait};
use replog_protocol::write_concern::Measure;

use crate::support::at;

fn node(n: u8) -> NodeId {
    format!("s{n}").parse().expect("a name")
}

#[derive(Clone, Debug)]
enum Call {
    Master(u64),
    Member(u8, u64),
    RemoveMember(u8),
    /// There are so many members now.
    Shrink(usize),
    Wait {
        seq: u64,
        w: u32,
        measure: Measure,
        until: Option<u64>,
    },
    Late(u64),
    Leave(usize),
    DrainAfter(u64),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (0..12u64).prop_map(Call::Master),
        6 => (0..4u8, 0..12u64).prop_map(|(n, s)| Call::Member(n, s)),
        1 => (0..4u8).prop_map(Call::RemoveMember),
        1 => (0..6usize).prop_map(Call::Shrink),
        6 => (1..12u64, 0..7u32, measure(), proptest::option::of(0..50u64))
            .prop_map(|(seq, w, measure, until)| Call::Wait { seq, w, measure, until }),
        2 => (0..50u64).prop_map(Call::Late),
        2 => (0..40usize).prop_map(Call::Leave),
        1 => (0..12u64).prop_map(Call::DrainAfter),
    ]
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![
        Just(Measure::Number),
        Just(Measure::Majority),
        Just(Measure::All)
    ]
}

/// One who waits: for which seq, for how many nodes, until when, who, and what that number of nodes was taken from.
type Waiting = (u64, u32, Option<u64>, usize, Measure);

proptest! {
    /// Twin: positions in a map, waiters in a list; counted one by one. A position may go down: another storage answers. What
    /// the master does not hold counts for nobody.
    #[test]
    fn commit_counts_nodes(calls in vec(call(), 0..60)) {
        let mut commit = Commit::default();
        let mut positions = BTreeMap::from([(None, 0)]);
        let mut waiting: Vec<Waiting> = Vec::new();
        for (waiter, call) in calls.into_iter().enumerate() {
            match call {
                Call::Master(s) => {
                    commit.set_master(Seq(s));
                    positions.insert(None, s);
                }
                Call::Member(n, s) => {
                    commit.set_member(&node(n), Seq(s));
                    positions.insert(Some(n), s);
                }
                Call::RemoveMember(n) => {
                    commit.remove_member(&node(n));
                    positions.remove(&Some(n));
                }
                Call::Shrink(members) => {
                    let mut told = BTreeMap::new();
                    commit.shrink(members, |waiter, w| {
                        told.insert(*waiter, w);
                    });
                    let mut expected = BTreeMap::new();
                    for (_, w, _, waiter, measure) in &mut waiting {
                        let all = u32::try_from(members).expect("small") + 1;
                        let now = match measure {
                            Measure::Number => *w,
                            Measure::Majority => all / 2 + 1,
                            Measure::All => all,
                        };
                        if now < *w {
                            *w = now;
                            expected.insert(*waiter, now);
                        }
                    }
                    prop_assert_eq!(told, expected);
                }
                Call::Wait { seq, w, measure, until } => {
                    commit.wait(Wait { seq: Seq(seq), w, measure, until: until.map(at), waiter });
                    waiting.push((seq, w, until, waiter, measure));
                }
                Call::Late(now) => {
                    let late: BTreeSet<usize> =
                        std::iter::from_fn(|| commit.pop_late(at(now))).map(|x| x.waiter).collect();
                    let is_late = |x: &Waiting| x.2.is_some_and(|t| t <= now);
                    prop_assert_eq!(late, taken(&mut waiting, is_late));
                }
                Call::Leave(who) => {
                    commit.purge(|x| *x == who);
                    taken(&mut waiting, |x| x.3 == who);
                }
                Call::DrainAfter(last) => {
                    let gone = commit.drain_after(Seq(last)).into_iter().map(|x| x.waiter).collect::<BTreeSet<_>>();
                    prop_assert_eq!(gone, taken(&mut waiting, |x| x.0 > last));
                }
            }
            let held = |seq: u64| positions[&None] >= seq;
            let holders = |seq: u64| positions.values().filter(|p| held(seq) && **p >= seq).count();
            let met: BTreeSet<usize> =
                std::iter::from_fn(|| commit.pop_met()).map(|x| x.waiter).collect();
            let is_met = |x: &Waiting| x.1 > 0 && holders(x.0) >= x.1 as usize;
            prop_assert_eq!(met, taken(&mut waiting, is_met));
            prop_assert_eq!(commit.waiting(), waiting.len());
            prop_assert_eq!(commit.deadline(), waiting.iter().filter_map(|x| x.2).min().map(at));
            for seq in 0..14 {
                prop_assert_eq!(commit.acks(Seq(seq)) as usize, holders(seq));
                let named = positions.iter().filter(|(n, p)| held(seq) && n.is_some() && **p >= seq).count();
                prop_assert_eq!(commit.acked_by(Seq(seq)).count(), named);
            }
            for w in 0..8usize {
                let last = (1..14).filter(|s| w > 0 && holders(*s) >= w).max().unwrap_or(0);
                prop_assert_eq!(commit.held_by(u32::try_from(w).expect("small")), Seq(last));
            }
        }
        let left: BTreeSet<usize> = commit.drain().map(|x| x.waiter).collect();
        prop_assert_eq!(left, waiting.iter().map(|x| x.3).collect());
        prop_assert_eq!((commit.waiting(), commit.deadline()), (0, None));
    }
}

/// Takes those out of the list who are meant.
fn taken(waiting: &mut Vec<Waiting>, is_meant: impl Fn(&Waiting) -> bool) -> BTreeSet<usize> {
    let taken = waiting
        .iter()
        .filter(|x| is_meant(x))
        .map(|x| x.3)
        .collect();
    waiting.retain(|x| !is_meant(x));
    taken
}
