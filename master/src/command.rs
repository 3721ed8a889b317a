//! What HTTP asks of the one task that owns the log.

use replog_common::protocol::outcome::{Draft, Outcome, Placement, ReadOnly, Refusal};
use replog_common::types::{Epoch, LogId, Seq};
use tokio::sync::oneshot;

/// Through whom a client that waits is answered: refused, or placed and then done waiting.
pub type Waiter = oneshot::Sender<Result<(Placement, Outcome), Refusal>>;

/// A message that wants to be in the log.
#[derive(Debug)]
pub struct AppendCommand {
    /// What, and for how many nodes to wait. Its `until` is set from `timeout`.
    pub draft: Draft,
    /// How long the client waits, or as long as it takes.
    pub timeout: Option<std::time::Duration>,
    /// Who asks.
    pub waiter: Waiter,
}

/// What a clearing has come to: the new history and its epoch.
pub type Cleared = Result<(LogId, Epoch), ReadOnly>;

/// Everything else; these are never refused for lack of room.
#[derive(Debug)]
pub enum Query {
    /// Begin a new, empty history.
    Clear(oneshot::Sender<Cleared>),
    /// Who holds an entry.
    Holders(Seq, oneshot::Sender<Vec<String>>),
    /// How everything is.
    Health(oneshot::Sender<crate::health::Health>),
    /// Answer everybody and take nothing more: the program ends.
    Stop,
}
