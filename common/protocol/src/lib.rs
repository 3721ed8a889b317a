//! The protocol of the replicated log: pure and complete.
//!
//! Everything here that decides is a plain value: a [`node::Node`] takes an input and the time, and hands out all its effects in
//! one [`node::Ready`], in the order in which they may happen. It reads no clock, opens no socket and spawns nothing, so the
//! same types run in production, in the model checker, in a simulation with virtual time and in property tests.
//!
//! # The positions
//!
//! ```text
//! master      1 . . . . . . . . . . . . . . durable | in flight | unstable
//!                                    counts for w      being written, perhaps sent
//! of each     1 . . . . matched | in flight | next .. tail
//! secondary             held      unanswered  to be sent
//!
//! secondary   1 . . . . . . last | missing | held back
//!                     verified ^  not acknowledged
//! ```
//!
//! # The conversation
//!
//! ```text
//! secondary                                        master
//!    | -- ack hello: "I hold 1..7" -----------------> |  a storage it has not seen before: it has to answer first
//!    | <- heartbeat: prev 7, names the storage ------ |  Probe: does 7 match?
//!    | -- ack 7, with the number of the heartbeat --> |  the storage counts; matched = 7; Replicate
//!    | <- append: prev 7, entries 8..10 ------------- |
//!    | -- ack 10 -----------------------------------> |  whoever waits for 8, 9, 10 may be answered
//!    | <- append: 11  (lost)                           |
//!    | <- append: 12 -------------------------------- |
//!    | -- ack 10, holding back from 12 -------------> |  11 is sent again when its time is up
//! ```
//! A master that starts asks first: *prepare* ("follow nobody of a lower epoch, and say what you hold") is answered by a
//! *promise*, and what the master lacks is *fetched* from the holder of the best log.
//!
//! # What holds, and where it is kept
//!
//! | invariant | kept by |
//! |---|---|
//! | A node shows a prefix of its master's log | [`follower`] appends only to what it has verified |
//! | `matched` never overstates | [`leader::peer`] counts an ACK only of this history and epoch, and of the storage that has answered |
//! | A client is answered when `w` distinct nodes hold its entry and everything before it | [`leader::commit`]: the w-th largest position |
//! | What is committed was held by so many nodes at one time, and only rises | [`committed`]: measured by the leader, told with its messages, taken as far as the follower has verified |
//! | A message is in the log once | [`leader::dedup`], asked and told by the one owner, the [`leader::Leader`] |
//! | Nothing is acknowledged or answered that is not durable | [`log::Log`]: what is durable, and of which log |
//! | Of masters that share a journal, what one acknowledged is in the log of every other, at its position | [`leader::shared_journal`]: one chunk at a time, after the last one that was carried out |
//! | What one master acknowledged is found by the next | [`leader::recovery`]: promise before fetch, every start a holder of its own |
//! | From every state, a healed network converges, and falls silent | one deadline per secondary ([`leader::peer`]), and hellos |
//!
//! # What is stored before it is said
//!
//! | what is said | what is durable before |
//! |---|---|
//! | an append or a heartbeat of a master | the history and epoch that it leads; not the entries: all nodes write them at the same time |
//! | 200, 504, 410, `acks`, a commit position | the master's own copy of the entry; the new history of a clearing |
//! | an ACK | the entries it acknowledges, the history and epoch that it names |
//! | a promise | the promise |
//! | `serving` | the epoch |
//!
//! # Words
//!
//! | word | is | known from |
//! |---|---|---|
//! | [`ids::Epoch`] | one leadership of a history; totally ordered, never twice the same | Paxos ballot, Raft term, openraft `LeaderId` |
//! | [`ids::StorageId`] | one life of a secondary's storage and process | Kafka directory id |
//! | [`hard_state::HardState`] | what must be on disk before it is said | etcd/raft |
//! | [`epochs::LogPosition`] | where an entry stands | Raft prevLogIndex and prevLogTerm |
//! | [`epochs::EpochTable`] | which epoch placed which entries | Kafka's leader epoch cache |
//! | [`wire::AppendEntries`] | entries, or a heartbeat | Raft |
//! | [`wire::Prepare`], [`wire::Promise`] | what a master that starts asks first | Paxos, phase 1 |
//! | [`wire::Fetch`] | a range of entries, for recovery and repair | Kafka |
//! | [`leader::peer::Peer`], [`leader::progress::Progress`] | what the master knows of one secondary | etcd/raft |
//! | unstable | placed, not yet durable | etcd/raft `log_unstable` |
//! | rollback | entries put aside because the master has others there | MongoDB rollback files |
//! | [`digest::Digest`], [`digests::Digests`] | whether two logs are the same, up to which position | TigerBeetle, Merkle trees |
//! | [`repair::Repair`] | writing a damaged entry again from another node | Cassandra, TigerBeetle |
//!
//! There is no election here: the master is given, and its epochs are fenced. Where several masters share a journal
//! ([`chunk`]), whoever gets a claim into its stream leads ([`leader::standby`], [`leader::shared_journal`]); how a chunk is known to be
//! in a JetStream stream is [`chunk_writer`]'s, whether the stream is still the same [`stream_watch`]'s.
//!
//! `PROTOCOL.md` beside this crate's `Cargo.toml` is the same for somebody who writes a node in another language: subjects, every
//! message field by field, and what a secondary does with it. A change here that others have to know is a change there.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails where it unwraps")
)]

pub mod chunk;
pub mod chunk_writer;
pub mod cleared_logs;
pub mod committed;
pub mod digest;
pub mod digests;
pub mod entry;
pub mod epochs;
pub mod event;
pub mod follower;
pub mod hard_state;
pub mod ids;
pub mod leader;
pub mod log;
pub mod node;
pub mod node_url;
pub mod repair;
pub mod request_id;
pub mod stream_watch;
pub mod tally;
mod unstable;
pub mod wire;
pub mod write_concern;
