//! Whether a cluster without faults has become well again.

use replog_protocol::ids::Seq;
use replog_protocol::leader::command::Unavailable;
use replog_protocol::leader::phase::Phase;

use crate::cluster::clients::Fate;
use crate::cluster::members::Secondary;
use crate::cluster::world::{Cluster, Place};

impl Secondary {
    /// Whether it holds entries of a history that is neither `master`'s nor cleared away by it.
    #[must_use]
    pub fn is_foreign_to(&self, cluster: &Cluster, m: usize) -> bool {
        let stored = self.journal.stored();
        let Some((log_id, process)) = stored
            .hard_state
            .log_id
            .zip(cluster.masters[m].process.as_ref())
        else {
            return false;
        };
        let leader = &process.node;
        let is_ours = log_id == leader.leadership().log_id
            || leader.cleared().covers(log_id, stored.hard_state.epoch);
        let knows_better = stored
            .hard_state
            .cleared
            .cleared_by(leader.leadership().log_id)
            .is_some();
        !is_ours && (!stored.entries.is_empty() || knows_better)
    }
}

/// What is not well yet, if anything: a master serves, and for each one that does every secondary that holds no other history
/// has the whole log, the master knows it, and nobody waits for so many nodes as there are.
#[must_use]
pub fn unwell(cluster: &Cluster) -> Option<String> {
    let mut serving = 0;
    for (m, leader) in cluster.leaders() {
        match leader.phase() {
            Phase::Fenced(_) => {}
            Phase::Standby(_) if cluster.is_behind(m) => {
                return Some(format!("master {m} is behind the stream"));
            }
            Phase::Standby(_) => {
                let (own, all) = (cluster.journal(Place::Master(m)), cluster.stream.log());
                if own.stored().entries != all.stored().entries {
                    return Some(format!("master {m} has another log than the stream"));
                }
            }
            Phase::Serving => {
                serving += 1;
                if let Some(what) = master_is_unwell(cluster, m) {
                    return Some(what);
                }
            }
            phase => return Some(format!("master {m} is {:?}", phase.unavailable())),
        }
    }
    if serving == 0 {
        return Some("no master serves".to_owned());
    }
    let dead = cluster
        .secondaries
        .iter()
        .find(|s| s.process.is_none() && s.end.is_none());
    dead.map(|s| format!("{} does not run", s.name))
}

fn master_is_unwell(cluster: &Cluster, m: usize) -> Option<String> {
    let master = &cluster.masters[m];
    let process = master.process.as_ref()?;
    let leader = &process.node;
    if let Some(reason) = leader.unavailable(process.now)
        && reason != Unavailable::NoQuorum
    {
        return Some(format!("master {m} takes no appends: {reason:?}"));
    }
    let stored = master.journal.stored();
    if !master.journal.damaged().is_empty()
        && cluster.secondaries.iter().any(|s| s.process.is_some())
    {
        return Some(format!(
            "master {m} has damaged entries: {:?}",
            master.journal.damaged()
        ));
    }
    let last = stored.last().seq;
    let mut names: Vec<_> = Vec::new();
    for (n, follower) in cluster.followers() {
        let secondary = &cluster.secondaries[n];
        let name = &secondary.name;
        if secondary.is_foreign_to(cluster, m) {
            continue;
        }
        // Of two processes of one name only the one that counts is filled.
        let counts = leader.peers().get(name).and_then(|p| p.storage());
        let mut others = cluster.followers().map(|(o, _)| &cluster.secondaries[o]);
        if Some(secondary.storage) != counts && others.any(|o| Some(o.storage) == counts) {
            continue;
        }
        names.push(name);
        let held = secondary.journal.stored();
        if held.entries != stored.entries || follower.verified() != last {
            let (has, shown) = (held.last().seq, follower.verified());
            return Some(format!(
                "{name} has {has}, of which {shown} are shown, of {last}"
            ));
        }
        if follower.master_tail() != last {
            return Some(format!("{name} does not know how long the log is"));
        }
        let known = follower.committed();
        if cluster.setup.tells_committed && !known.covers(leader.committed()) {
            return Some(format!("{name} does not know what is committed: {known:?}"));
        }
        if !secondary.journal.damaged().is_empty() {
            let damaged = secondary.journal.damaged();
            return Some(format!("{name} has damaged entries: {damaged:?}"));
        }
        let peer = leader.peers().get(name);
        let matched = peer.map_or(Seq::ZERO, |p| p.matched());
        if peer.is_none_or(|p| p.storage().is_none()) || matched != last {
            return Some(format!("{name} is believed to hold {matched} of {last}"));
        }
    }
    names.sort_unstable();
    names.dedup();
    let reachable = u32::try_from(names.len() + 1).unwrap_or(u32::MAX);
    let stuck = cluster
        .clients
        .iter()
        .find(|c| c.fate == Fate::Waiting(m) && c.w.is_some_and(|w| w <= reachable));
    stuck.map(|client| format!("{client:?} still waits"))
}
