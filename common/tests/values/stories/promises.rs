//! Masters that begin, and what secondaries promise them.

use replog_common::message::{Announce, Fetch};
use replog_common::protocol::follower::Received;
use replog_common::protocol::outcome::{Outcome, ReadOnly};
use replog_common::types::{Epoch, Seq};

use super::{cleared, settled};
use crate::cluster::{Master, Nodes};
use crate::made::{append, at, draft, follower, hello, instance, life, log};

#[test]
fn a_promise_to_one_that_died_does_not_fence_its_successors() {
    let (_, mut nodes) = cleared();
    // This one hears only who slept through the clearing, and dies before it serves.
    Master::start(2, &["a", "b"]).run(&mut nodes, &["b"], 3200);
    assert_eq!(nodes.get("b").follower.instance(), Some(instance(2)));
    let mut third = Master::start(3, &["a", "b"]);
    third.run(&mut nodes, &["a", "b"], 9000);
    assert_eq!((third.read_only(), third.life().log_id), (None, log(77)));
    assert_eq!(
        nodes.get("b").stored,
        third.stored,
        "it came over by itself"
    );
}

#[test]
fn nobody_is_fenced_by_a_promise_to_itself() {
    let (_, mut nodes) = cleared();
    let mut second = Master::start(2, &["a", "b"]);
    second.hear(&nodes.get("b").ack());
    // B's promises are lost, and B is given up; A speaks.
    while second.now() < 3300 {
        second.run(&mut nodes, &[], 50);
        while let Some((_, fetch)) = second.leader.poll_fetch(1000, at(second.now())) {
            nodes.get_mut("b").follower.answer(&fetch);
        }
    }
    second.run(&mut nodes, &["a"], 10_000);
    assert_eq!(second.life().log_id, log(77));
    second.hear(&nodes.get("b").ack());
    assert_eq!(second.read_only(), None);
}

#[test]
fn a_master_that_ends_for_another_one_leaves_that_one_unfenced() {
    let (mut first, mut nodes) = cleared();
    let mut second = Master::start(2, &["b"]);
    second.hear(&nodes.get("b").ack());
    second.run(&mut nodes, &[], 600);
    let (_, fetch) = second
        .leader
        .poll_fetch(1000, at(2000))
        .expect("B is asked");
    nodes.get_mut("b").follower.answer(&fetch);
    let lives = Announce {
        life: first.life(),
        is_serving: true,
        overtakes: None,
    };
    second.leader.announced(&lives, at(second.now()));
    assert!(second.leader.beaten_by().is_some());
    first.hear(&nodes.get("b").ack());
    assert_eq!(first.read_only(), None);
}

/// Its log is empty because only somebody was heard who held nothing of the history.
#[test]
fn an_empty_log_gives_way_to_a_latecomer_of_the_same_history() {
    for c_has_promised in [true, false] {
        let mut nodes = Nodes::new(&["b", "c"]);
        let mut first = Master::start(1, &["b", "c"]);
        first.run(&mut nodes, &["b"], 5000);
        (1..=3).for_each(|id| first.append(id));
        first.run(&mut nodes, &["b"], 1000);
        let mut second = Master::start(2, &["b", "c"]);
        if c_has_promised {
            // Both are heard in time; B falls silent before it was asked.
            second.hear(&nodes.get("b").ack());
            second.hear(&nodes.get("c").ack());
        } else {
            // C has heard of the history, and has no entries yet.
            let heartbeat = first.leader.frame(Seq::ZERO, None);
            nodes.get_mut("c").follower.receive(heartbeat);
        }
        second.run(&mut nodes, &["c"], 14_000);
        assert_eq!((second.read_only(), second.stored.len()), (None, 0));
        second.hear(&nodes.get("b").ack());
        second.run(&mut nodes, &["b", "c"], 9000);
        assert_eq!((second.read_only(), second.stored.len()), (None, 3));
        assert_eq!(nodes.get("b").aside, [], "nothing that was acknowledged");
        assert_eq!(nodes.get("c").stored, second.stored);
    }
}

