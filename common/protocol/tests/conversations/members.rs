//! Secondaries that are gone are taken out of an open membership, and what becomes of whoever waits for them.

use replog_protocol::event::Event;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::leader::LeaderConfig;
use replog_protocol::leader::command::{
    Answer, Append, Await, Command, NotRemoved, Unavailable, WaitEnd,
};
use replog_protocol::leader::health::Status;
use replog_protocol::leader::phase::Phase;
use replog_protocol::node::Input;
use replog_protocol::wire::Ack;
use replog_protocol::write_concern::WriteConcern;

use crate::support::cluster::Cluster;
use crate::support::hand::{Master, recovering_by, refused, serving, serving_by};
use crate::support::journal::Journal;
use crate::support::process::Disk;
use crate::support::{
    Client, at, epoch, hello, leader_config, log, message_id, ms, node, position, request,
};

/// Appends a message for so many nodes; its client has the number of its id.
fn append(id: u32, w: WriteConcern) -> Command<Client> {
    Command::Append(Append {
        w,
        ..request(id.into(), 1, id)
    })
}

fn remove(name: &str, client: u32) -> Command<Client> {
    Command::Remove {
        node: node(name),
        waiter: Client(client),
    }
}

/// For how many nodes that client has waited in the end, and how many held its entry.
fn replicated(master: &Master, client: u32) -> Option<(u32, u32)> {
    match master.answer(client)? {
        Answer::Replicated { appended, acks } => Some((appended.w, *acks)),
        other => panic!("client {client} is told {other:?}"),
    }
}

fn status(master: &Master, name: &str, now: Time) -> Option<Status> {
    let peer = master.node.peers().get(&node(name));
    peer.map(|peer| peer.status(now))
}

/// Up to `end` nothing is heard but the answers of these secondaries, which hold so many entries.
fn only_these_live(master: &mut Master, living: &[(&str, u128, u64)], from: u64, end: u64) {
    for now in (from..end).step_by(1_000) {
        for (name, start, upto) in living {
            master.hear(master.answer_of(name, *start, *upto, 0), at(now));
        }
        master.idle(at(now), at(end.min(now + 1_000)));
    }
}

#[test]
fn whoever_waits_for_all_or_a_majority_waits_for_those_that_are_left() {
    let mut master = serving(None);
    for (name, start) in [("a", 1), ("b", 2), ("c", 3)] {
        master.join(name, start, 0, at(1));
    }
    master.command(append(1, WriteConcern::All), at(2));
    master.command(append(2, WriteConcern::Majority), at(2));
    master.command(append(3, WriteConcern::Count(3)), at(2));
    only_these_live(&mut master, &[("b", 2, 3)], 3, 6_000);
    assert_eq!(status(&master, "a", at(6_000)), Some(Status::Unhealthy));
    assert!(master.replies.is_empty());
    master.events.clear();

    master.command(remove("a", 10), at(6_000));
    assert_eq!(master.answer(10), Some(&Answer::Removed { members: 2 }));
    assert_eq!(master.events, [Event::Removed { node: node("a") }]);
    assert_eq!(replicated(&master, 2), Some((2, 2)));
    assert_eq!((master.answer(1), master.answer(3)), (None, None));
    master.command(remove("c", 11), at(6_001));
    assert_eq!(master.answer(11), Some(&Answer::Removed { members: 1 }));
    assert_eq!(replicated(&master, 1), Some((2, 2)));
    assert_eq!(master.answer(3), None, "a number stays what it is");

    // It is a new member when it speaks again, and counts for what it holds.
    master.events.clear();
    master.join("a", 1, 3, at(6_002));
    assert_eq!(replicated(&master, 3), Some((3, 3)));
    let member = true;
    let node = node("a");
    assert!(master.events.contains(&Event::Joined { node, member }));
    master.command(append(4, WriteConcern::All), at(6_003));
    assert_eq!(master.answer(4), None);
    assert_eq!(master.node.peers().count(), 2);
}

/// Who came since is not waited for.
#[test]
fn the_number_never_rises() {
    let mut master = serving(None);
    master.join("a", 1, 0, at(1));
    master.command(append(1, WriteConcern::All), at(2));
    master.join("b", 2, 0, at(3));
    master.join("c", 3, 0, at(3));
    only_these_live(&mut master, &[("b", 2, 0), ("c", 3, 0)], 4, 6_000);
    master.command(remove("a", 10), at(6_000));
    assert_eq!(master.answer(1), None);
    master.hear(master.answer_of("b", 2, 1, 0), at(6_001));
    assert_eq!(replicated(&master, 1), Some((2, 2)));
}

