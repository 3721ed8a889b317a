//! A disk that hangs: nothing is stored, and clients come and go.

use replog_common::entry::Content;
use replog_common::log::Standing;
use replog_common::protocol::leader::{Leader, LeaderConfig, OnDisk};
use replog_common::protocol::outcome::{Draft, Lookup, Outcome, ReadOnly, Refusal};
use replog_common::types::Seq;

use crate::made::{at, config, draft, life};

fn leader(max_waiting: usize) -> Leader<u32> {
    let mut config: LeaderConfig = config(life(1, 1, 1), Some(&["a"]));
    config.replication.max_waiting = max_waiting;
    let (standing, last) = (Standing::default(), Seq::ZERO);
    Leader::on_disk(config, OnDisk { standing, last })
}

const TOO_MANY: Refusal = Refusal::ReadOnly(ReadOnly::TooManyWaiting);

#[test]
fn what_waits_for_it_has_a_bound() {
    let mut leader = leader(10_000);
    let megabyte = Content::from_text(&"x".repeat(1 << 20));
    let draft = |id: u32| Draft {
        content: megabyte.clone(),
        older: Lookup::New,
        ..draft(id.into(), 1)
    };
    let mut taken = 0;
    let refusal = loop {
        match leader.append(draft(taken), taken, at(1), |_| None) {
            Ok(_) => taken += 1,
            Err((refusal, _)) => break refusal,
        }
        if taken == 1 {
            assert_eq!(leader.take_staged().len(), 1, "this one hangs");
        }
        assert!(taken < 1_000, "a queue without a bound");
    };
    assert_eq!(refusal, TOO_MANY);
    assert!(leader.is_full() && taken >= 32, "{taken}");
    // It goes on, and nobody was lost.
    leader.stored(Seq(1));
    assert!(leader.append(draft(taken), taken, at(2), |_| None).is_ok());
    assert_eq!(leader.take_staged().len(), taken as usize);
    leader.stored(Seq(u64::from(taken) + 1));
    let answers = std::iter::from_fn(|| leader.poll_answer());
    let held = answers.filter(|a| a.outcome == Outcome::Replicated { acks: 1 });
    assert_eq!(held.count(), taken as usize + 1);
    assert!(!leader.is_full());
}

#[test]
fn who_has_hung_up_does_not_wait() {
    let mut leader = leader(100);
    // Always the same message, each time with less patience than the disk needs.
    let post = |leader: &mut Leader<u32>, n: u32| {
        let draft = Draft {
            until: Some(at(n.into())),
            ..draft(7, 1)
        };
        let placed = leader.append(draft, n, at(n.into()), |_| None);
        leader.tick(at(u64::from(n) + 1));
        placed.map_err(|(refusal, _)| refusal)
    };
    let refused = (0..1_000)
        .map(|n| post(&mut leader, n))
        .position(|p| p == Err(TOO_MANY));
    assert_eq!(refused, Some(100));
    assert!(
        leader.poll_answer().is_none(),
        "what to say is not known yet"
    );
    leader.purge(|_| true);
    assert!(post(&mut leader, 2_000).is_ok());
    let staged = leader.take_staged();
    leader.stored(staged[0].seq);
    let answers: Vec<u32> = std::iter::from_fn(|| leader.poll_answer())
        .map(|a| a.waiter)
        .collect();
    assert_eq!(answers, [2_000]);
}
