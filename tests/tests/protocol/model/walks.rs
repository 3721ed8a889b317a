//! Worlds too large to be explored: random walks through them, each with its seed.

use stateright::{Checker, Model, UniformChooser};

use super::bounds::{Bounds, Start, small};

/// Walks until so many states were visited; every property that holds always must hold in each.
fn walk(bounds: &Bounds, seed: u64, states: usize) {
    let checker = (bounds.clone().checker())
        .target_state_count(states)
        .spawn_simulation(seed, UniformChooser)
        .join();
    let broken = checker.discoveries().into_iter().find(|(name, _)| {
        let property = bounds.properties().into_iter().find(|p| p.name == *name);
        property.is_some_and(|p| p.expectation == stateright::Expectation::Always)
    });
    if let Some((name, path)) = broken {
        panic!("seed {seed} breaks {name:?}: {path}");
    }
}

/// Clearings, crashes and masters that recover, together.
#[test]
fn cleared_forgotten_and_recovered() {
    let bounds = Bounds {
        clears: 2,
        rebirths: 2,
        crashes: 1,
        epochs: 9,
        start: Start::Patient,
        ..small(2, &[(1, 2), (2, 2)])
    };
    for seed in 1..=8 {
        walk(&bounds, seed, 20_000);
    }
}

#[test]
fn cleared_by_one_and_overtaken_by_another() {
    let bounds = Bounds {
        clears: 1,
        seconds: 1,
        takeover: true,
        epochs: 9,
        start: Start::Hasty,
        ..small(2, &[(1, 2), (2, 2)])
    };
    for seed in 1..=8 {
        walk(&bounds, seed, 20_000);
    }
}
