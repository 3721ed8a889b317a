//! Explores the worlds of the model check that are too large for the normal test run, one after the other, or those whose
//! names have a part in common: `cargo run --release -p replog-model --example model -- second_master`. Hours, and gigabytes.

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/protocol/model/mod.rs"]
mod model;

use clap::Parser;

use model::{explore_all, large};

/// The large worlds of the model check.
#[derive(Parser)]
struct Arguments {
    /// Only worlds with this in their names.
    #[arg(default_value = "")]
    name: String,
}

fn main() {
    let arguments = Arguments::parse();
    let worlds = large::worlds().into_iter();
    for (name, bounds) in worlds.filter(|(name, _)| name.contains(&arguments.name)) {
        println!("{name}");
        let states = explore_all(bounds);
        println!("{name}: {states} states, nothing is broken");
    }
}
