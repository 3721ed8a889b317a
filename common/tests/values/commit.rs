//! Who holds what and who waits, against positions in a map and waiters in a list.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use replog_common::protocol::commit::{Commit, Wait};
use replog_common::types::{NodeId, Seq};

use crate::made::at;

fn node(n: u8) -> NodeId {
    format!("s{n}").parse().expect("a name")
}

#[derive(Clone, Debug)]
enum ToCommit {
    Master(u64),
    Member(u8, u64),
    Wait {
        seq: u64,
        w: u32,
        until: Option<u64>,
    },
    Late(u64),
    Leave(usize),
}

fn to_commit() -> impl Strategy<Value = ToCommit> {
    prop_oneof![
        (0..12u64).prop_map(ToCommit::Master),
        (0..4u8, 0..12u64).prop_map(|(n, s)| ToCommit::Member(n, s)),
        (1..12u64, 0..7u32, proptest::option::of(0..50u64))
            .prop_map(|(seq, w, until)| ToCommit::Wait { seq, w, until }),
        (0..50u64).prop_map(ToCommit::Late),
        (0..40usize).prop_map(ToCommit::Leave),
    ]
}

proptest! {
    /// Twin: positions in a map, waiters in a list; counted one by one.
    #[test]
    fn commit_counts_nodes(calls in vec(to_commit(), 0..60)) {
        let mut commit = Commit::default();
        let mut positions = BTreeMap::from([(None, 0)]);
        let mut waiting: Vec<(u64, u32, Option<u64>, usize)> = Vec::new();
        for (waiter, call) in calls.into_iter().enumerate() {
            match call {
                ToCommit::Master(s) => {
                    commit.set_master(Seq(s));
                    positions.insert(None, s);
                }
                ToCommit::Member(n, s) => {
                    commit.set_member(&node(n), Seq(s));
                    positions.insert(Some(n), s);
                }
                ToCommit::Wait { seq, w, until } => {
                    commit.wait(Wait { seq: Seq(seq), w, until: until.map(at), waiter });
                    waiting.push((seq, w, until, waiter));
                }
                ToCommit::Late(now) => {
                    let late: BTreeSet<usize> =
                        std::iter::from_fn(|| commit.pop_late(at(now))).map(|x| x.waiter).collect();
                    let is_late = |x: &(u64, u32, Option<u64>, usize)| x.2.is_some_and(|t| t <= now);
                    let twin: BTreeSet<usize> = waiting.iter().filter(|x| is_late(x)).map(|x| x.3).collect();
                    waiting.retain(|x| !is_late(x));
                    prop_assert_eq!(late, twin);
                }
                ToCommit::Leave(who) => {
                    commit.purge(|x| *x == who);
                    waiting.retain(|x| x.3 != who);
                }
            }
            let holders = |seq: u64| positions.values().filter(|p| **p >= seq).count();
            let met: BTreeSet<usize> =
                std::iter::from_fn(|| commit.pop_met()).map(|x| x.waiter).collect();
            let is_met = |x: &(u64, u32, Option<u64>, usize)| x.1 > 0 && holders(x.0) >= x.1 as usize;
            let twin: BTreeSet<usize> = waiting.iter().filter(|x| is_met(x)).map(|x| x.3).collect();
            waiting.retain(|x| !is_met(x));
            prop_assert_eq!(met, twin);
            prop_assert_eq!(commit.waiting(), waiting.len());
            prop_assert_eq!(commit.deadline(), waiting.iter().filter_map(|x| x.2).min().map(at));
            for seq in 0..14 {
                prop_assert_eq!(commit.acks(Seq(seq)) as usize, holders(seq));
                let named = positions.iter().filter(|(n, p)| n.is_some() && **p >= seq).count();
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
