//! The secondary: whatever order its master's messages come in, and however often.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::committed::Committed;
use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::LogPosition;
use replog_protocol::follower::reorder::HOLD_BACK_BYTES;
use replog_protocol::follower::{Answer, Command};
use replog_protocol::ids::Seq;
use replog_protocol::leader::settings::Replication;
use replog_protocol::node::Input;
use replog_protocol::wire::AppendEntries;

use crate::support::hand::secondary;
use crate::support::process::Disk;
use crate::support::{
    Client, append, at, cleared, entries, entry, entry_of, epoch, heartbeat, leadership, log,
    position, storage,
};

proptest! {
    /// Twin: the set of entries that have come; held is its run from 1. Acknowledged is that run, never what is held back.
    #[test]
    fn any_order_and_any_number_of_times(frames in vec((0..12usize, 0..4usize), 0..40)) {
        let leader = leadership(1, 1, 1);
        let log = entries(1..=12, leader.epoch);
        let (mut secondary, mut came) = (secondary("s1"), [false; 12]);
        for (i, (from, len)) in frames.into_iter().enumerate() {
            let upto = (from + len).min(12);
            secondary.receive(append(leader, &log, from, upto), at(i as u64));
            came[from..upto].fill(true);
            let run = came.iter().take_while(|c| **c).count();
            prop_assert_eq!(&secondary.journal.entries[..], &log[..run]);
            let ack = secondary.last_ack();
            prop_assert_eq!(ack.upto, Seq(run as u64));
            prop_assert_eq!(ack.last.seq, ack.upto);
            let beyond = (run..12).find(|i| came[*i]).map(|i| Seq(i as u64 + 1));
            prop_assert_eq!(ack.held_from, beyond);
            prop_assert_eq!(secondary.snapshot.clone().map(|s| s.last), Some(ack.upto), "only the run is shown");
        }
    }

    /// The same with a disk that takes its time: what is being written is not acknowledged, and is when it is written.
    #[test]
    fn only_what_is_written_is_acknowledged(
        frames in vec((0..12usize, 0..4usize, any::<bool>()), 0..40),
    ) {
        let leader = leadership(1, 1, 1);
        let log = entries(1..=12, leader.epoch);
        let (mut secondary, mut came) = (secondary("s1"), [false; 12]);
        secondary.disk = Disk::Slow;
        for (i, (from, len, is_written)) in frames.into_iter().enumerate() {
            let upto = (from + len).min(12);
            secondary.receive(append(leader, &log, from, upto), at(i as u64));
            came[from..upto].fill(true);
            if is_written && secondary.writing.is_some() {
                secondary.write_done(at(i as u64));
            }
            for ack in secondary.take_acks() {
                prop_assert!(ack.upto.0 as usize <= secondary.journal.entries.len());
            }
        }
        while secondary.writing.is_some() {
            secondary.write_done(at(100));
        }
        let run = came.iter().take_while(|c| **c).count();
        prop_assert_eq!(&secondary.journal.entries[..], &log[..run]);
        prop_assert_eq!(secondary.node.position().upto, Seq(run as u64));
    }

    /// A master of a later epoch shows bit by bit what it shares: only that is acknowledged, and nothing is stored after
    /// what is not shown to be the master's; where it differs is noticed.
    #[test]
    fn a_new_epoch_acknowledges_only_what_it_has_shown(
        mine in 1..10usize, shared in 0..10usize, theirs in 0..10usize,
        frames in vec((0..12usize, 0..4usize), 0..30),
    ) {
        let shared = shared.min(mine);
        let (former, leader) = (leadership(1, 1, 1), leadership(1, 7, 2));
        let old = entries(1..=mine as u64, former.epoch);
        let mut new = old[..shared].to_vec();
        for seq in shared + 1..=shared + theirs {
            new.push(entry(seq as u64, leader.epoch, 100 + seq as u128));
        }
        let mut secondary = secondary("s1");
        secondary.receive(append(former, &old, 0, mine), at(1));
        prop_assert_eq!(&secondary.journal.entries, &old);
        let whole = [(0, shared), (shared, new.len() - shared)];
        for (i, (from, len)) in frames.into_iter().chain(whole).enumerate() {
            let from = from.min(new.len());
            let upto = (from + len).min(new.len());
            let now = at(i as u64 + 2);
            secondary.receive(append(leader, &new, from, upto), now);
            let stored = &secondary.journal.entries;
            prop_assert!(stored.len() >= shared, "what is shared stays");
            let acked = secondary.node.position().upto.0 as usize;
            prop_assert!(acked <= stored.len() && acked <= new.len());
            prop_assert_eq!(&stored[..acked], &new[..acked], "acknowledged is what the master has");
            if stored.len() > mine {
                prop_assert!(new.starts_with(stored), "built on a foreign trunk");
            }
            // A master that was superseded is not followed any more, and told so.
            let before = secondary.journal.clone();
            secondary.receive(append(former, &old, 0, mine), now);
            prop_assert_eq!(&secondary.journal, &before);
            prop_assert_eq!(secondary.last_ack().epoch, leader.epoch);
        }
        prop_assert_eq!(&secondary.journal.entries, &new, "it follows by itself");
        let mut kept: Vec<EntryBatch> =
            secondary.journal.rollbacks.iter().flat_map(|(_, entries)| entries.clone()).collect();
        kept.sort_by_key(EntryBatch::first);
        prop_assert_eq!(&kept, &old[shared..], "and nothing is lost");
        let told = secondary.events.iter().filter(|e| e.kind() == "rolled_back").count();
        prop_assert_eq!(told, secondary.journal.rollbacks.len());
    }

    /// Another history is not taken in while this one has entries, unless it says that it replaces it.
    #[test]
    fn another_history_is_kept_apart(mine in 0..4usize, held in any::<bool>(), replaces in any::<bool>()) {
        let (former, leader) = (leadership(1, 1, 1), leadership(2, 2, 1));
        let (old, other) = (entries(1..=6, former.epoch), entries(1..=6, leader.epoch));
        let mut secondary = secondary("s1");
        secondary.receive(append(former, &old, 0, mine), at(1));
        if held {
            secondary.receive(append(former, &old, mine + 1, mine + 2), at(1));
        }
        let first = AppendEntries {
            cleared: if replaces { cleared(&[former]) } else { cleared(&[]) },
            tail: Seq(6),
            ..heartbeat(leader)
        };
        secondary.receive(first, at(2));
        let ack = secondary.last_ack();
        if mine > 0 && !replaces {
            prop_assert_eq!(secondary.node.foreign(), Some(log(2)));
            prop_assert_eq!(secondary.snapshot.clone().and_then(|s| s.diverged_from), Some(log(2)));
            prop_assert_eq!((ack.log_id, ack.upto), (Some(log(1)), Seq(mine as u64)));
            prop_assert_eq!(&secondary.journal.entries[..], &old[..mine]);
            return Ok(());
        }
        prop_assert_eq!((ack.log_id, ack.last), (Some(log(2)), LogPosition::default()));
        secondary.receive(append(leader, &other, 0, 6), at(3));
        prop_assert_eq!(&secondary.journal.entries, &other, "nothing of the former history is left");
        prop_assert_eq!(secondary.journal.rolled_back(), 0, "it was cleared away");
        prop_assert_eq!(secondary.last_ack().upto, Seq(6));
    }
}

