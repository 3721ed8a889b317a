//! What a secondary knows to be committed, and keeps.

use replog_protocol::committed::Committed;
use replog_protocol::event::Event;
use replog_protocol::ids::Seq;
use replog_protocol::node::Input;
use replog_protocol::wire::AppendEntries;
use replog_protocol::write_concern::WriteConcern;

use crate::support::hand::{Secondary, secondary, secondary_by};
use crate::support::process::Disk;
use crate::support::{append, at, entries, leadership};

fn committed(held: &[u64]) -> Committed {
    let all = Seq(held.last().copied().unwrap_or_default());
    Committed::new(held.iter().map(|n| Seq(*n)), all, all)
}

fn told(message: AppendEntries, held: &[u64]) -> AppendEntries {
    AppendEntries {
        committed: committed(held),
        ..message
    }
}

/// Of what it has not, and of what is not shown to be the master's, it knows nothing.
#[test]
fn a_secondary_takes_what_is_committed_of_its_own_entries() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=5, leader.epoch);
    let mut node = secondary("s1");
    node.receive(told(append(leader, &log, 0, 3), &[5, 4]), at(1));
    assert_eq!(node.node.committed(), &committed(&[3, 3]));
    node.receive(told(append(leader, &log, 3, 5), &[5, 4]), at(2));
    assert_eq!(node.node.committed(), &committed(&[5, 4]));
    // An older word changes nothing.
    node.receive(told(append(leader, &log, 3, 5), &[4, 3]), at(3));
    assert_eq!(node.node.committed(), &committed(&[5, 4]));
}

#[test]
fn it_is_stored_with_the_next_write_or_when_somebody_wants_to_see_it() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=3, leader.epoch);
    let mut node = secondary("s1");
    node.receive(told(append(leader, &log, 0, 2), &[2]), at(1));
    node.receive(told(append(leader, &log, 2, 2), &[2, 2]), at(2));
    let shown = |node: &Secondary| {
        let snapshot = node.snapshot.clone().expect("shown");
        (snapshot.committed, snapshot.committed_soon)
    };
    assert_eq!(shown(&node), (committed(&[2]), committed(&[2, 2])));
    assert_eq!(node.journal.hard_state.committed, committed(&[2]));
    node.step(Input::ShowCommitted, at(3));
    assert_eq!(shown(&node).0, committed(&[2, 2]));
    node.receive(told(append(leader, &log, 2, 3), &[3, 2]), at(4));
    assert_eq!(node.journal.hard_state.committed, committed(&[3, 2]));
    // It knows that again, and shows it before a master has said anything.
    let again = secondary_by("s1", 10, node.journal.clone());
    assert_eq!(shown(&again).0, committed(&[3, 2]));
}

/// It is shown once it is stored, and a disk that is slow delays it.
#[test]
fn what_is_not_stored_is_not_shown() {
    let leader = leadership(1, 1, 1);
    let log = entries(1..=2, leader.epoch);
    let mut node = secondary("s1");
    node.receive(append(leader, &log, 0, 2), at(1));
    node.receive(told(append(leader, &log, 2, 2), &[2, 2]), at(2));
    node.disk = Disk::Slow;
    node.step(Input::ShowCommitted, at(3));
    let shown = node.snapshot.clone().expect("shown");
    assert_eq!(shown.committed, Committed::default());
    node.write_done(at(4));
    let shown = node.snapshot.clone().expect("shown");
    assert_eq!(shown.committed, committed(&[2, 2]));
}

/// A master that has not heard their holders has other entries there.
#[test]
fn a_rollback_of_what_was_committed_says_so() {
    for (held, lost) in [(&[3, 1][..], false), (&[3, 2], true)] {
        let (former, leader) = (leadership(1, 1, 1), leadership(1, 2, 2));
        let log = entries(1..=3, former.epoch);
        let mut other = entries(1..=1, former.epoch);
        other.extend(entries(2..=2, leader.epoch));
        let mut node = secondary("s1");
        node.receive(told(append(former, &log, 0, 3), held), at(1));
        node.events.clear();
        node.receive(append(leader, &other, 1, 2), at(2));
        assert_eq!(node.journal.entries, other);
        let told = node.events.iter().find_map(|event| match event {
            Event::RolledBack { committed, .. } => Some(*committed),
            _ => None,
        });
        assert_eq!(told, Some(lost), "{held:?}");
        let two = node.node.committed().by(WriteConcern::Count(2));
        assert_eq!(two, Seq(1));
    }
}
