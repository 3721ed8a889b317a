//! What every node is: a value that takes inputs with the time, and hands out all its effects in one [`Ready`].
//!
//! ```text
//!            ┌────────────── the driver ──────────────┐
//!   clients ─▶ Command ┐                  ┌ write ─────▶ journal ─▶ Written ┐
//!   network ─▶ Message ├─▶ step ▶ NODE ▶ ready ├ reads ─▶ journal ─▶ Page    │
//!   link ────▶ Link    │                  ├ messages ──▶ network           │
//!   time ────▶ Tick    ┘                  ├ replies ───▶ clients           │
//!        ▲                                └ snapshot, events ─▶ readers    │
//!        └───────────────────────────────────────────────────────────────┘
//! ```
//! What may be said before what is on disk is decided in here, and nowhere else: the driver carries out what it is handed, in
//! the order of the fields of [`Ready`].

use crate::chunk::{ChunkHead, ChunkSeq};
use crate::committed::Committed;
use crate::entry::{Content, EntryBatch};
use crate::epochs::LogPosition;
use crate::event::Event;
use crate::hard_state::HardState;
use crate::ids::{Leadership, LogId, MessageId, NodeId, Seq, StorageId, Time};
use crate::wire::{Address, Message};

/// What a node is told. `C` is what clients may ask of this kind of node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all inputs are messages, and a box would be an allocation for each"
)]
pub enum Input<C> {
    /// A client asks for something.
    Client(C),
    /// A message has come.
    Message(Message),
    /// A message of another protocol version has come to that address: never acted on, but a sign of life.
    OtherVersion(Address, u32),
    /// The broker says that nobody listens where a message was sent; this is the address to which an answer would have come.
    NoResponders(Address),
    /// The link to the broker has changed.
    Link(LinkState),
    /// The write that was handed out has ended.
    Written(WriteResult),
    /// Of a journal that several masters share: what is in its stream.
    Stream(StreamEvent),
    /// What was to be read.
    Page(Page),
    /// Entries that the journal has found damaged, all that it knows of.
    Damaged(Vec<Seq>),
    /// Time has passed.
    Tick,
    /// Somebody wants to read what is committed: what is known of it is stored and shown as soon as can be.
    ShowCommitted,
    /// The program is about to end: everybody who waits is answered.
    Stop,
}

/// Whether the broker is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// It is; messages of at most that many bytes pass. Also said when it was away so shortly that nobody noticed.
    Up {
        /// The broker's `max_payload`.
        max_payload: usize,
    },
    /// It is not; what was in flight may be lost.
    Down,
}

/// What a node is told of the stream of a journal that several masters share. Nothing of it while a write is in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamEvent {
    /// The stream is there, and can be used. Said once, before anything else.
    Opened {
        /// The position before its first chunk.
        before: ChunkSeq,
        /// Its last chunk; the position before its first one where it is empty.
        last: ChunkSeq,
    },
    /// A chunk of at most that many bytes, its head included, passes. Said when the stream is opened, and when it has changed.
    Room(usize),
    /// The next chunk after the last one that was told, or written.
    Chunk(Box<WriteJob>),
    /// It was asked just now, and nothing follows yet.
    AtEnd,
    /// The write in flight is in the stream, and the own storage has no room for it: it is tried until there is.
    NoRoom,
    /// It cannot be used, or not any more: why, in one line.
    Failed(String),
}

/// Everything a node wants done. The driver carries it out in the order of the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready<R> {
    /// From now on the chunks after this one are to be told, whenever no write is in flight. Once, for a journal that several
    /// masters share.
    pub follow: Option<ChunkSeq>,
    /// At most one write is in flight: the next one comes after its [`Input::Written`].
    pub write: Option<WriteJob>,
    /// What is to be read from the journal; each is answered by an [`Input::Page`].
    pub reads: Vec<Read>,
    /// What leaves. Only what the durable [`HardState`] allows.
    pub messages: Vec<Outbound>,
    /// What readers may see from now on; `None` if nothing has changed.
    pub snapshot: Option<Snapshot>,
    /// What clients are told. Only what is durable, and what readers see by then: who is answered can read it.
    pub replies: Vec<R>,
    /// What operators look for.
    pub events: Vec<Event>,
    /// The node has come to its end: nothing follows.
    pub end: Option<End>,
}

impl<R> Default for Ready<R> {
    fn default() -> Self {
        Self {
            follow: None,
            write: None,
            reads: Vec::new(),
            messages: Vec::new(),
            snapshot: None,
            replies: Vec::new(),
            events: Vec::new(),
            end: None,
        }
    }
}

impl<R> Ready<R> {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.follow.is_none()
            && self.write.is_none()
            && self.reads.is_empty()
            && self.messages.is_empty()
            && self.replies.is_empty()
            && self.snapshot.is_none()
            && self.events.is_empty()
            && self.end.is_none()
    }
}

/// What is written in one go: all of it or nothing, durable when its [`Input::Written`] comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriteJob {
    /// First everything after this position goes out of the log.
    pub truncate: Option<Truncate>,
    /// Then these are appended; they follow the end of the log.
    pub entries: Vec<EntryBatch>,
    /// What the node must know again from then on, where that has changed.
    pub hard_state: Option<HardState>,
    /// Damaged entries, written again as other nodes have them; an entry that can be read stays as it is.
    pub repairs: Vec<EntryBatch>,
    /// Of a journal that several masters share: which chunk of the stream this is. It has to be in the stream before the node's
    /// own storage takes it. `None`: only the own storage takes it.
    pub chunk: Option<ChunkHead>,
}

