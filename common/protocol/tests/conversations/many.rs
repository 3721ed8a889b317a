//! More secondaries than a master serves all at once: with limits so small that a handful of them are many.

use std::collections::{BTreeMap, BTreeSet};

use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::leader::health::Status;
use replog_protocol::leader::settings::Replication;
use replog_protocol::wire::{Address, Message};

use crate::support::hand::{Master, secondary, serving_by};
use crate::support::journal::Journal;
use crate::support::{at, heartbeat, leader_config, leadership, ms, node};

/// A master and secondaries that answer at once whatever they are sent, but for those that are dead.
struct Many {
    master: Master,
    held: BTreeMap<NodeId, u64>,
    dead: BTreeSet<NodeId>,
    /// They answer heartbeats, but no entries come to them.
    deaf: BTreeSet<NodeId>,
    /// When who was sent what.
    heartbeats: Vec<(u64, NodeId)>,
    appends: Vec<(u64, NodeId)>,
}

impl Many {
    /// Secondaries of those names, which join at 10 ms and hold nothing; there are so many entries by then.
    fn new(names: &[&str], entries: u32, replication: Replication) -> Self {
        let mut config = leader_config(2, Some(names));
        config.replication = replication;
        let mut master = serving_by(config, Journal::default());
        (1..=entries).for_each(|id| master.post(id, 1, at(1)));
        let mut many = Self {
            master,
            held: names.iter().map(|name| (node(name), 0)).collect(),
            dead: BTreeSet::new(),
            deaf: BTreeSet::new(),
            heartbeats: Vec::new(),
            appends: Vec::new(),
        };
        many.run(2, 9);
        for name in names {
            let hello = many.master.position_of(name, start(&node(name)), 0);
            many.master.hear(hello, at(10));
        }
        many.answer(10);
        many
    }

    fn run(&mut self, from: u64, to: u64) {
        for now in from..=to {
            self.master.tick(at(now));
            self.answer(now);
        }
    }

    /// Everybody who lives answers, until there is nothing to be answered.
    fn answer(&mut self, now: u64) {
        loop {
            let sent = self.master.take_sent();
            if sent.is_empty() {
                return;
            }
            for out in sent {
                let (Some(name), Message::Append(frame)) = (out.to.node().cloned(), out.message)
                else {
                    continue;
                };
                match out.to {
                    Address::Heartbeat(_) => self.heartbeats.push((now, name.clone())),
                    _ => self.appends.push((now, name.clone())),
                }
                let is_lost = frame.entries.is_some() && self.deaf.contains(&name);
                if is_lost || self.dead.contains(&name) {
                    continue;
                }
                let held = self.held.get_mut(&name).expect("it is known");
                if frame.prev.seq.0 <= *held {
                    *held = frame.last().0.max(*held);
                }
                let round = self
                    .master
                    .node
                    .peers()
                    .get(&name)
                    .map_or(0, |_| frame.round);
                let ack = match frame.entries {
                    None => (self.master).answer_of(name.as_str(), start(&name), *held, round),
                    Some(_) => self.master.position_of(name.as_str(), start(&name), *held),
                };
                self.master.hear(ack, at(now));
            }
        }
    }

    fn status(&self, name: &str, now: u64) -> Status {
        let peers = self.master.node.peers();
        peers.get(&node(name)).expect("it is known").status(at(now))
    }

    /// Who was sent entries from then on, and not after `to`.
    fn sent_entries(&self, from: u64, to: u64) -> BTreeSet<&str> {
        let between = self
            .appends
            .iter()
            .filter(|(now, _)| (from..=to).contains(now));
        between.map(|(_, name)| name.as_str()).collect()
    }

    fn hold(&self, seq: u64) -> BTreeSet<&str> {
        let peers = self.master.node.peers().iter();
        let hold = peers.filter(|(_, peer)| peer.matched() >= Seq(seq));
        hold.map(|(name, _)| name.as_str()).collect()
    }
}

/// The number of the storage of that name.
fn start(name: &NodeId) -> u128 {
    100 + u128::from(name.as_str().as_bytes()[0])
}

/// One is sent new entries at once, the others have a turn every 5 ms.
fn one_prompt() -> Replication {
    Replication {
        prompt: 1,
        turns_per_second: 200,
        ..Replication::default()
    }
}