#[test]
fn whoever_waits_on_for_an_entry_and_whose_time_is_up_is_told_the_number_that_is_left() {
    let mut master = serving(None);
    for (name, start) in [("a", 1), ("b", 2)] {
        master.join(name, start, 0, at(1));
    }
    master.post(1, 1, at(2));
    let wait = |w, client| {
        Command::Await(Await {
            log_id: master_log(),
            seq: Seq(1),
            message_id: message_id(1),
            w,
            timeout: ms(10_000),
            waiter: Client(client),
        })
    };
    master.command(wait(WriteConcern::All, 2), at(3));
    master.command(wait(WriteConcern::Count(3), 3), at(3));
    only_these_live(&mut master, &[("b", 2, 0)], 4, 6_000);
    master.command(remove("a", 10), at(6_000));
    only_these_live(&mut master, &[("b", 2, 0)], 6_001, 10_100);
    for (client, expected) in [(2, 2), (3, 3)] {
        match master.answer(client) {
            Some(Answer::NotReplicated {
                appended,
                acks: 1,
                because: WaitEnd::Timeout,
            }) => assert_eq!(appended.w, expected),
            other => panic!("client {client} is told {other:?}"),
        }
    }
}

/// The history of [`serving`].
fn master_log() -> replog_protocol::ids::LogId {
    log(1002)
}

/// Its time is up, which it is told once its entry is durable; meanwhile enough nodes hold it.
#[test]
fn whose_entry_is_still_being_written_is_measured_anew_too() {
    let mut master = serving(None);
    master.join("a", 1, 0, at(1));
    master.idle(at(1), at(6_000));
    master.disk = Disk::Slow;
    let late = Append {
        w: WriteConcern::All,
        timeout: Some(ms(100)),
        ..request(1, 1, 1)
    };
    master.command(Command::Append(late), at(6_000));
    master.idle(at(6_000), at(6_200));
    master.command(remove("a", 10), at(6_200));
    assert_eq!(master.answer(10), Some(&Answer::Removed { members: 0 }));
    assert_eq!(master.answer(1), None);
    master.write_done(at(6_201));
    assert_eq!(replicated(&master, 1), Some((1, 1)));
}

#[test]
fn only_one_that_is_gone_is_taken_out() {
    let mut master = serving(None);
    master.post(1, 1, at(0));
    master.join("a", 1, 0, at(1));
    master.command(remove("a", 10), at(2));
    let alive = |status| Some(Answer::NotRemoved(NotRemoved::Alive(status)));
    assert_eq!(master.answer(10).cloned(), alive(Status::Healthy));
    master.idle(at(2), at(2_000));
    master.command(remove("a", 11), at(2_000));
    assert_eq!(master.answer(11).cloned(), alive(Status::Suspected));
    let other = Ack {
        log_id: Some(log(77)),
        epoch: epoch(1, 9),
        last: position(3, epoch(1, 9)),
        ..hello("a", 1)
    };
    master.hear(other, at(2_001));
    master.command(remove("a", 12), at(2_002));
    assert_eq!(master.answer(12).cloned(), alive(Status::Diverged));
    let unknown = Some(Answer::NotRemoved(NotRemoved::NotKnown));
    master.command(remove("b", 13), at(2_003));
    assert_eq!(master.answer(13).cloned(), unknown);
    assert_eq!(master.node.peers().count(), 1);
    master.idle(at(2_003), at(7_100));
    master.command(remove("a", 14), at(7_100));
    assert_eq!(master.answer(14), Some(&Answer::Removed { members: 0 }));
    master.command(remove("a", 15), at(7_100));
    assert_eq!(master.answer(15).cloned(), unknown);
    // One that says that it stops is gone at once.
    master.join("c", 3, 0, at(7_101));
    let goodbye = Ack {
        is_goodbye: true,
        ..master.position_of("c", 3, 0)
    };
    master.hear(goodbye, at(7_102));
    master.command(remove("c", 16), at(7_103));
    assert_eq!(master.answer(16), Some(&Answer::Removed { members: 0 }));
}

