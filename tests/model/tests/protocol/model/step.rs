//! What can happen, and what follows from it.

use replog_model::cluster::journal::{Loss, WriteEnd};
use replog_model::cluster::{Fate, Place, Request};
use replog_protocol::ids::Seq;
use replog_protocol::wire::{AckOf, Address};

use super::bounds::Bounds;
use super::state::State;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// That client appends at that master.
    Append(usize, usize),
    /// A message, by its number, arrives. It stays in the network and may arrive again.
    Deliver(u32, Place),
    /// The write in flight ends.
    Written(Place, WriteEnd),
    /// The first read ends.
    Read(Place),
    /// The clock goes on.
    Tick(Place),
    /// A process ends and starts again, its storage with that loss; the write in flight is lost or was written just before.
    Restart(Place, Loss, bool),
    /// A secondary says goodbye, ends, and starts again with nothing.
    Leave(usize),
    /// That master is told to take out that secondary, which is gone.
    Remove(usize, usize),
    /// A storage is backed up.
    BackUp(Place),
    /// A second process starts on a copy of a secondary's storage, or of its backup.
    Copy(usize, bool),
    /// What a journal has acknowledged is synced.
    Sync(Place),
    /// One more master starts.
    Second,
    /// The log is cleared at that master.
    Clear(usize),
    /// A secondary is emptied by its own client.
    Renew(usize),
    /// The link of that master breaks, or is there again.
    Link(usize, bool),
    /// The broker says to that master that nobody listens on the subject of that secondary.
    NoResponders(usize, usize),
    /// An entry rots.
    Rot(Place, Seq),
    /// A master is told of the next chunk of the stream of a shared journal.
    Follow(usize),
    /// A replica that lags tells a master that nothing follows, and time goes on.
    StaleEnd(usize),
    /// A chunk of a master that has ended reaches the stream after all.
    ArriveLate,
}

impl Step {
    /// Of a delivery or a tick: where it happens.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Deliver(_, place) | Self::Tick(place) => place,
            other => unreachable!("{other:?} is always possible, or never"),
        }
    }
}

/// What can happen in a state.
pub(crate) fn possible(bounds: &Bounds, state: &State, steps: &mut Vec<Step>) {
    let (cluster, counts) = (&state.cluster, &state.counts);
    let may_ask =
        |client: &usize| !bounds.late || *client == 0 || counts.rebirths + counts.seconds > 0;
    let next = cluster.clients.iter().position(|c| c.fate == Fate::Silent);
    let next = next.filter(may_ask);
    let is_answered = |c: &Request| matches!(c.fate, Fate::Answered(_));
    let is_late = !bounds.late || cluster.clients.iter().any(is_answered);
    let may_start = is_late && (!bounds.late || counts.clears == bounds.clears);
    let may_tick = bounds.ticks.is_some_and(|most| counts.ticks < most);
    let recovers = || cluster.masters.iter().any(|m| m.starts > 1 && m.recovers());
    let may_disturb = !bounds.meanwhile || recovers();
    for (m, leader) in cluster.leaders() {
        let place = Place::Master(m);
        // Who asks a master that recovers waits before it.
        if let Some(client) = next.filter(|_| leader.phase().recovery().is_none()) {
            steps.push(Step::Append(client, m));
        }
        if may_tick {
            steps.push(Step::Tick(place));
        }
        if may_start && counts.rebirths < bounds.rebirths {
            restarts(state, place, &bounds.master_losses, steps);
        }
        if is_late && counts.clears < bounds.clears && leader.phase().leads() {
            steps.push(Step::Clear(m));
        }
        if counts.removals < bounds.removals {
            let all = cluster.secondaries.iter().enumerate();
            let gone = all.filter(|(_, s)| cluster.is_gone(m, &s.name));
            steps.extend(gone.map(|(n, _)| Step::Remove(m, n)));
        }
        if !cluster.is_linked(place) {
            steps.push(Step::Link(m, true));
        } else if counts.outages < bounds.outages {
            steps.push(Step::Link(m, false));
        }
        if bounds.no_responders {
            let all = 0..cluster.secondaries.len();
            steps.extend(all.map(|n| Step::NoResponders(m, n)));
        }
        let is_older_wanted = bounds.master_losses.contains(&Loss::SinceBackup);
        if is_older_wanted && counts.backups < bounds.backups {
            steps.push(Step::BackUp(place));
        }
        if cluster.masters[m]
            .process
            .as_ref()
            .is_some_and(|p| !p.reads.is_empty())
        {
            steps.push(Step::Read(place));
        }
    }
    steps.extend_from_slice(&state.live);
    for (n, secondary) in cluster.secondaries.iter().enumerate() {
        let place = Place::Secondary(n);
        let Some(process) = &secondary.process else {
            continue;
        };
        if may_disturb && counts.restarts < bounds.restarts {
            restarts(state, place, &bounds.losses, steps);
        }
        if counts.leaves < bounds.leaves {
            steps.push(Step::Leave(n));
        }
        let is_older_wanted = bounds.losses.contains(&Loss::SinceBackup) || bounds.copies > 0;
        let is_older_wanted = is_older_wanted && (!bounds.meanwhile || counts.rebirths == 0);
        if is_older_wanted && counts.backups < bounds.backups {
            steps.push(Step::BackUp(place));
        }
        if may_disturb && counts.copies < bounds.copies {
            steps.push(Step::Copy(n, false));
            if secondary.journal.has_older_copy() {
                steps.push(Step::Copy(n, true));
            }
        }
        if counts.renewals < bounds.renewals {
            steps.push(Step::Renew(n));
        }
        if may_tick && bounds.secondaries_tick() {
            steps.push(Step::Tick(place));
        }
        if secondary.journal.is_unsynced() {
            steps.push(Step::Sync(place));
        }
        if !process.reads.is_empty() {
            steps.push(Step::Read(place));
        }
    }
    if counts.rots < bounds.rots {
        // Of an entry that nobody else can read nothing is left: it stays damaged for good.
        for place in cluster.running() {
            let last = cluster.journal(place).stored().last().seq.0;
            let all = (1..=last).map(Seq);
            let spare = all.filter(|seq| cluster.has_readable_copy(place, *seq));
            steps.extend(spare.map(|seq| Step::Rot(place, seq)));
        }
    }
    for place in state.writing() {
        steps.push(Step::Written(place, WriteEnd::Done));
        if counts.fulls < bounds.fulls {
            steps.push(Step::Written(place, WriteEnd::DiskFull));
        }
        if counts.failures < bounds.failures {
            let failed = |is_written| Step::Written(place, WriteEnd::Failed { is_written });
            steps.extend([false, true].map(failed));
        }
    }
    if bounds.standbys > 0 {
        let all = 0..cluster.masters.len();
        let behind: Vec<usize> = all.filter(|m| cluster.is_behind(*m)).collect();
        steps.extend(behind.iter().map(|m| Step::Follow(*m)));
        if counts.stale < bounds.stale {
            steps.extend(behind.iter().map(|m| Step::StaleEnd(*m)));
        }
        steps.extend(cluster.stream.late().map(|_| Step::ArriveLate));
    }
    if may_start && counts.seconds < bounds.seconds {
        steps.push(Step::Second);
    }
}