const SIX: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[test]
fn heartbeats_of_many_are_within_the_budget_and_spread_and_nobody_is_suspected_falsely() {
    let replication = Replication {
        heartbeats_per_second: 4,
        ..Replication::default()
    };
    let mut many = Many::new(&SIX, 0, replication);
    assert_eq!(many.master.node.peers().pace().interval, ms(1500));
    many.run(11, 3_000);
    many.heartbeats.clear();
    many.master.events.clear();
    many.run(3_001, 18_000);
    assert_eq!(many.heartbeats.len(), 4 * 15, "{:?}", many.heartbeats);
    for name in SIX {
        let own = many.heartbeats.iter().filter(|(_, to)| *to == node(name));
        let own: Vec<u64> = own.map(|(now, _)| *now).collect();
        assert!(own.windows(2).all(|two| two[1] - two[0] <= 1500), "{own:?}");
    }
    let mut moments: Vec<u64> = many.heartbeats.iter().map(|(now, _)| *now).collect();
    moments.dedup();
    assert!(
        moments.len() > 4 * 15 / 2,
        "not all at one moment: {moments:?}"
    );
    assert_eq!(many.master.events, []);
    // Silence means what it did, in the same proportion.
    many.dead.insert(node("c"));
    let last = many.heartbeats.iter().rfind(|(_, to)| *to == node("c"));
    let last = last.expect("it had heartbeats").0;
    many.run(18_001, last + 15_000);
    let statuses = [4_499, 4_500, 14_999, 15_000].map(|after| many.status("c", last + after));
    use Status::{Healthy, Suspected, Unhealthy};
    assert_eq!(statuses, [Healthy, Suspected, Suspected, Unhealthy]);
    assert_eq!(many.status("d", last + 15_000), Healthy);
}

#[test]
fn heartbeats_of_few_come_as_they_are_set() {
    let replication = Replication {
        heartbeats_per_second: 12,
        ..Replication::default()
    };
    let mut many = Many::new(&SIX, 0, replication);
    many.heartbeats.clear();
    many.run(11, 5_010);
    assert_eq!(many.heartbeats.len(), 6 * 10, "{:?}", many.heartbeats);
    assert!(many.heartbeats.iter().all(|(now, _)| now % 500 == 10));
}

/// Of those that go on, none is suspected in between, although they were told the longer interval.
#[test]
fn when_there_are_fewer_the_pace_is_as_it_was() {
    let replication = Replication {
        heartbeats_per_second: 4,
        ..Replication::default()
    };
    let mut config = leader_config(2, None);
    config.replication = replication;
    let mut master = serving_by(config, Journal::default());
    for name in SIX {
        let hello = master.position_of(name, start(&node(name)), 0);
        master.hear(hello, at(10));
    }
    let mut many = Many {
        master,
        held: SIX.iter().map(|name| (node(name), 0)).collect(),
        dead: BTreeSet::new(),
        deaf: BTreeSet::new(),
        heartbeats: Vec::new(),
        appends: Vec::new(),
    };
    many.answer(10);
    many.dead.extend(SIX[..4].iter().map(|name| node(name)));
    many.run(11, 20_000);
    for (waiter, name) in (0..).zip(&SIX[..4]) {
        let remove = replog_protocol::leader::command::Command::Remove {
            node: node(name),
            waiter: crate::support::Client(waiter),
        };
        many.master.command(remove, at(20_001));
    }
    assert_eq!(many.master.node.peers().pace().interval, ms(500));
    many.master.events.clear();
    many.heartbeats.clear();
    many.run(20_001, 25_000);
    assert_eq!(many.master.events, []);
    let own = many.heartbeats.iter().filter(|(_, to)| *to == node("f"));
    assert!((9..=11).contains(&own.count()), "{:?}", many.heartbeats);
}

/// One at a time, in small messages, each of which is answered at once.
fn one_by_one() -> Replication {
    Replication {
        prompt: 1,
        catching_up: 1,
        far_behind: 2,
        batch_bytes: 200,
        window_bytes: 400,
        ..Replication::default()
    }
}

#[test]
fn those_that_are_far_behind_catch_up_one_after_the_other_and_none_keeps_its_place_for_nothing() {
    let mut many = Many::new(&["a", "b", "c"], 0, one_by_one());
    many.dead.extend(["a", "b", "c"].map(node));
    (1..=30).for_each(|id| many.master.post(id, 1, at(20)));
    many.run(20, 6_000);
    many.appends.clear();
    // All are there again; the entries that are sent to `a` are lost.
    many.dead.clear();
    many.deaf.insert(node("a"));
    for name in ["a", "b", "c"] {
        let ack = many
            .master
            .position_of(name, start(&node(name)), many.held[&node(name)]);
        many.master.hear(ack, at(6_001));
    }
    many.answer(6_001);
    assert_eq!(
        many.sent_entries(6_001, 6_001),
        BTreeSet::from(["a"]),
        "one at a time"
    );
    many.run(6_002, 6_001 + 1_499);
    assert_eq!(many.sent_entries(6_002, 7_500), BTreeSet::from(["a"]));
    many.run(7_501, 7_600);
    assert_eq!(
        many.hold(30),
        BTreeSet::from(["b", "c"]),
        "{:?}",
        many.appends
    );
    assert_eq!(many.status("a", 7_600), Status::Healthy);
    many.deaf.clear();
    many.run(7_601, 14_000);
    assert_eq!(many.hold(30), BTreeSet::from(["a", "b", "c"]));
}

