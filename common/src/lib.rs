//! The protocol of the replicated log: pure and complete.
//!
//! Everything here that decides is a plain value: it takes a message and the time, and hands out what to do. It reads no
//! clock, opens no socket and spawns nothing ([`service`] is the one marked exception, and decides nothing), so the same
//! types run in production, in the model checker, in a simulation with virtual time and in property tests.
//!
//! # The positions
//!
//! ```text
//! master      1 . . . . . . . . . . . . . . stored | staged
//!                                            = tail   being written
//! of each     1 . . . . matched | in flight | next .. tail
//! secondary             held      unanswered  to be sent
//!
//! secondary   1 . . . . . . last | hole | held back
//!                     verified ^ shown    not acknowledged
//! ```
//!
//! # The conversation
//!
//! ```text
//! secondary                                    master
//!    | -- ack hello: "I hold 1..7" ------------> |  a join, a resume point, a health report
//!    | <- heartbeat: prev 7 ------------------- |  Probe: does 7 match?
//!    | -- ack 7 -------------------------------> |  matched = 7; Replicate
//!    | <- append: prev 7, entries 8..10 ------- |
//!    | -- ack 10 ------------------------------> |  whoever waits for 8, 9, 10 may be answered
//!    | <- append: 11  (lost)                     |
//!    | <- append: 12 -------------------------- |
//!    | -- ack 10, holding back from 12 --------> |  11 is sent again when its time is up
//! ```
//!
//! # What holds, and where it is kept
//!
//! | invariant | kept by |
//! |---|---|
//! | A node shows a prefix of its master's log | [`protocol::follower`] stores only what follows what it has verified |
//! | `matched` never overstates | [`protocol::replicator`] counts an ACK only of this history, life, start and storage |
//! | A client is answered when `w` distinct nodes hold its entry and everything before it | [`protocol::commit`]: the w-th largest position |
//! | A message is in the log once | [`protocol::dedup`], asked and told by the one owner, [`protocol::leader`] |
//! | Nothing is sent that is not stored | [`protocol::leader`] sends up to `stored` |
//! | From every state, a healed network converges | one deadline a secondary ([`protocol::replicator`]), and hellos |
//!
//! The words are those of Raft (Ongaro and Ousterhout, 2014) and of etcd's implementation of it, where they fit: there is
//! no election here, the master is given.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod entry;
pub mod log;
pub mod message;
pub mod protocol;
pub mod service;
pub mod types;
