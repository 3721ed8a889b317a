use replog_protocol::committed::Committed;
use replog_protocol::entry::{BatchBuilder, Content};
use replog_protocol::follower::FollowerConfig;
use replog_protocol::ids::{Epoch, Leadership, LogId, MasterId, MessageId, NodeId, StorageId};
use replog_protocol::node::{Identity, LinkState, Restored, WriteResult};
use uuid::Uuid;

use super::*;

type Node1 = FaultyFollower<()>;

const SECOND: Duration = Duration::from_secs(1);

fn name() -> NodeId {
    "s1".parse().unwrap()
}

fn leader() -> Leadership {
    Leadership {
        log_id: LogId(Uuid::from_u128(1)),
        epoch: Epoch {
            n: 1,
            master: MasterId(Uuid::from_u128(2)),
        },
    }
}

/// A secondary that has its name, with these faults.
fn node(faults: Faults) -> Node1 {
    let config = FollowerConfig {
        identity: Identity {
            node: name(),
            storage: StorageId(Uuid::from_u128(3)),
        },
        heartbeat_interval: SECOND / 2,
        seed: 1,
        url: None,
    };
    let follower = Follower::new(config, Restored::default());
    let mut node = Node1::new(follower, faults, 7);
    let max_payload = 1 << 20;
    node.step(Input::Link(LinkState::Up { max_payload }), Time::ZERO);
    let hello = Address::Ack(name(), AckOf::Hello);
    node.step(Input::NoResponders(hello), Time::ZERO);
    acks(&mut node, Time::ZERO);
    node
}

/// The entries `first..=last` of the master.
fn append(first: u64, last: u64) -> AppendEntries {
    let mut builder = BatchBuilder::new(Seq(first), leader().epoch);
    for seq in first..=last {
        let id = MessageId(Uuid::from_u128(seq.into()));
        builder.push(id, &Content::from_text(&format!("message {seq}")));
    }
    AppendEntries {
        entries: builder.finish(),
        ..heartbeat(first - 1, last)
    }
}

/// What the master says when it takes the secondary to hold everything up to `prev`.
fn heartbeat(prev: u64, tail: u64) -> AppendEntries {
    let epoch = match prev {
        0 => Epoch::ZERO,
        _ => leader().epoch,
    };
    AppendEntries {
        leader: leader(),
        prev: LogPosition {
            seq: Seq(prev),
            epoch,
        },
        entries: None,
        tail: Seq(tail),
        committed: Committed::default(),
        cleared: Default::default(),
        storage: None,
        round: 0,
        interval: Duration::ZERO,
        url: None,
        digest: None,
        request_ids: Vec::new(),
    }
}

/// Hands the message over and carries everything out: the ACKs that leave.
fn hear(node: &mut Node1, append: AppendEntries, now: Time) -> Vec<Ack> {
    node.step(Input::Message(Message::Append(append)), now);
    acks(node, now)
}

fn set(node: &mut Node1, change: FaultsChange, now: Time) -> Vec<Ack> {
    let waiter = ();
    node.step(Input::Client(Command::SetFaults { change, waiter }), now);
    acks(node, now)
}

/// Carries everything out; every write is done at once.
fn acks(node: &mut Node1, now: Time) -> Vec<Ack> {
    let mut acks = Vec::new();
    loop {
        let ready = node.ready(now);
        acks.extend(ready.messages.into_iter().filter_map(|m| match m.message {
            Message::Ack(ack) => Some(ack),
            _ => None,
        }));
        if ready.write.is_none() {
            return acks;
        }
        let rolled_back = None;
        node.step(Input::Written(WriteResult::Done { rolled_back }), now);
    }
}

fn upto(acks: &[Ack]) -> Vec<u64> {
    acks.iter().map(|ack| ack.upto.0).collect()
}

#[test]
fn without_faults_it_is_its_follower() {
    let mut node = node(Faults::default());
    assert_eq!(upto(&hear(&mut node, append(1, 3), Time::ZERO)), [3]);
    assert_eq!(upto(&hear(&mut node, heartbeat(3, 3), Time::ZERO)), [3]);
    assert_eq!(node.follower().log().durable(), Seq(3));
}

#[test]
fn what_is_lost_is_not_stored_and_what_follows_is_held_back() {
    let mut node = node(Faults {
        drop_rate: 0.3,
        ..Faults::default()
    });
    let parts = node.lose(append(1, 200));
    assert!(parts.len() > 20, "{}", parts.len());
    let mut kept = 0;
    for part in &parts {
        let batch = part.entries.as_ref().expect("only parts with entries");
        assert_eq!(batch.first(), part.prev.seq.next());
        let before = part.prev.seq == Seq::ZERO;
        assert_eq!(part.prev.epoch == Epoch::ZERO, before);
        kept += batch.count();
    }
    assert!((110..170).contains(&kept), "{kept}");

    let said = hear(&mut node, append(1, 200), Time::ZERO);
    let ack = said.last().expect("an ACK");
    assert!(
        ack.upto < Seq(200) && ack.held_from > Some(ack.upto.next()),
        "{ack:?}"
    );
    // Sent again and again, all of it arrives.
    let mut tries = 0;
    while node.follower().log().durable() < Seq(200) {
        let from = node.follower().log().durable().0 + 1;
        hear(&mut node, append(from, 200), Time::ZERO);
        tries += 1;
        assert!(tries < 200, "{:?}", node.follower().log().durable());
    }
    assert_eq!(node.follower().held_back(), 0);
}

