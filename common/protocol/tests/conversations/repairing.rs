//! Entries that cannot be read from one disk any more are written again as another node has them.

use replog_protocol::event::Event;
use replog_protocol::ids::Seq;
use replog_protocol::leader::command::Unavailable;
use replog_protocol::wire::{Ack, Address, Fetch, FetchResponse, Message};

use crate::support::cluster::Cluster;
use crate::support::hand::{Master, secondary_by, serving};
use crate::support::journal::Journal;
use crate::support::{
    append, at, entry, epoch, heartbeat, leadership, log, node, position, storage,
};

fn kinds(cluster: &Cluster, key: char) -> Vec<String> {
    let repairs = |e: &&Event| matches!(e, Event::Damaged { .. } | Event::Repaired { .. });
    let text = |e: &Event| match e {
        Event::Damaged { seq } => format!("damaged {seq}"),
        Event::Repaired { seq } => format!("repaired {seq}"),
        other => panic!("{other:?}"),
    };
    cluster
        .events(key)
        .iter()
        .filter(repairs)
        .map(text)
        .collect()
}

#[test]
fn a_secondary_gets_its_damaged_entries_from_its_master() {
    let mut cluster = Cluster::settled("ab", 5);
    cluster.rot('a', 2);
    cluster.rot('a', 4);
    cluster.run("1ab", 5_000);
    assert!(cluster.journal('a').damaged.is_empty());
    assert_eq!(cluster.journal('a').entries, cluster.journal('1').entries);
    let mut told = kinds(&cluster, 'a');
    told.sort();
    assert_eq!(told, ["damaged 2", "damaged 4", "repaired 2", "repaired 4"]);
    // Then there is silence again.
    let from = cluster.now();
    cluster.run("1ab", 10_000);
    let appends = cluster
        .sent_since(from)
        .filter(|s| matches!(s.out.to, Address::Append(_)));
    assert_eq!(appends.count(), 0);
}

#[test]
fn a_master_gets_its_damaged_entries_from_whoever_holds_them() {
    let mut cluster = Cluster::settled("abc", 5);
    // A is asked first, and cannot read it either.
    cluster.rot('a', 3);
    cluster.rot('1', 3);
    cluster.run("1bc", 200);
    cluster.run("1abc", 5_000);
    for key in ['1', 'a'] {
        assert!(cluster.journal(key).damaged.is_empty(), "{key}");
        assert_eq!(kinds(&cluster, key), ["damaged 3", "repaired 3"], "{key}");
    }
    assert_eq!(cluster.journal('1').entries, cluster.journal('b').entries);
    assert_eq!(cluster.journal('a').entries, cluster.journal('b').entries);
}

/// Of two that hold the same, the one that cannot read the next entry is not the one to ask.
#[test]
fn a_master_that_comes_back_empty_fetches_a_damaged_entry_from_who_can_read_it() {
    for rotten in ['a', 'b'] {
        let mut cluster = Cluster::settled("ab", 5);
        cluster.rot(rotten, 3);
        drop(cluster.kill('1'));
        cluster.master('2', "ab");
        cluster.run("2ab", 15_000);
        assert_eq!(cluster.unavailable('2'), None, "{rotten}");
        assert_eq!(cluster.journal('2').last(), Seq(5), "{rotten}");
        assert!(cluster.journal(rotten).damaged.is_empty(), "{rotten}");
    }
}

/// A secondary that needs an entry which the master cannot read waits, and goes on when it is repaired.
#[test]
fn replication_goes_on_once_the_entry_is_repaired() {
    let mut cluster = Cluster::settled("ab", 5);
    drop(cluster.kill('b'));
    cluster.run("1a", 1_000);
    cluster.rot('1', 3);
    cluster.start('b', Journal::default());
    cluster.run("1b", 3_000);
    assert_eq!(cluster.journal('b').last(), Seq(2));
    cluster.run("1ab", 10_000);
    assert_eq!(cluster.journal('b').entries, cluster.journal('1').entries);
}

#[test]
fn only_the_very_entry_is_written_again() {
    let leader = leadership(1, 2, 2);
    let journal = Journal::of(log(1), &[(3, leader.epoch)]);
    let good = journal.entries.clone();
    let mut secondary = secondary_by("a", 9, journal);
    secondary.receive(append(leader, &good, 0, 3), at(1));
    assert_eq!(secondary.node.verified(), Seq(3));
    secondary.rot(2, at(2));
    secondary.receive(heartbeat(leader), at(3));
    assert_eq!(secondary.last_ack().damaged, Some(Seq(2)));
    // Another epoch's entry is not the one that was there.
    let other = [entry(2, epoch(1, 1), 50)];
    let mut frame = append(leader, &other, 0, 1);
    frame.prev = good[0].last_position();
    secondary.receive(frame, at(4));
    assert_eq!(secondary.journal.damaged.len(), 1);
    // Nor is one of a master that is not followed.
    secondary.receive(append(leadership(1, 1, 9), &good, 0, 3), at(5));
    assert_eq!(secondary.journal.damaged.len(), 1);
    // With whatever else it comes.
    secondary.receive(append(leader, &good, 0, 3), at(6));
    assert!(secondary.journal.damaged.is_empty());
    assert_eq!(secondary.journal.entries, good);
    secondary.receive(heartbeat(leader), at(7));
    assert_eq!(secondary.last_ack().damaged, None);
}

