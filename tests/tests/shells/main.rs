//! The real tasks of master and secondary (not their sockets) over a line in memory, on paused time: what costs minutes
//! of waiting takes a moment here, and a deadline is met to the millisecond or it is not.

mod appends;
mod claims;
mod disks;
mod faults;
mod full;
mod joining;
mod line;
mod outages;
mod programs;
mod reading;
mod seeds;
mod waiting;
mod world;