impl WriteJob {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.truncate.is_none()
            && self.entries.is_empty()
            && self.hard_state.is_none()
            && self.repairs.is_empty()
            && self.chunk.is_none()
    }
}

/// Entries go out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Truncate {
    /// The last entry that stays: an entry of the log, or the beginning.
    pub after: Seq,
    /// The history whose end goes out, if it is to be kept in a rollback file (MongoDB). `None` for what was cleared away, or
    /// what another node holds as well.
    pub rollback_of: Option<LogId>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WriteResult {
    /// It is durable. What was kept of the truncated entries, if anything was.
    Done {
        /// The entries that went out of the log and are kept.
        rolled_back: Option<RolledBack>,
    },
    /// There is no room: nothing was written, and what is there can be read.
    DiskFull,
    /// Another master has written to the journal where this write was to be: nothing was written, and never will be.
    Conflict,
    /// The disk failed; what it holds is not known.
    Failed(String),
}

/// Entries that went out of the log and are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RolledBack {
    /// The history that they were the end of.
    pub log_id: LogId,
    /// The first of them.
    pub first: Seq,
    /// The last of them.
    pub last: Seq,
}

/// What is to be read from the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Read {
    /// For whom; comes back with the page.
    pub purpose: Purpose,
    /// Which entries.
    pub query: Query,
}

/// For whom something is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The next entries for a secondary that is behind; the second field tells an outdated read.
    Replicate(NodeId, u64),
    /// A secondary asks for an entry that is damaged on its disk.
    Repair(NodeId),
    /// A master asks for entries.
    Fetch(Leadership),
    /// The next entries that a master moves into the stream.
    MoveIn,
    /// The digest of the log is computed from them; the number tells an outdated read.
    Digest(u64),
    /// A client's message may be in the log already; which client is up to the node.
    Duplicate(u64),
}

/// Which entries are to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// Consecutive ones of one epoch.
    Range {
        /// The first one.
        first: Seq,
        /// The last one, at most.
        last: Seq,
        /// For how many bytes, at most, but one entry at least.
        max_bytes: usize,
    },
    /// The entry with that id; or, where contents are deduplicated, with that content.
    Find {
        /// The id.
        message_id: MessageId,
        /// The content, where equal contents are one message.
        content: Option<Content>,
    },
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// For whom.
    pub purpose: Purpose,
    /// The entries; `None` if there are none.
    pub entries: Result<Option<EntryBatch>, ReadError>,
}

/// Why entries could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReadError {
    /// What is stored is not what was written.
    #[error("the stored entry {0} is damaged")]
    Damaged(Seq),
    /// The log was cleared while it was read.
    #[error("the log was cleared meanwhile")]
    Gone,
    /// The disk refused.
    #[error("the disk failed: {0}")]
    Failed(String),
}

/// A message that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outbound {
    /// Where to.
    pub to: Address,
    /// Where an answer goes, for those who watch, and for the broker's word that nobody listens.
    pub reply_to: Option<Address>,
    /// What.
    pub message: Message,
}

/// What readers may see of a node's log. Only the contiguous prefix from seq 1 is ever in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshot {
    /// The history and the epoch; `None` while the node holds no history.
    pub leadership: Option<Leadership>,
    /// The last position that is shown.
    pub last: Seq,
    /// What is committed of that, as far as it is stored: it never goes back within one history, but where committed entries are
    /// rolled back.
    pub committed: Committed,
    /// What is committed of that and not stored yet, see [`Input::ShowCommitted`].
    pub committed_soon: Committed,
    /// Counts up whenever the log is another one: its end was taken out, or all of it. Who reads on across that mixes two.
    pub generation: u64,
    /// What is here can be shown; a master that recovers does not know yet.
    pub is_readable: bool,
    /// The master's history, where it is another one than this.
    pub diverged_from: Option<LogId>,
}

/// Why a node ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It was told to stop, and everybody has been answered.
    Stopped,
    /// Another process has this secondary's name.
    NameTaken(NodeId),
    /// Another master lives.
    OtherMaster(Leadership),
    /// A master, or another process of this secondary's name, speaks another version of the protocol.
    OtherVersion(u32),
    /// The journal can be used no more.
    StorageFailed(String),
    /// What this node's own storage holds, and what the stream of the journal holds, do not belong together.
    ForeignStream(String),
}

/// A node: the one interface to the outside, the same in production, in the model checker and in simulations.
pub trait Node {
    /// What clients may ask.
    type Command;
    /// What clients are told.
    type Reply;

    /// Something has happened. `now` never goes back.
    fn step(&mut self, input: Input<Self::Command>, now: Time);

    /// Everything that is to be done by now. Handed out once.
    fn ready(&mut self, now: Time) -> Ready<Self::Reply>;

    /// When [`Input::Tick`] is due, if nothing happens before.
    fn deadline(&self, now: Time) -> Option<Time>;
}

/// What a journal holds when its node starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restored {
    /// As it was stored last.
    pub hard_state: HardState,
    /// The end of the log.
    pub last: LogPosition,
}

/// What a secondary is called, and this start of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its name.
    pub node: NodeId,
    /// The life of its storage and process, made at the start.
    pub storage: StorageId,
}