#[test]
fn of_listed_members_none_is_taken_out_but_observers_are() {
    let mut master = serving(Some(&["a"]));
    master.join("o", 7, 0, at(1));
    master.command(append(1, WriteConcern::All), at(2));
    master.command(remove("a", 10), at(3));
    let listed = Some(Answer::NotRemoved(NotRemoved::Listed));
    assert_eq!(master.answer(10).cloned(), listed);
    master.command(remove("o", 11), at(3));
    let alive = NotRemoved::Alive(Status::Healthy);
    assert_eq!(master.answer(11), Some(&Answer::NotRemoved(alive)));
    master.idle(at(3), at(6_000));
    master.command(remove("a", 12), at(6_000));
    assert_eq!(master.answer(12).cloned(), listed);
    master.events.clear();
    master.command(remove("o", 13), at(6_000));
    assert_eq!(master.answer(13), Some(&Answer::Removed { members: 1 }));
    assert_eq!(master.events, [Event::Removed { node: node("o") }]);
    assert_eq!(status(&master, "o", at(6_000)), None);
    assert_eq!(master.answer(1), None, "the listed one is waited for");
    master.hear(hello("o", 7), at(6_001));
    let (node, member) = (node("o"), false);
    assert!(master.events.contains(&Event::Joined { node, member }));
}

/// It was heard while the master recovered, so it is a member, and has ended before it could answer the first heartbeat.
#[test]
fn one_that_was_not_heard_since_the_recovery_is_taken_out() {
    let mut master = recovering_by(leader_config(2, None), Journal::default());
    master.link_up(at(0));
    master.hear(hello("a", 1), at(10));
    master.command(remove("a", 10), at(11));
    assert_eq!(
        master.answer(10),
        Some(&refused(Unavailable::Recovering)),
        "who the members are is not known yet"
    );
    master.idle(at(11), at(4_000));
    assert_eq!(status(&master, "a", at(4_000)), Some(Status::Unknown));
    master.command(append(1, WriteConcern::All), at(4_000));
    assert_eq!(master.answer(1), None);
    master.command(remove("a", 11), at(4_001));
    assert_eq!(replicated(&master, 1), Some((1, 1)));
}

/// That is when it is needed.
#[test]
fn a_master_that_is_read_only_for_lack_of_a_quorum_takes_them_out() {
    let config = LeaderConfig {
        read_only_without_quorum: true,
        ..leader_config(2, None)
    };
    let mut master = serving_by(config, Journal::default());
    for (name, start) in [("a", 1), ("b", 2)] {
        master.join(name, start, 0, at(1));
    }
    master.idle(at(1), at(6_000));
    assert_eq!(master.unavailable(at(6_000)), Some(Unavailable::NoQuorum));
    master.command(remove("a", 10), at(6_000));
    assert_eq!(
        master.unavailable(at(6_000)),
        Some(Unavailable::NoQuorum),
        "one of two is no majority"
    );
    master.events.clear();
    master.command(remove("b", 11), at(6_001));
    assert!(master.events.contains(&Event::ReadOnlyOff {}));
    master.command(append(1, WriteConcern::Majority), at(6_002));
    assert_eq!(replicated(&master, 1), Some((1, 1)));
}

#[test]
fn a_master_that_is_not_sure_to_lead_takes_nobody_out() {
    let gone = || {
        let mut master = serving(None);
        master.join("a", 1, 0, at(1));
        master.idle(at(1), at(6_000));
        master
    };
    // Stopped for a minute: another master may have taken over.
    let mut paused = gone();
    paused.command(remove("a", 10), at(66_000));
    assert_eq!(paused.answer(10), Some(&refused(Unavailable::Recovering)));
    let mut fenced = gone();
    let later = Ack {
        epoch: epoch(9, 9),
        ..fenced.position_of("a", 1, 0)
    };
    fenced.hear(later, at(6_001));
    assert!(matches!(fenced.node.phase(), Phase::Fenced(_)));
    fenced.command(remove("a", 10), at(6_002));
    assert_eq!(fenced.answer(10), Some(&refused(Unavailable::Fenced)));
    let mut stopping = gone();
    stopping.disk = Disk::Slow;
    stopping.post(1, 1, at(6_001));
    stopping.step(Input::Stop, at(6_002));
    stopping.command(remove("a", 10), at(6_003));
    assert_eq!(stopping.answer(10), Some(&refused(Unavailable::Stopping)));
    for master in [paused, fenced, stopping] {
        assert_eq!(master.node.peers().count(), 1);
    }
}

