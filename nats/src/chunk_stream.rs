//! The stream of a journal that several masters share, as the programs see it.

use std::fmt;
use std::task::{Context, Poll};

use replog_protocol::chunk::ChunkSeq;
use replog_protocol::chunk_writer::Fate;
use replog_protocol::node::{StreamEvent, WriteJob};

use crate::link::Denial;

/// A stream of chunks that many read and one writes at a time.
pub trait ChunkStream: fmt::Debug + Send + 'static {
    /// The chunks after this one are wanted from now on, one after the other. Nothing is handed out of them while a chunk is on its
    /// way.
    fn follow(&mut self, after: ChunkSeq);

    /// A chunk is to be in the stream, at the position that its head says, or never. The next one comes after the fate of this
    /// one was told.
    fn write(&mut self, chunk: &WriteJob);

    /// What happens next. Nothing is lost when it is not asked for a while.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<ChunkStreamEvent>;
}

/// What happens with a stream of chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkStreamEvent {
    /// Something that the node is told.
    Stream(StreamEvent),
    /// What has become of the chunk that was on its way.
    Written(Fate),
    /// The broker refuses something that it has granted before; it is tried on.
    Denied(Denial),
    /// What was refused is granted again.
    Granted,
    /// The stream cannot be used by this program: nothing follows. In one line.
    Unusable(String),
}

/// What is known of a stream, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// Its name.
    pub stream: String,
    /// Servers that are to keep it.
    pub replicas: usize,
    /// Servers that do, and are up to date, as the broker says; 0 while that is not known.
    pub current: usize,
    /// The server that leads them.
    pub leader: Option<String>,
    /// Its last message, as the broker said a moment ago; 0 while that is not known.
    pub last: u64,
    /// Whether the connection to the broker is there.
    pub is_connected: bool,
}