/// The fastest ones are those that answer: the others have their turn soon after.
#[test]
fn only_some_are_sent_an_entry_at_once_and_the_others_soon() {
    let mut many = Many::new(&SIX, 0, one_prompt());
    // Everybody has answered an append once, after a millisecond.
    many.master.post(1, 7, at(20));
    let sent = many.master.take_sent();
    assert_eq!(sent.len(), 6, "nothing is known of them: all are sent it");
    many.master.sent = sent;
    many.answer(21);
    assert_eq!(many.master.replicated(1), Some(7));
    many.run(22, 700);
    many.appends.clear();
    many.master.post(2, 2, at(701));
    many.answer(701);
    let at_once = many.appends.len();
    assert!(
        (2..=3).contains(&at_once),
        "{at_once}: who is waited for, one more, and whose turn it is"
    );
    assert!(many.master.replicated(2) >= Some(2));
    many.run(702, 760);
    assert_eq!(many.hold(2).len(), 6, "{:?}", many.appends);
    // Who waits for all does not wait longer.
    many.appends.clear();
    many.master.post(3, 7, at(761));
    many.answer(761);
    assert_eq!(many.appends.len(), 6);
    assert_eq!(many.master.replicated(3), Some(7));
}

#[test]
fn when_the_chosen_do_not_answer_others_are_asked() {
    let replication = Replication {
        prompt: 1,
        // Their turn comes once in a while, too late to help.
        turns_per_second: 1,
        ..Replication::default()
    };
    let mut many = Many::new(&SIX, 0, replication);
    many.master.post(1, 7, at(20));
    let sent = many.master.take_sent();
    many.master.sent = sent;
    many.answer(21);
    many.run(22, 700);
    many.appends.clear();
    many.master.post(2, 2, at(701));
    let sent = many.master.take_sent();
    let chosen: BTreeSet<NodeId> = sent
        .iter()
        .filter_map(|out| out.to.node().cloned())
        .collect();
    assert!((2..=3).contains(&chosen.len()), "{chosen:?}");
    many.dead.clone_from(&chosen);
    many.master.sent = sent;
    many.answer(701);
    assert_eq!(many.master.replicated(2), None);
    many.run(702, 701 + 60);
    assert!(many.master.replicated(2) >= Some(2), "{:?}", many.appends);
}

#[test]
fn a_secondary_that_is_told_a_longer_interval_is_silent_for_longer() {
    let mut own = secondary("s1");
    let mut told = secondary("s1");
    own.receive(heartbeat(leadership(1, 1, 1)), at(1));
    let frame = replog_protocol::wire::AppendEntries {
        interval: ms(2_500),
        ..heartbeat(leadership(1, 1, 1))
    };
    told.receive(frame, at(1));
    own.take_acks();
    told.take_acks();
    own.idle(at(2), at(1_501));
    assert_eq!(own.take_acks().len(), 1, "a hello");
    // At the earliest after half of the first wait, and three times the difference.
    told.idle(at(2), at(1 + 750 + 6_000 - 1));
    assert_eq!(told.take_acks().len(), 0);
    told.idle(at(6_751), at(1 + 1_500 + 6_000));
    assert_eq!(told.take_acks().len(), 1);
}

/// Others are chosen while it does not answer yet, and no turn comes because there is nothing new.
#[test]
fn one_that_joins_while_nothing_happens_is_sent_everything() {
    let mut many = Many::new(&SIX, 0, one_prompt());
    many.master.post(1, 7, at(20));
    many.answer(21);
    many.run(22, 5_000);
    assert_eq!(many.hold(1).len(), 6);
    let name = node("g");
    many.held.insert(name.clone(), 0);
    many.dead.insert(name.clone());
    let hello = many.master.position_of("g", start(&name), 0);
    many.master.hear(hello, at(5_000));
    many.run(5_000, 6_500);
    many.dead.clear();
    many.run(6_501, 12_000);
    assert!(many.hold(1).contains("g"), "{:?}", many.hold(1));
}
