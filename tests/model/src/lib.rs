//! The protocol in worlds without a clock and a network: what the model check and the simulation stand on. Apart from the other
//! tests, because it is what has to be compiled to be fast.
//!
//! * [`cluster`] is the nodes alone, over simulated journals: the model check and the simulation choose the next step.
//! * [`sim`] is a cluster with seeds, disks and virtual time: `demo sim`.
//! * [`scale`] is a large one, in regions, with what everything costs: `demo scale`.
//! * [`rng`] is the chance that a seed stands for.

pub mod cluster;
pub mod rng;
pub mod scale;
pub mod sim;
