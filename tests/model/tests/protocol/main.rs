//! The protocol, shown to be right in worlds without a clock and a network: the model check, and the seeded simulation.

mod chunks;
#[expect(dead_code, reason = "some worlds are only for the example")]
mod model;
mod page;
mod scale;
mod sharing;
mod simulation;
mod worlds;
