//! The protocol, shown to be right in worlds without a clock and a network: the model check, the seeded simulation, and
//! each message through its bytes.

mod model;
mod simulation;
