//! Storms by the hundred: whatever the line loses, repeats, delays and refuses, whoever is told "held by w nodes" was told
//! the truth, and when the storm is over everybody holds the same log.
//!
//! A failure prints its seed; `REPLOG_SEED=17 cargo test -p replog-tests --test shells seeds` plays that one alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use replog_common::protocol::outcome::Outcome;
use replog_tests::line::{Chance, Weather};
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

fn storm(chance: &mut Chance) -> Weather {
    Weather {
        loss: chance.fraction() * 0.4,
        duplication: chance.fraction() * 0.4,
        refusal: chance.fraction() * 0.2,
        delay_min: ms(0),
        delay_max: ms(chance.below(80)),
    }
}

fn setup(seed: u64, chance: &mut Chance) -> Setup {
    let mut setup = Setup::listed(&NAMES);
    setup.seed = seed;
    // Small batches and windows: many messages, many ways to go wrong.
    setup.replication.batch_bytes = 200 + chance.below(3000) as usize;
    setup.replication.window_bytes = setup.replication.batch_bytes * 4;
    setup
}

/// Appends in bursts while the weather changes; hands out how many were appended and how many clients were told "replicated".
async fn play(world: &mut World, chance: &mut Chance, restarts: bool) -> (usize, usize) {
    let count = 200 + chance.below(200) as usize;
    let (mut waits, mut met) = (Vec::new(), 0);
    for i in 0..count {
        let w = 1 + chance.below(4) as u32;
        waits.push((i, w, world.master.post(&format!("Msg{i}"), w, None)));
        if chance.hit(0.2) {
            sleep(chance.between(ms(0), ms(120))).await;
        }
        let name = NAMES[chance.below(3) as usize];
        if chance.hit(0.02) {
            world.hub.set_weather(storm(chance));
        } else if chance.hit(0.01) {
            world.hub.cut(name);
        } else if chance.hit(0.05) {
            NAMES.iter().for_each(|n| world.hub.mend(n));
        } else if chance.hit(0.005) {
            world.hub.set_up(false);
            sleep(chance.between(ms(1), secs(5))).await;
            world.hub.set_up(true);
        } else if restarts && chance.hit(0.01) {
            world.start(name).await;
        }
        waits.retain_mut(|(i, w, wait)| {
            let Ok(told) = wait.try_recv() else {
                return true;
            };
            met += 1;
            held(world, *i, *w, told.expect("placed"), restarts);
            false
        });
    }
    world.hub.set_weather(Weather::CLEAR);
    NAMES.iter().for_each(|n| world.hub.mend(n));
    for (i, w, wait) in waits {
        let told = timeout(secs(30), wait).await;
        let told = told.unwrap_or_else(|_| panic!("Msg{i} with w={w} is not answered"));
        held(
            world,
            i,
            w,
            told.expect("an answer").expect("placed"),
            restarts,
        );
        met += 1;
    }
    (count, met)
}

/// Whoever is told "held by w nodes" was told the truth: counted on the nodes themselves, not with the master.
fn held(
    world: &World,
    i: usize,
    w: u32,
    told: (replog_common::protocol::outcome::Placement, Outcome),
    restarts: bool,
) {
    let (at, Outcome::Replicated { acks }) = told else {
        panic!("Msg{i}: {told:?}");
    };
    assert!(acks >= w, "Msg{i}: {acks} of {w}");
    let holds = |s: &&crate::world::Secondary| s.last_seq() >= at.seq.0;
    let holders = 1 + world.secondaries.values().filter(holds).count();
    // One that has lost its log since then held it when it said so.
    assert!(
        restarts || holders >= w as usize,
        "Msg{i}: {holders} of {w}"
    );
}

async fn survives(seed: u64, restarts: bool) {
    let mut chance = Chance::new(seed);
    let mut world = World::new(setup(seed, &mut chance));
    for name in NAMES {
        world.start(name).await;
    }
    world.hub.set_weather(storm(&mut chance));
    let (count, met) = play(&mut world, &mut chance, restarts).await;
    assert_eq!((world.master.contents().len(), met), (count, count));
    world.converge(secs(30)).await;
    assert_eq!(world.master.healthy().await, 3);
}

#[test]
fn after_the_storm_everybody_holds_the_same() {
    each_seed(200, |seed| survives(seed, false));
}

#[test]
fn also_when_secondaries_start_again_empty() {
    each_seed(100, |seed| survives(1000 + seed, true));
}

/// What happened in a run, as far as it does not name random ids.
async fn transcript(seed: u64) -> Vec<(Duration, String, usize)> {
    let mut chance = Chance::new(seed);
    let mut world = World::new(setup(seed, &mut chance));
    for name in NAMES {
        world.start(name).await;
    }
    let began = tokio::time::Instant::now();
    world.hub.set_weather(storm(&mut chance));
    play(&mut world, &mut chance, true).await;
    let sent = world.hub.sent(|_| true);
    let line = |s: replog_tests::line::Sent| (s.at - began, s.subject, s.payload.len());
    sent.into_iter().map(line).collect()
}

#[test]
fn a_seed_plays_the_same_run_again() {
    let played = std::cell::RefCell::new(Vec::new());
    for _ in 0..2 {
        each_seed(3, async |seed| {
            let run = transcript(seed).await;
            played.borrow_mut().push(run);
        });
    }
    let played = played.into_inner();
    let (first, second) = played.split_at(played.len() / 2);
    assert!(first.iter().all(|run| run.len() > 200));
    assert_eq!(first, second);
}
