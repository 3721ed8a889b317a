//! A seeded simulation of a cluster in virtual time: the real machines, the real JSON, the real deadlines, and a network,
//! nodes and clients that misbehave as the seed's luck has it. The same seed is the same run.

pub mod check;
pub mod clients;
pub mod elder;
pub mod faults;
pub mod master;
pub mod plan;
pub mod random;
pub mod report;
pub mod secondary;
pub mod serve;
pub mod world;

pub use report::Report;
pub use world::World;

/// Runs one seed; `trace` prints everything that happens.
///
/// # Errors
/// What went wrong, and when.
pub fn run(seed: u64, trace: bool) -> Result<Report, String> {
    World::new(seed, trace).run()
}