#[test]
fn what_is_committed_rises_by_a_removal_and_never_falls() {
    let mut master = serving(None);
    for (name, start, upto) in [("a", 1, 0), ("b", 2, 0)] {
        master.join(name, start, upto, at(1));
    }
    (1..=3).for_each(|id| master.post(id, 1, at(2)));
    master.idle(at(2), at(10));
    master.hear(master.answer_of("a", 1, 1, 0), at(11));
    let by = |master: &Master, w: &str| {
        let committed = master.node.committed();
        committed.by(w.parse().expect("a write concern")).0
    };
    only_these_live(&mut master, &[("b", 2, 2)], 12, 6_000);
    let all = |master: &Master| ["1", "2", "3", "majority", "all"].map(|w| by(master, w));
    assert_eq!(all(&master), [3, 2, 1, 2, 1]);
    master.command(remove("a", 10), at(6_000));
    assert_eq!(all(&master), [3, 2, 1, 2, 2]);
    assert_eq!((master.acks(1), master.acks(2)), (2, 2));
    // It comes back with nothing.
    master.join("a", 4, 0, at(6_001));
    assert_eq!(all(&master), [3, 2, 1, 2, 2]);
    assert_eq!((master.acks(1), master.acks(2)), (2, 2));
}

/// It makes its name a member again, and counts for nothing before its storage has answered.
#[test]
fn a_late_word_of_one_that_was_taken_out_counts_for_nothing() {
    let mut master = serving(None);
    master.join("a", 1, 0, at(1));
    master.post(1, 2, at(2));
    let late = master.answer_of("a", 1, 1, 1);
    master.idle(at(2), at(6_000));
    master.command(remove("a", 10), at(6_000));
    master.hear(late.clone(), at(6_001));
    master.hear(late, at(6_002));
    assert_eq!((master.answer(1), master.acks(1)), (None, 1));
    assert_eq!(master.node.peers().count(), 1);
    // Nobody answers for it: it is gone once more.
    master.idle(at(6_002), at(12_000));
    master.command(remove("a", 11), at(12_000));
    assert_eq!(master.answer(11), Some(&Answer::Removed { members: 0 }));
}

#[test]
fn what_was_being_read_for_it_is_sent_to_nobody() {
    let mut master = serving(None);
    (1..=3).for_each(|id| master.post(id, 1, at(0)));
    master.idle(at(0), at(1));
    master.reads_wait = true;
    master.join("a", 1, 0, at(1));
    assert_eq!(master.reads.len(), 1);
    master.idle(at(1), at(6_000));
    master.command(remove("a", 10), at(6_000));
    assert_eq!(master.answer(10), Some(&Answer::Removed { members: 0 }));
    master.sent.clear();
    master.read(at(6_001));
    master.idle(at(6_001), at(60_000));
    assert!(master.sent.is_empty(), "{:?}", master.sent);
}

/// The one that is cut off does not know that it was taken out.
#[test]
fn one_that_was_only_cut_off_joins_again_and_is_filled() {
    let mut cluster = Cluster::new("ab");
    cluster.start_master_by('1', leader_config(1, None), Journal::default());
    cluster.run("1ab", 4_000);
    let before = cluster.append('1', 3);
    cluster.run("1ab", 100);
    assert_eq!(cluster.replicated('1', before), Some(3));
    cluster.run("1a b", 6_000);
    cluster.command('1', append(100, WriteConcern::All));
    cluster.run("1a b", 100);
    assert_eq!(cluster.answer('1', 100), None);
    cluster.command('1', remove("b", 101));
    assert_eq!(replicated(cluster.master_of('1'), 100), Some((2, 2)));
    assert_eq!(cluster.journal('b').last(), Seq(1));
    cluster.run("1ab", 6_000);
    let held = cluster.leader('1').peers().get(&node("b"));
    assert_eq!(held.map(|peer| peer.matched()), Some(Seq(2)));
    assert_eq!(cluster.journal('b').last(), Seq(2));
    let both = cluster.append('1', 3);
    cluster.run("1ab", 100);
    assert_eq!(cluster.replicated('1', both), Some(3));
}