fn restarts(state: &State, place: Place, losses: &[Loss], steps: &mut Vec<Step>) {
    let journal = state.cluster.journal(place);
    for loss in losses {
        let differs = match loss {
            Loss::Nothing | Loss::Everything => true,
            Loss::Unsynced => journal.is_unsynced(),
            Loss::SinceBackup => journal.has_older_copy(),
        };
        if differs {
            steps.push(Step::Restart(place, *loss, false));
            if journal.is_writing() && *loss == Loss::Nothing {
                steps.push(Step::Restart(place, *loss, true));
            }
        }
    }
}

/// Lets it happen.
pub(crate) fn take(bounds: &Bounds, state: &mut State, step: Step) {
    let State {
        cluster, counts, ..
    } = state;
    match step {
        Step::Append(client, m) => {
            cluster.append(client, m, None, None);
        }
        Step::Deliver(frame, place) => {
            let message = bounds.frame(frame).message.clone();
            cluster.deliver(place, message);
        }
        Step::Written(place, end) => {
            counts.fulls += u8::from(end == WriteEnd::DiskFull);
            counts.failures += u8::from(matches!(end, WriteEnd::Failed { .. }));
            cluster.finish_write(place, end);
        }
        Step::Read(place) => cluster.finish_read(place, 0),
        Step::Tick(place) => {
            counts.ticks += u8::from(bounds.ticks.is_some());
            cluster.tick(place, bounds.tick_of(place));
        }
        Step::Restart(place, loss, is_written) => {
            cluster.crash(place, loss, is_written);
            match place {
                Place::Master(m) => {
                    counts.rebirths += 1;
                    state.start_master(bounds, m, false);
                }
                Place::Secondary(n) => {
                    counts.restarts += 1;
                    state.start_secondary(bounds, n);
                }
            }
        }
        Step::Leave(n) => {
            counts.leaves += 1;
            cluster.stop(Place::Secondary(n));
            cluster.crash(Place::Secondary(n), Loss::Everything, false);
            state.start_secondary(bounds, n);
        }
        Step::Remove(m, n) => {
            counts.removals += 1;
            let name = cluster.secondaries[n].name.clone();
            cluster.remove(m, &name);
        }
        Step::BackUp(place) => {
            counts.backups += 1;
            cluster.back_up(place);
        }
        Step::Copy(n, older) => {
            counts.copies += 1;
            let copy = cluster.copy(n, older);
            state.settle_secondary(bounds, copy);
        }
        Step::Sync(place) => cluster.sync(place),
        Step::Second => {
            counts.seconds += 1;
            let m = cluster.add_master();
            state.start_master(bounds, m, bounds.takeover);
        }
        Step::Clear(m) => {
            counts.clears += 1;
            cluster.clear(m);
        }
        Step::Renew(n) => {
            counts.renewals += 1;
            cluster.renew(n, false);
        }
        Step::Link(m, is_up) => {
            counts.outages += u8::from(!is_up);
            cluster.link(Place::Master(m), is_up);
        }
        Step::NoResponders(m, n) => {
            let name = cluster.secondaries[n].name.clone();
            let address = Address::Ack(name, AckOf::Seq(Seq::ZERO));
            cluster.no_responders(Place::Master(m), address);
        }
        Step::Follow(m) => cluster.follow(m),
        Step::StaleEnd(m) => {
            counts.stale += 1;
            cluster.at_end(m);
            cluster.tick(Place::Master(m), bounds.tick_of(Place::Master(m)));
            cluster.at_end(m);
        }
        Step::ArriveLate => cluster.arrive_late(),
        Step::Rot(place, seq) => {
            counts.rots += 1;
            cluster.rot(place, seq);
        }
    }
    // A node that has ended by itself is started again where that is looked at.
    state.cluster.check_waiting();
    state.carry(bounds);
    state.core = state.core();
}
