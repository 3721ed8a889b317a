//! How large the world of a model is, and what happens in it.

use super::state::State;

/// A client that appends once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Which message; two clients with one number are a client and its retry.
    pub(super) message: u8,
    /// Its write concern.
    pub(super) w: u32,
}

/// What a master does that starts without its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It begins a new history at once.
    Anew,
    /// It asks the secondaries, and waits until all of them were heard, however long that takes.
    Patient,
    /// It asks the secondaries, and its patience may end at any moment.
    Hasty,
}

/// Something that is so in some state, and its name.
pub(super) type Seen = (&'static str, fn(&Bounds, &State) -> bool);

/// How large the world is.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Secondaries.
    pub(super) nodes: u8,
    /// They are listed; else whoever joins is a member.
    pub(super) listed: bool,
    /// Clients; they ask in this order.
    pub(super) clients: Vec<Client>,
    /// How often a secondary crashes and comes back empty, all of them together.
    pub(super) crashes: u8,
    /// How often the master comes back without its log.
    pub(super) rebirths: u8,
    /// How often one more master starts beside it.
    pub(super) seconds: u8,
    /// The log is cleared only once the first client was answered, another master starts after that, and the second client
    /// asks last: fewer ways to get to what is of interest.
    pub(super) late: bool,
    /// A second master overtakes the first.
    pub(super) takeover: bool,
    /// What masters do first; the very first one begins anew.
    pub(super) start: Start,
    /// The highest epoch that is looked at.
    pub(super) epochs: u64,
    /// What has to happen in some state, or nothing is shown; more follows from the rest.
    pub(super) sometimes: Vec<Seen>,
    /// How often the log is cleared.
    pub(super) clears: u8,
    /// How often the master's link breaks.
    pub(super) outages: u8,
    /// Whether the broker says that nobody listens (true or not).
    pub(super) no_responders: bool,
    /// Several entries go in one message; else each goes alone, and they overtake one another.
    pub(super) batches: bool,
    /// Whether storing is a step of its own, so that things happen between "placed" and "stored".
    pub(super) slow_store: bool,
}

/// A world without faults but those of the network. Each client is a message and its write concern.
pub(super) fn small(nodes: u8, clients: &[(u8, u32)]) -> Bounds {
    let clients = clients
        .iter()
        .map(|&(message, w)| Client { message, w })
        .collect();
    Bounds {
        nodes,
        listed: true,
        clients,
        crashes: 0,
        rebirths: 0,
        seconds: 0,
        late: false,
        takeover: false,
        start: Start::Anew,
        epochs: 2,
        sometimes: Vec::new(),
        clears: 0,
        outages: 0,
        no_responders: false,
        batches: false,
        slow_store: false,
    }
}
