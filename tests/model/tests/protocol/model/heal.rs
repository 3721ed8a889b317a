//! Whatever has happened, it becomes well again, and then it is quiet.

use std::time::Duration;

use replog_protocol::node::Outbound;
use replog_protocol::wire::{Address, Message};

use super::bounds::{Bounds, PATIENCE, TICK};
use super::state::State;
use replog_model::cluster::journal::{Loss, WriteEnd};
use replog_model::cluster::well::unwell;
use replog_model::cluster::{Cluster, Place};

/// So many rounds of the timers it may take.
const MAX_ROUNDS: usize = 16;
/// Every so many rounds, what a patient master waits for is over.
const ROUNDS_OF_PATIENCE: usize = 4;
/// More messages in one round are an exchange that does not end.
const MAX_MESSAGES: usize = 200;

/// With the links up and no more faults, even if all that is under way is lost, all is well within few rounds of the timers,
/// and then there is nothing but heartbeats and their ACKs.
pub(crate) fn recovers(bounds: &Bounds, state: &State) -> bool {
    heal(bounds, &mut state.cluster.clone()).is_ok()
}

/// The same; an error says what is not well. A cluster from which it was seen to become well is not looked at twice, whatever
/// it has come from.
pub(crate) fn heal(bounds: &Bounds, cluster: &mut Cluster) -> Result<(), String> {
    if cluster.violation.is_some() {
        return Ok(()); // which is reported as what it is
    }
    let mut passed = vec![cluster.fingerprint_of_all()];
    if bounds.explored.is_healed(&passed) {
        return Ok(());
    }
    cluster.outbox.clear();
    start_again(cluster);
    for rounds in 1.. {
        if rounds % ROUNDS_OF_PATIENCE == 0 {
            // A program that has ended because it took the late word of a dead master for one that lives is started again.
            start_a_master(cluster);
            for m in 0..cluster.masters.len() {
                if cluster.masters[m].recovers() {
                    cluster.tick(Place::Master(m), PATIENCE);
                }
            }
        }
        round(cluster)?;
        match unwell(cluster).or_else(|| has_too_many(bounds, cluster)) {
            None if rounds > 1 => break,
            Some(what) if rounds == MAX_ROUNDS => {
                return Err(format!("not well after {rounds} rounds: {what}"));
            }
            _ => {}
        }
        obeys(cluster)?;
        passed.push(cluster.fingerprint_of_all());
        if bounds.explored.is_healed(&passed[rounds..]) {
            bounds.explored.has_healed(passed);
            return Ok(());
        }
    }
    for _ in 0..3 {
        let sent = round(cluster)?;
        is_quiet(cluster, &sent)?;
    }
    obeys(cluster)?;
    bounds.explored.has_healed(passed);
    Ok(())
}

/// Whether more masters serve than are to be left: of one history one, and of those that have heard of each other one.
fn has_too_many(bounds: &Bounds, cluster: &Cluster) -> Option<String> {
    let serving = cluster.masters.iter().filter(|m| m.serves());
    let logs: Vec<_> = serving.filter_map(|m| Some(m.leads()?.log_id)).collect();
    let is_twice = |(i, log)| logs[i + 1..].contains(log) || bounds.prompt && i > 0;
    let is_too_many = logs.iter().enumerate().any(is_twice);
    is_too_many.then(|| format!("masters serve {logs:?}"))
}

fn obeys(cluster: &Cluster) -> Result<(), String> {
    match &cluster.violation {
        None => Ok(()),
        Some(violation) => Err(format!("while it heals: {violation}")),
    }
}

