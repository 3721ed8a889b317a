//! Epochs that no honest node can have: one forged number must not use up all that follow.

use replog_protocol::ids::{Epoch, Leadership, Seq};
use replog_protocol::leader::command::Unavailable;
use replog_protocol::wire::{
    Ack, AppendEntries, MasterAnnouncement, MasterState, Message, Prepare,
};

use crate::support::cluster::Cluster;
use crate::support::hand::{Secondary, secondary_by, serving};
use crate::support::journal::Journal;
use crate::support::{
    append, at, cleared, entries, epoch, heartbeat, hello, leadership, log, position,
};

/// The numbers of epochs that are one too high for a node that knows epoch `own`.
fn forged(own: u64) -> [u64; 3] {
    [own + Epoch::MAX_LEAP + 1, Epoch::MAX_N - 1, Epoch::MAX_N]
}

fn follows() -> Secondary {
    secondary_by("a", 9, Journal::of(log(1), &[(3, epoch(2, 2))]))
}

#[test]
fn a_secondary_follows_and_promises_nobody_of_a_forged_epoch() {
    for n in forged(2) {
        let mut secondary = follows();
        let before = secondary.journal.clone();
        let leader = leadership(1, n, 7);
        let log = entries(1..=4, leader.epoch);
        secondary.receive(heartbeat(leader), at(1));
        secondary.receive(append(leader, &log, 0, 4), at(2));
        let cleared = cleared(&[leadership(1, 2, 2)]);
        let prepare = Prepare { leader, cleared };
        secondary.message(Message::Prepare(prepare), at(3));
        assert!(secondary.take_sent().is_empty());
        assert_eq!((&secondary.journal, secondary.node.forged()), (&before, 3));
        assert_eq!(secondary.node.master_seen(), None, "no sign of life either");
    }
    // One that is just as high as it may be is followed.
    let mut secondary = follows();
    let leader = leadership(1, 2 + Epoch::MAX_LEAP, 7);
    secondary.receive(heartbeat(leader), at(1));
    assert_eq!(secondary.last_ack().epoch, leader.epoch);
    assert_eq!(secondary.node.forged(), 0);
}

/// Entries cannot be of a later epoch than the master that sends them.
#[test]
fn entries_of_an_epoch_after_their_masters_are_forged() {
    let mut secondary = follows();
    let log = secondary.journal.entries.clone();
    let leader = leadership(1, 2, 2);
    for n in [3, Epoch::MAX_N - 1] {
        let lie = AppendEntries {
            prev: log[2].last_position(),
            entries: Some(crate::support::entry(4, epoch(n, 7), 4)),
            tail: Seq(4),
            ..heartbeat(leader)
        };
        secondary.receive(lie, at(1));
    }
    assert_eq!(secondary.journal.entries, log);
    assert_eq!(secondary.node.forged(), 2);
}

#[test]
fn a_master_is_not_fenced_by_a_forged_epoch() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    let peer_count = |master: &crate::support::hand::Master| {
        let peer = master.node.peers().get(&crate::support::node("a"));
        peer.expect("it is known").forged()
    };
    let (mut dropped, mut of_peer) = (0, 0);
    for n in forged(1) {
        let own = master.position_of("a", 9, 0);
        let of_epoch = Ack {
            epoch: epoch(n, 7),
            ..own.clone()
        };
        let of_last = Ack {
            last: position(4, epoch(n, 7)),
            ..own.clone()
        };
        // Not by this very master's id either.
        let of_itself = Ack {
            epoch: Epoch::new(n, master.node.leadership().epoch.master).expect("in range"),
            ..own.clone()
        };
        for lie in [of_epoch, of_last, of_itself] {
            master.hear(lie, at(2));
            dropped += 1;
            of_peer += 1;
            assert_eq!(master.node.forged(), dropped);
            assert_eq!(peer_count(&master), of_peer);
        }
        let serves = MasterAnnouncement {
            leader: Leadership {
                epoch: epoch(n, 7),
                ..master.node.leadership()
            },
            state: MasterState::Serving,
            overtakes: None,
            url: None,
        };
        master.message(Message::Announcement(serves), at(2));
        dropped += 1;
        assert_eq!(master.node.forged(), dropped);
        assert_eq!(master.unavailable(at(2)), None);
    }
    // The next one that may be, fences.
    let higher = Ack {
        epoch: epoch(1 + Epoch::MAX_LEAP, 7),
        ..master.position_of("a", 9, 0)
    };
    master.hear(higher, at(3));
    assert_eq!(master.unavailable(at(3)), Some(Unavailable::Fenced));
}

#[test]
fn a_recovery_is_not_carried_away_by_a_forged_epoch() {
    for n in forged(1) {
        let mut cluster = Cluster::settled("ab", 3);
        drop(cluster.kill('1'));
        cluster.master('2', "ab");
        let lie = Ack {
            log_id: Some(log(5)),
            epoch: epoch(n, 5),
            last: position(9, epoch(n, 5)),
            upto: Seq(9),
            ..hello("b", 5)
        };
        cluster.step('2', Message::Ack(lie.clone()));
        cluster.run("2ab", 450);
        assert_eq!(cluster.leader('2').forged(), 1);
        // And once it has chosen what to take.
        let of_its_log = Ack {
            log_id: Some(log(1001)),
            ..lie
        };
        cluster.run("2", 100);
        cluster.step('2', Message::Ack(of_its_log));
        let serves = MasterAnnouncement {
            leader: Leadership {
                log_id: log(1001),
                epoch: epoch(n, 5),
            },
            state: MasterState::Serving,
            overtakes: None,
            url: None,
        };
        cluster.step('2', Message::Announcement(serves));
        assert_eq!(cluster.leader('2').forged(), 3);
        assert!(!cluster.has_ended('2'));
        cluster.run("2ab", 7_000);
        assert_eq!(cluster.unavailable('2'), None);
        assert_eq!(cluster.journal('2').last(), Seq(3));
        assert_eq!(cluster.leadership('2').epoch, epoch(2, 2));
    }
}