#[test]
fn all_is_lost_at_a_rate_of_1_but_no_heartbeat() {
    let mut node = node(Faults {
        drop_rate: 1.0,
        ..Faults::default()
    });
    assert!(hear(&mut node, append(1, 3), Time::ZERO).is_empty());
    assert_eq!(upto(&hear(&mut node, heartbeat(0, 3), Time::ZERO)), [0]);
    assert_eq!(node.follower().master_tail(), Seq(3));
}

#[test]
fn a_delayed_append_waits_and_nothing_else_does() {
    let mut node = node(Faults {
        delay: SECOND,
        ..Faults::default()
    });
    let (begin, later) = (Time::ZERO, Time::ZERO + SECOND / 2);
    assert!(hear(&mut node, append(1, 1), begin).is_empty());
    assert!(node.deadline(begin).is_some_and(|at| at <= begin + SECOND));
    assert!(hear(&mut node, append(2, 2), later).is_empty());
    assert_eq!(upto(&hear(&mut node, heartbeat(0, 2), later)), [0]);
    node.step(Input::Tick, begin + SECOND);
    assert_eq!(upto(&acks(&mut node, begin + SECOND)), [1]);
    // With a shorter delay what waits is due at once.
    let change = FaultsChange {
        delay: Some(Duration::ZERO),
        ..FaultsChange::default()
    };
    assert_eq!(upto(&set(&mut node, change, begin + SECOND)), [2]);
    assert_eq!(upto(&hear(&mut node, append(3, 3), begin + SECOND)), [3]);
}

#[test]
fn the_deadline_of_the_first_delayed_append_counts() {
    let mut delayed = Delayed::default();
    assert_eq!(delayed.deadline(SECOND), None);
    assert!(delayed.push(append(1, 1), Time::ZERO + SECOND));
    assert!(delayed.push(append(2, 2), Time::ZERO + SECOND * 3));
    assert_eq!(delayed.deadline(SECOND), Some(Time::ZERO + SECOND * 2));
    assert!(delayed.pop(SECOND, Time::ZERO + SECOND).is_none());
    let first = delayed.pop(SECOND, Time::ZERO + SECOND * 2);
    assert_eq!(first.map(|a| a.last()), Some(Seq(1)));
    assert_eq!(delayed.deadline(SECOND), Some(Time::ZERO + SECOND * 4));
}

#[test]
fn what_waits_is_bounded() {
    let mut delayed = Delayed::default();
    let mut builder = BatchBuilder::new(Seq(1), leader().epoch);
    let content = Content::from_text(&"x".repeat(MAX_DELAYED_BYTES / 2));
    builder.push(MessageId::default(), &content);
    let large = AppendEntries {
        entries: builder.finish(),
        ..heartbeat(0, 1)
    };
    assert!(delayed.push(large.clone(), Time::ZERO));
    assert!(!delayed.push(large.clone(), Time::ZERO));
    assert!(delayed.pop(Duration::ZERO, Time::ZERO).is_some());
    assert_eq!(delayed.bytes, 0);
    assert!(delayed.push(large, Time::ZERO), "there is room again");
}

#[test]
fn an_error_hides_what_was_stored_until_a_heartbeat_asks() {
    let mut node = node(Faults::default());
    assert_eq!(upto(&hear(&mut node, append(1, 1), Time::ZERO)), [1]);
    let always = FaultsChange {
        error_rate: Some(1.0),
        ..FaultsChange::default()
    };
    assert!(set(&mut node, always, Time::ZERO).is_empty());
    for (first, known) in [(2, 1), (3, 2)] {
        let said = hear(&mut node, append(first, first), Time::ZERO);
        assert_eq!(upto(&said), [known]);
        assert!(said[0].error.is_some());
        assert_eq!(said[0].last.seq, Seq(known));
        assert_eq!(node.follower().log().durable(), Seq(first), "it is stored");
        let said = hear(&mut node, heartbeat(known, first), Time::ZERO);
        assert_eq!(upto(&said), [first]);
        assert_eq!(said[0].error, None);
    }
    // What was sent again because of it is no news, and answered as it is.
    let said = hear(&mut node, append(3, 3), Time::ZERO);
    assert_eq!((upto(&said), &said[0].error), (vec![3], &None));
}
