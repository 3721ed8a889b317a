//! `GET /health`.

use replog_common::protocol::follower::Follower;
use replog_common::service::storage::ShownStorage;
use replog_common::types::{Epoch, Incarnation, Instance, LogId, NodeId, Seq, Time};
use serde::Serialize;

use crate::aside::Aside;

/// The secondary at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// `ok`, `catching_up` or `diverged`.
    pub status: &'static str,
    role: &'static str,
    id: NodeId,
    log_id: Option<LogId>,
    epoch: Epoch,
    instance: Option<Instance>,
    incarnation: Incarnation,
    last_seq: Seq,
    /// Entries of the master that are not here yet, as far as it has said.
    pub lag: u64,
    held_back: usize,
    duplicates: u64,
    commit: Seq,
    broker: &'static str,
    master_last_seen_ms: Option<u64>,
    /// Entries that were taken out of the log because the master has others there; see `GET /diverged`.
    put_aside: u64,
    storage: ShownStorage,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Reads it off the follower. `master_seen` is when a master was last heard, of whatever history.
#[must_use]
pub fn of(
    follower: &Follower,
    aside: &Aside,
    storage: ShownStorage,
    broker_up: bool,
    master_seen: Option<Time>,
    now: Time,
) -> Health {
    let lag = follower
        .master_tail()
        .0
        .saturating_sub(follower.verified().0);
    let problem = follower.foreign().map(|theirs| {
        let mine = follower.log_id().map_or_else(String::new, |id| id.to_string());
        format!("holds history {mine}, the master has {theirs}: what is here stays readable and counts for nothing; POST /rejoin puts it aside and follows the master")
    });
    Health {
        storage,
        status: match follower.instance() {
            _ if problem.is_some() => "diverged",
            // What it holds was the former master's, until the present one has shown that it is its own.
            Some(_) if lag == 0 && follower.verified() == follower.last().seq => "ok",
            _ => "catching_up",
        },
        role: "secondary",
        id: follower.node().clone(),
        log_id: follower.log_id(),
        epoch: follower.epoch(),
        instance: follower.instance(),
        incarnation: follower.incarnation(),
        last_seq: follower.last().seq,
        lag,
        held_back: follower.held_back(),
        duplicates: follower.duplicates(),
        commit: follower.commit(),
        broker: if broker_up {
            "connected"
        } else {
            "disconnected"
        },
        master_last_seen_ms: master_seen
            .map(|t| u64::try_from(now.since(t).as_millis()).unwrap_or(u64::MAX)),
        put_aside: aside.count(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replog_common::entry::Position;
    use replog_common::log::contract::entry;
    use replog_common::message::{Append, Fetch, Life};
    use replog_common::service::storage::Storage;
    use replog_common::types::{Epoch, Incarnation, Instance, LogId, Seq};
    use uuid::Uuid;

    #[test]
    fn one_that_has_promised_and_was_not_spoken_to_since_is_not_caught_up() {
        let life = |epoch| Life {
            log_id: LogId(Uuid::from_u128(1)),
            epoch: Epoch(epoch),
            instance: Instance(Uuid::from_u128(epoch.into())),
        };
        let status = |f: &Follower| {
            of(
                f,
                &Aside::default(),
                Storage::memory().shown,
                true,
                None,
                Time::ZERO,
            )
            .status
        };
        let node = "s1".parse().expect("a name");
        let mut follower = Follower::new(node, Incarnation(Uuid::from_u128(1)));
        follower.receive(Append {
            life: life(1),
            prev: Position::default(),
            tail: Seq(1),
            commit: Seq(0),
            replaces: Vec::new(),
            by: Some(life(1).instance),
            entries: vec![entry(1, 1)],
        });
        let ready = follower.take_ready();
        follower.stored(&ready);
        assert_eq!(status(&follower), "ok");
        follower.answer(&Fetch {
            replaces: Vec::new(),
            life: life(2),
            from: Seq(1),
            max_bytes: 0,
        });
        assert_eq!(status(&follower), "catching_up");
    }
}