#[test]
fn who_holds_only_what_was_cleared_has_to_promise() {
    let (mut first, mut nodes) = cleared();
    let mut second = Master::start(2, &["a", "b"]);
    second.run(&mut nodes, &["a", "b"], 550);
    second.run(&mut nodes, &["a"], 1000);
    assert_eq!(second.read_only(), None);
    // The former one goes on without knowing; B hears it before any heartbeat of the new one.
    let placed = first
        .leader
        .append(draft(12, 2), 7, at(first.now()), |_| None);
    placed.map_err(|e| e.0).expect("it takes appends");
    first.run(&mut nodes, &["b"], 1000);
    let mut answers = std::iter::from_fn(|| first.leader.poll_answer());
    let told = answers.find(|a| a.waiter == 7).map(|a| a.outcome);
    assert_eq!(told, Some(Outcome::Fenced { acks: 1 }));
    assert_eq!(first.read_only(), Some(ReadOnly::Fenced));
}

/// What it heard before it was stopped, and what it was promised, may not be so any more.
#[test]
fn a_master_that_was_stopped_while_it_recovered_begins_again() {
    let (_, mut nodes) = settled(&["a"], 3);
    // While it listened: the answers lie in its socket.
    let mut second = Master::start(2, &["a"]);
    second.run(&mut nodes, &[], 50);
    second.leader.tick(at(10_000));
    assert_eq!(
        second.leader.read_only(at(10_000)),
        Some(ReadOnly::Recovering)
    );
    // After it was promised: somebody else was promised more, and serves.
    let mut third = Master::start(3, &["a"]);
    third.hear(&nodes.get("a").ack());
    third.run(&mut nodes, &[], 550);
    let (_, fetch) = third.leader.poll_fetch(1000, at(1100)).expect("it asks");
    let answer = nodes.get_mut("a").follower.answer(&fetch);
    third.leader.fetched(answer.with(Vec::new()), at(1100));
    let mut fourth = Master::start(4, &["a"]);
    fourth.run(&mut nodes, &["a"], 4000);
    assert_eq!(fourth.read_only(), None);
    third.leader.tick(at(60_000));
    assert_eq!(
        third.leader.read_only(at(60_000)),
        Some(ReadOnly::Recovering)
    );
    let lives = Announce {
        life: fourth.life(),
        is_serving: true,
        overtakes: None,
    };
    third.leader.announced(&lives, at(60_001));
    assert!(
        third.leader.beaten_by().is_some(),
        "and does not overtake it"
    );
}

#[test]
fn a_fenced_master_wins_nobody_over() {
    let (mut first, mut nodes) = cleared();
    let other = Announce {
        life: life(500, 9, 9),
        is_serving: true,
        overtakes: Some(instance(1)),
    };
    first.leader.announced(&other, at(first.now()));
    assert_eq!(first.read_only(), Some(ReadOnly::Fenced));
    first.hear(&nodes.get("c").ack());
    first.run(&mut nodes, &["a", "b", "c"], 2000);
    assert_eq!(nodes.get("c").follower.log_id(), None);
}

#[test]
fn one_word_of_another_history_does_not_undo_a_promise() {
    let mut empty = follower("c");
    empty.answer(&Fetch {
        life: life(1, 6, 5),
        replaces: Vec::new(),
        from: Seq(1),
        max_bytes: 0,
    });
    assert_eq!(
        empty.receive(append(life(1, 5, 4), &[], 0, 0)),
        Received::OtherMaster
    );
    empty.receive(append(life(9, 1, 9), &[], 0, 0));
    assert_eq!(
        empty.receive(append(life(1, 5, 4), &[], 0, 0)),
        Received::OtherMaster
    );
    empty.receive(append(life(1, 6, 5), &[], 0, 0));
    assert_eq!(empty.ack().instance, Some(instance(5)));
}

#[test]
fn an_epoch_that_leaves_room_for_one_life_is_no_trap() {
    let (_, mut nodes) = settled(&["a", "b"], 3);
    let mut second = Master::start(2, &["a", "b"]);
    let mut lie = hello("x");
    (lie.log_id, lie.instance) = (Some(log(5)), Some(instance(5)));
    lie.epoch = Epoch(Epoch::MAX.0 - 1);
    second.hear(&lie);
    second.run(&mut nodes, &["a", "b"], 7000);
    assert_eq!((second.read_only(), second.stored.len()), (None, 3));
}