/// Nothing but heartbeats and their ACKs.
fn is_quiet(cluster: &Cluster, sent: &[(Place, Outbound)]) -> Result<(), String> {
    let is_heartbeat = |o: &Outbound| matches!(o.to, Address::Heartbeat(_));
    let is_ack = |o: &Outbound| matches!(o.to, Address::Ack(..));
    // Where others stand by, the master that leads shows them that it lives.
    let is_sign = |o: &Outbound| {
        let is_serving = |m: &Message| matches!(m, Message::Announcement(a) if a.is_serving());
        cluster.setup.shares_journal && o.to == Address::Announce && is_serving(&o.message)
    };
    let sent: Vec<_> = sent.iter().filter(|(_, o)| !is_sign(o)).collect();
    if let Some(other) = sent.iter().find(|(_, o)| !is_heartbeat(o) && !is_ack(o)) {
        return Err(format!("not quiet: {other:?}"));
    }
    let leading = cluster
        .masters
        .iter()
        .filter(|m| m.leads().is_some())
        .count();
    let heartbeats = leading * cluster.setup.names.len();
    let acks = leading * cluster.followers().count();
    let sent_heartbeats = sent.iter().filter(|(_, o)| is_heartbeat(o)).count();
    let sent_acks = sent.len() - sent_heartbeats;
    match (sent_heartbeats, sent_acks) == (heartbeats, acks) {
        true => unwell(cluster).map_or(Ok(()), |what| Err(format!("not well any more: {what}"))),
        false => Err(format!(
            "{sent_heartbeats} heartbeats and {sent_acks} ACKs, not {heartbeats} and {acks}"
        )),
    }
}

/// Whoever has ended starts again; of the masters one, if none is left. All have their links.
fn start_again(cluster: &mut Cluster) {
    for n in 0..cluster.secondaries.len() {
        if cluster.secondaries[n].process.is_none() {
            cluster.start_secondary(n);
        }
    }
    start_a_master(cluster);
    for place in cluster.running() {
        if !cluster.is_linked(place) {
            cluster.link(place, true);
        }
    }
}

/// If no master is left, the last one starts again.
fn start_a_master(cluster: &mut Cluster) {
    let lives = |m: &usize| {
        let master = &cluster.masters[*m];
        master.recovers() || master.leads().is_some() || master.stands_by()
    };
    if !(0..cluster.masters.len()).any(|m| lives(&m)) {
        for m in 0..cluster.masters.len() {
            cluster.crash(Place::Master(m), Loss::Nothing, false);
        }
        let last = cluster.masters.len() - 1;
        cluster.start_master(last, false);
        cluster.link(Place::Master(last), true);
    }
}

/// How far the clock of that place goes on in a round: where masters share a journal, and one of them leads, the others hear
/// it once in a heartbeat.
fn step_of(cluster: &Cluster, place: Place) -> Duration {
    let stands_by = matches!(place, Place::Master(m) if cluster.masters[m].stands_by());
    let mut masters = cluster.masters.iter();
    match stands_by && masters.any(|m| m.recovers() || m.leads().is_some()) {
        true => cluster.setup.replication.heartbeat_interval,
        false => TICK,
    }
}

/// Every deadline comes once, and everything that is sent arrives, unless there is no end to it. What was sent.
fn round(cluster: &mut Cluster) -> Result<Vec<(Place, Outbound)>, String> {
    let places: Vec<Place> = cluster.places().collect();
    let mut all = Vec::new();
    for place in &places {
        cluster.tick(*place, step_of(cluster, *place));
    }
    loop {
        for place in &places {
            while cluster.is_writing(*place) {
                cluster.finish_write(*place, WriteEnd::Done);
            }
            while cluster.is_reading(*place) {
                cluster.finish_read(*place, 0);
            }
            if let Place::Master(m) = *place {
                while cluster.is_behind(m) {
                    cluster.follow(m);
                }
            }
        }
        cluster.events.clear();
        let sent = std::mem::take(&mut cluster.outbox);
        if sent.is_empty() {
            return Ok(all);
        }
        for (from, outbound) in &sent {
            for to in cluster.listeners(*from, &outbound.to) {
                cluster.deliver(to, outbound.message.clone());
            }
        }
        all.extend(sent);
        if all.len() > MAX_MESSAGES {
            let last = &all[MAX_MESSAGES - 4..];
            return Err(format!(
                "more than {MAX_MESSAGES} messages in one round: {last:?}"
            ));
        }
    }
}