/// Whoever can publish can lie; what the real master says next heals it.
#[test]
fn a_false_heartbeat_does_no_lasting_harm() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=3, leader.epoch);
    let mut secondary = secondary("s1");
    secondary.receive(append(leader, &log, 0, 2), at(1));
    let lie = AppendEntries {
        prev: position(1, epoch(9, 9)),
        tail: Seq(u64::MAX),
        committed: Committed::new([Seq::MAX; 3], Seq::MAX, Seq::MAX),
        ..heartbeat(leader)
    };
    secondary.receive(lie, at(2));
    assert_eq!(secondary.journal.entries, log[..2], "acknowledged stays");
    secondary.receive(append(leader, &log, 2, 3), at(3));
    assert_eq!(secondary.journal.entries, log);
    let node = &secondary.node;
    assert_eq!(node.master_tail(), Seq(3));
    assert_eq!(node.committed(), &Committed::default());
}

/// Entries of one epoch that contradict each other come from two that believe to be the same master.
#[test]
fn other_entries_of_the_same_epoch_are_not_taken_after_what_was_shown() {
    let leader = leadership(1, 2, 2);
    let log = entries(1..=4, leader.epoch);
    let mut secondary = secondary("s1");
    secondary.receive(append(leader, &log, 0, 3), at(1));
    // The third entry of an epoch that does not come before this one, and one after it.
    let other = [entry(3, epoch(3, 9), 70), entry(4, epoch(3, 9), 71)];
    let lie = AppendEntries {
        prev: position(2, leader.epoch),
        entries: EntryBatch::concat(&other),
        tail: Seq(4),
        ..heartbeat(leader)
    };
    secondary.receive(lie, at(2));
    assert_eq!(secondary.journal.entries, log[..3]);
    secondary.receive(append(leader, &log, 3, 4), at(3));
    assert_eq!(secondary.journal.entries, log);
}

/// With the largest window that the settings allow, and the first message of it lost.
#[test]
fn all_that_a_master_has_in_flight_is_held_back() {
    const MIB: usize = 1 << 20;
    let leader = leadership(1, 1, 1);
    let window = HOLD_BACK_BYTES;
    assert!(Replication::default().window_bytes <= window);
    // One large entry after the other, as they fit into one window.
    let (mut large, mut bytes) = (Vec::new(), 0);
    for seq in 1.. {
        let one = entry_of(seq, leader.epoch, seq.into(), &"x".repeat(8 * MIB - 200));
        bytes += one.bytes();
        if bytes > window {
            break;
        }
        large.push(one);
    }
    let mut secondary = secondary("s1");
    for i in 1..large.len() {
        secondary.receive(append(leader, &large, i, i + 1), at(1));
    }
    assert_eq!(secondary.node.held_back(), large.len() as u64 - 1);
    secondary.receive(append(leader, &large, 0, 1), at(2));
    assert_eq!(secondary.last_ack().upto, Seq(large.len() as u64));
}

