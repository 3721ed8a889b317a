//! Storms by the hundred: whatever the link loses, repeats, delays and refuses, whoever is told "held by w nodes" was told
//! the truth, and when the storm is over everybody holds the same log.
//!
//! A failure prints its seed; `REPLOG_SEED=17 cargo test -p replog-tests --test shells seeds` plays that one alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use replog_model::rng::SeededRng;
use replog_protocol::leader::command::Answer;
use replog_tests::memory_link::Faults;
use tokio::time::{sleep, timeout};

use crate::world::{Setup, World, ms, secs};

const NAMES: [&str; 3] = ["s1", "s2", "s3"];

/// Plays each seed on paused time of its own, or the one that `REPLOG_SEED` names.
fn each_seed<F: Future<Output = ()>>(count: u64, play: impl Fn(u64) -> F) {
    let seeds: Vec<u64> = match std::env::var("REPLOG_SEED") {
        Ok(seed) => vec![seed.parse().expect("REPLOG_SEED is a number")],
        Err(_) => (0..count).collect(),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(seed))));
        if let Err(panic) = played {
            eprintln!("it was seed {seed}: play it alone with REPLOG_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

fn storm(rng: &mut SeededRng) -> Faults {
    Faults {
        loss: rng.fraction() * 0.4,
        duplication: rng.fraction() * 0.4,
        refusal: rng.fraction() * 0.2,
        delay_min: ms(0),
        delay_max: ms(rng.below(80)),
    }
}

/// Appends in bursts while the faults change, and compares in the end.
async fn play(seed: u64, restarts: bool) {
    let mut rng = SeededRng::new(seed);
    let mut setup = Setup::listed(&NAMES);
    setup.seed = seed;
    // Small batches and windows: many messages, many ways to go wrong.
    setup.replication.batch_bytes = 200 + rng.below(3000) as usize;
    setup.replication.window_bytes = setup.replication.batch_bytes * 4;
    let mut world = World::whole(setup).await;
    world.must_post("first", 1).await;
    let count = 100 + rng.below(200);
    let mut waits = Vec::new();
    for i in 0..count {
        let w = 1 + rng.below(4);
        waits.push((i, w, world.post(&format!("Msg{i}"), w, None)));
        if rng.hit(0.2) {
            sleep(ms(rng.below(120))).await;
        }
        let name = NAMES[rng.below(3) as usize];
        if rng.hit(0.02) {
            world.broker.set_faults(storm(&mut rng));
        } else if rng.hit(0.01) {
            world.broker.cut_off(name);
        } else if rng.hit(0.05) {
            NAMES.iter().for_each(|n| world.broker.reconnect(n));
        } else if rng.hit(0.005) {
            world.broker.set_up(false);
            sleep(ms(1 + rng.below(5000))).await;
            world.broker.set_up(true);
        } else if restarts && rng.hit(0.01) {
            world.start(name);
        }
    }
    world.broker.set_faults(Faults::NONE);
    NAMES.iter().for_each(|n| world.broker.reconnect(n));
    for (i, w, wait) in waits {
        let answer = timeout(secs(60), wait).await;
        let answer = answer.unwrap_or_else(|_| panic!("Msg{i} with w={w} is not answered"));
        let Ok(Answer::Replicated { appended, acks }) = answer else {
            panic!("Msg{i}: {answer:?}");
        };
        assert!(u64::from(acks) >= w, "Msg{i}: {acks} of {w}");
        assert!(appended.last.0 <= count + 1);
    }
    world.all_alike().await;
    let contents = world.master.contents();
    let mut sorted = contents.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(contents.len() as u64, count + 1, "everything");
    assert_eq!(sorted.len(), contents.len(), "once");
}

#[test]
fn a_hundred_storms() {
    each_seed(100, |seed| play(seed, false));
}

#[test]
fn a_hundred_storms_with_secondaries_that_lose_their_memory() {
    each_seed(100, |seed| play(seed, true));
}
