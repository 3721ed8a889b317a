//! Conversations of a few nodes, most of which went wrong once, step by step. Whatever a node says or answers in them is
//! checked against its journal, see `support::process`.

mod clearing;
mod committed;
mod disks;
mod duplicates;
mod following;
mod forged;
mod leading;
mod many;
mod members;
mod names;
mod pauses;
mod promises;
mod recovering;
mod repairing;
mod request_ids;
mod sharing;
mod silence;
mod stopping;
mod storages;
mod verifying;