#[test]
fn a_secondary_that_is_cleared_is_filled_again_and_says_when_it_is_done() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=3, leader.epoch);
    let mut secondary = secondary("s1");
    let clear = |n: u128, client| {
        Input::Client(Command::Clear {
            storage: storage(n),
            waiter: Client(client),
        })
    };
    // With nothing in it there is nothing to wait for.
    secondary.step(clear(19, 1), at(1));
    let done = Answer::Done { rolled_back: 0 };
    assert_eq!(secondary.replies.pop().map(|r| r.answer), Some(done));
    secondary.receive(append(leader, &log, 0, 3), at(1));
    secondary.sent.clear();
    secondary.disk = Disk::Slow;
    secondary.step(clear(20, 2), at(2));
    assert!(secondary.replies.is_empty() && secondary.sent.is_empty());
    assert_eq!(secondary.snapshot.clone().map(|s| s.last), Some(Seq(3)));
    secondary.write_done(at(3));
    assert_eq!(secondary.replies.pop().map(|r| r.answer), Some(done));
    let ack = secondary.last_ack();
    assert_eq!((ack.storage, ack.last.seq), (storage(20), Seq::ZERO));
    assert_eq!(ack.epoch, leader.epoch, "it still knows whom it follows");
    secondary.disk = Disk::Prompt;
    secondary.receive(append(leader, &log, 0, 3), at(4));
    assert_eq!(secondary.journal.entries, log);
    assert_eq!(secondary.journal.rolled_back(), 0);
}

#[test]
fn rejoin_rolls_everything_back_and_follows_the_other_history() {
    let (former, leader) = (leadership(1, 5, 1), leadership(2, 2, 2));
    let (old, other) = (entries(1..=3, former.epoch), entries(1..=2, leader.epoch));
    let mut secondary = secondary("s1");
    let rejoin = |client| {
        Input::Client(Command::Rejoin {
            storage: storage(20),
            waiter: Client(client),
        })
    };
    secondary.receive(append(former, &old, 0, 3), at(1));
    secondary.step(rejoin(1), at(2));
    let told = secondary.replies.pop().map(|r| r.answer);
    assert_eq!(told, Some(Answer::NotDiverged));
    secondary.receive(append(leader, &other, 0, 2), at(3));
    assert_eq!(secondary.journal.entries, old, "it waits to be told");
    secondary.step(rejoin(2), at(4));
    let told = secondary.replies.pop().map(|r| r.answer);
    assert_eq!(told, Some(Answer::Done { rolled_back: 3 }));
    assert_eq!(secondary.journal.rollbacks, [(log(1), old)]);
    secondary.receive(append(leader, &other, 0, 2), at(5));
    assert_eq!(secondary.journal.entries, other);
    assert_eq!(secondary.node.foreign(), None);
}

#[test]
fn after_a_restart_only_what_the_master_shows_is_acknowledged() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=3, leader.epoch);
    let mut first = secondary("s1");
    first.receive(append(leader, &log, 0, 3), at(1));
    let mut again = crate::support::hand::secondary_by("s1", 10, first.journal.clone());
    assert_eq!(again.node.position().upto, Seq::ZERO);
    assert_eq!(again.node.position().last, log[2].last_position());
    assert_eq!(
        again.snapshot.clone().map(|s| s.last),
        Some(Seq(3)),
        "and yet read"
    );
    let shows = AppendEntries {
        prev: log[1].last_position(),
        tail: Seq(3),
        ..heartbeat(leader)
    };
    again.receive(shows, at(2));
    assert_eq!(again.last_ack().upto, Seq(2));
}

#[test]
fn what_is_said_of_now_is_the_word_of_the_master_that_is_followed() {
    let (former, present) = (leadership(1, 1, 1), leadership(1, 2, 2));
    let mut secondary = secondary("s1");
    secondary.receive(heartbeat(present), at(1));
    assert_eq!(secondary.node.followed_at(), Some(at(1)));
    // A message of a former epoch comes late, or somebody sends it again.
    secondary.receive(heartbeat(former), at(2));
    assert_eq!(secondary.node.master_seen(), Some(at(2)));
    assert_eq!(secondary.node.followed_at(), Some(at(1)));
}

#[test]
fn an_interval_that_no_master_may_have_is_not_believed() {
    let mut secondary = secondary("s1");
    let said = AppendEntries {
        interval: Duration::from_secs(1 << 40),
        ..heartbeat(leadership(1, 1, 1))
    };
    secondary.receive(said, at(1));
    assert_eq!(secondary.node.expected_interval(), Duration::from_secs(60));
}
