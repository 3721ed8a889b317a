//! The protocol, shown to be right in worlds without a clock and a network: the model check, and the seeded simulation.

mod model;
mod simulation;