/// A master with three entries, all of which two secondaries hold.
fn master_of_three() -> Master {
    let mut master = serving(Some(&["a", "b"]));
    (1..=3).for_each(|id| master.post(id, 1, at(1)));
    master.join("a", 1, 3, at(2));
    master.join("b", 2, 3, at(2));
    master.sent.clear();
    master
}

#[test]
fn a_master_sends_only_what_the_secondary_holds_and_not_more_often_than_needed() {
    let asks = |seq: u64, change: fn(&mut Ack)| {
        let mut master = master_of_three();
        let mut ack = Ack {
            damaged: Some(Seq(seq)),
            ..master.answer_of("a", 1, 3, 1)
        };
        change(&mut ack);
        master.hear(ack, at(3));
        let sent = master.appends("a").into_iter();
        sent.map(|frame| (frame.prev.seq.0, frame.last().0))
            .collect::<Vec<_>>()
    };
    assert_eq!(asks(2, |_| {}), [(1, 2)]);
    assert_eq!(asks(0, |_| {}), [], "there is no such entry");
    assert_eq!(asks(4, |_| {}), [], "it never held that");
    assert_eq!(asks(2, |a| a.epoch = epoch(1, 1)), [], "another master's");
    assert_eq!(asks(2, |a| a.log_id = Some(log(77))), []);
    let mut master = master_of_three();
    for now in 3..2_003 {
        let ack = Ack {
            damaged: Some(Seq(2)),
            ..master.answer_of("a", 1, 3, 1)
        };
        master.hear(ack, at(now));
    }
    assert_eq!(master.appends("a").len(), 4, "one in half a second");
}

#[test]
fn a_master_asks_the_holders_in_turn_and_takes_only_the_very_entry() {
    let mut master = master_of_three();
    master.rot(2, at(3));
    // Both stay alive, and neither answers.
    for now in (100..1_600).step_by(100) {
        for (name, start) in [("a", 1), ("b", 2)] {
            master.hear(master.answer_of(name, start, 3, 1), at(now));
        }
    }
    let fetches = master
        .take_sent()
        .into_iter()
        .filter_map(|out| match out.message {
            Message::Fetch(fetch) => Some((out.to, fetch)),
            _ => None,
        });
    let fetches: Vec<(Address, Fetch)> = fetches.collect();
    let asked: Vec<_> = fetches
        .iter()
        .map(|(to, fetch)| (to.clone(), fetch.storage))
        .collect();
    let (a, b) = (Address::Fetch(node("a")), Address::Fetch(node("b")));
    assert_eq!(
        asked[..3],
        [(a.clone(), storage(1)), (b, storage(2)), (a, storage(1))]
    );
    assert!(
        fetches
            .iter()
            .all(|(_, f)| f.prev == master.journal.position(Seq(1)).expect("there"))
    );
    let answer = FetchResponse {
        position: master.answer_of("a", 1, 3, 1),
        prev: fetches[0].1.prev,
        entries: Some(master.journal.entries[1].clone()),
    };
    let lies: Vec<(&str, FetchResponse)> = vec![
        (
            "nothing",
            FetchResponse {
                entries: None,
                ..answer.clone()
            },
        ),
        (
            "not shown to be the master's",
            FetchResponse {
                position: master.answer_of("a", 1, 1, 1),
                ..answer.clone()
            },
        ),
        (
            "of another epoch",
            FetchResponse {
                position: Ack {
                    epoch: epoch(9, 9),
                    ..answer.position.clone()
                },
                ..answer.clone()
            },
        ),
        (
            "placed by another one",
            FetchResponse {
                entries: Some(entry(2, epoch(1, 9), 2)),
                ..answer.clone()
            },
        ),
        (
            "another entry",
            FetchResponse {
                prev: position(2, epoch(1, 2)),
                entries: Some(master.journal.entries[2].clone()),
                ..answer.clone()
            },
        ),
    ];
    for (what, lie) in lies {
        master.message(Message::FetchResponse(lie), at(1_700));
        assert_eq!(master.journal.damaged.len(), 1, "{what}");
    }
    master.message(Message::FetchResponse(answer), at(1_700));
    assert!(master.journal.damaged.is_empty());
    assert!(master.events.contains(&Event::Repaired { seq: Seq(2) }));
}

/// A master that recovers is told why it gets no answer; another holder has it.
#[test]
fn a_recovery_names_who_cannot_read_its_log() {
    let mut cluster = Cluster::settled("ab", 3);
    drop(cluster.kill('1'));
    cluster.rot('a', 2);
    cluster.master('2', "a");
    cluster.run("2a", 5_000);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    let recovery = cluster.leader('2').phase().recovery().expect("it recovers");
    let named: Vec<_> = recovery.cannot_read().collect();
    assert_eq!(named, [(node("a"), Seq(2))]);
}
