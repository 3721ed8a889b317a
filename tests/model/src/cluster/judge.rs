//! Every step against what really is.

use replog_protocol::committed::Committed;
use replog_protocol::epochs::LogPosition;
use replog_protocol::event::Event;
use replog_protocol::follower;
use replog_protocol::ids::{Leadership, LogId, NodeId, Seq, StorageId};
use replog_protocol::leader::command::{Answer, Appended, Reply};
use replog_protocol::node::{Outbound, WriteJob};
use replog_protocol::wire::{Ack, FetchResponse, Message, Promise};
use replog_protocol::write_concern::WriteConcern;

use crate::cluster::clients::{Client, Fate, Request};
use crate::cluster::journal::{Applied, StoredEntry};
use crate::cluster::members::{Master, Secondary};
use crate::cluster::process::Done;
use crate::cluster::rules::{Rule, Violation};
use crate::cluster::truth::CommittedBy;
use crate::cluster::world::Cluster;

type Judged = Result<(), Violation>;

/// What a master has done.
pub(super) fn master(cluster: &mut Cluster, m: usize, done: &Done<Reply<Client>>) -> Judged {
    comes_to_rest(done.bug.as_ref())?;
    for applied in &done.applied {
        let master = &cluster.masters[m];
        let entries = &master.journal.stored().entries;
        let truth = cluster.truth.make_mut();
        truth.wrote(master.id.0, Some(master.id), entries, false, applied)?;
    }
    for outbound in &done.messages {
        master_says(&cluster.masters[m], outbound)?;
        master_sends(cluster, m, &outbound.message)?;
    }
    for event in &done.events {
        if let Event::Serving {
            heard, not_heard, ..
        } = event
        {
            serves(cluster, m, heard, not_heard)?;
        }
    }
    for reply in &done.replies {
        answers(cluster, m, reply)?;
    }
    never_overestimates(cluster, m)?;
    master_knows_committed(cluster, m)
}

/// A chunk is in the stream of a shared journal.
pub(super) fn stream(cluster: &mut Cluster, chunk: &WriteJob, applied: &Applied) -> Judged {
    let Some(head) = &chunk.chunk else {
        return Ok(());
    };
    for (_, entry) in &applied.appended {
        let mut same = cluster.clients.iter().filter(|c| c.message_id == entry.id);
        let is_refused = |c: &Request| matches!(c.fate, Fate::Answered(Answer::Refused(_)));
        if same.clone().count() == 1 && same.any(is_refused) {
            let what = format!("{entry:?} was refused, and is in the log");
            return Err(Violation::new(Rule::NoLie, what));
        }
    }
    let entries = &cluster.stream.log().stored().entries;
    let (start, master) = (uuid::Uuid::nil(), head.id.master);
    let truth = cluster.truth.make_mut();
    truth.wrote(start, Some(master), entries, false, applied)
}

/// What a secondary has done.
pub(super) fn secondary(
    cluster: &mut Cluster,
    n: usize,
    done: &Done<follower::Reply<Client>>,
) -> Judged {
    comes_to_rest(done.bug.as_ref())?;
    let secondary = cluster.secondaries[n].make_mut();
    for applied in &done.applied {
        let entries = &secondary.journal.stored().entries;
        let truth = cluster.truth.make_mut();
        let may_delete = secondary.is_emptying;
        truth.wrote(secondary.storage.0, None, entries, may_delete, applied)?;
        secondary.is_emptying &= applied.removed.is_empty();
    }
    for outbound in &done.messages {
        secondary_says(secondary, &outbound.message)?;
    }
    let is_done = |r: &follower::Reply<Client>| matches!(r.answer, follower::Answer::Done { .. });
    if done.replies.iter().any(is_done) && secondary.journal.is_writing() {
        return Err(Violation::new(Rule::NoLie, "it is not empty yet"));
    }
    secondary_knows_committed(cluster, n)
}

fn comes_to_rest(bug: Option<&String>) -> Judged {
    match bug {
        None => Ok(()),
        Some(bug) => Err(Violation::new(Rule::ComesToRest, bug.clone())),
    }
}

// ---- What leaves.

fn master_says(master: &Master, outbound: &Outbound) -> Judged {
    let Some(leads) = master.leads() else {
        return Ok(());
    };
    let stored = master.journal.stored();
    let is_durable = |l: Leadership| {
        (stored.hard_state.log_id, stored.hard_state.epoch) == (Some(l.log_id), l.epoch)
    };
    let not = |what: &str| {
        let what = format!("{what}: {outbound:?}");
        Err(Violation::new(Rule::SaysWhatIsDurable, what))
    };
    let leader = match &outbound.message {
        Message::Append(append) => {
            // Entries may leave while they are written; what is said of the log may not.
            let end = stored.last().seq;
            if append.committed.by(WriteConcern::Count(1)) > end
                || append.tail > end.max(append.last())
            {
                return not("not in the master's journal");
            }
            append.leader
        }
        Message::Fetch(fetch) => fetch.leader,
        Message::Announcement(announcement) if announcement.is_serving() => announcement.leader,
        _ => return Ok(()),
    };
    match leader == leads && is_durable(leader) {
        true => Ok(()),
        false => not("the epoch is not in the master's journal"),
    }
}

/// What leaves before it is written has its place for good.
fn master_sends(cluster: &mut Cluster, m: usize, message: &Message) -> Judged {
    let Message::Append(append) = message else {
        return Ok(());
    };
    let Some(batch) = &append.entries else {
        return Ok(());
    };
    if batch.epoch().master != cluster.masters[m].id {
        return Ok(());
    }
    let (log_id, mut prev) = (append.leader.log_id, append.prev);
    for entry in batch.iter() {
        let Some(one) = batch.range(entry.seq, entry.seq) else {
            continue;
        };
        let id = entry.message_id;
        let stored = StoredEntry { batch: one, id };
        let shared = cluster.stream.log().stored();
        if cluster.setup.shares_journal && !shared.has(log_id, stored.position()) {
            let what = format!("{stored:?} leaves before it is in the stream");
            return Err(Violation::new(Rule::SaysWhatIsDurable, what));
        }
        if !cluster.truth.is_placed(log_id, &stored, prev) {
            let truth = cluster.truth.make_mut();
            truth.sent(log_id, &stored, prev)?;
        }
        prev = stored.position();
    }
    Ok(())
}

fn secondary_says(secondary: &mut Secondary, message: &Message) -> Judged {
    let (position, last) = match message {
        Message::Ack(ack) | Message::Promise(Promise { position: ack }) => (ack, None),
        Message::FetchResponse(FetchResponse {
            position, entries, ..
        }) => (
            position,
            entries.as_ref().map(|batch| batch.last_position()),
        ),
        _ => return Ok(()),
    };
    let is_durable = is_durable(secondary, position)
        && last.is_none_or(|last| secondary.journal.stored().get(last.seq).is_some());
    if !is_durable {
        let what = format!("{message:?} with {:?}", secondary.journal);
        return Err(Violation::new(Rule::SaysWhatIsDurable, what));
    }
    let Some(log_id) = position.log_id else {
        return Ok(());
    };
    let epoch = secondary.epochs_said.insert(log_id, position.epoch);
    match epoch.filter(|before| *before > position.epoch) {
        None => Ok(()),
        Some(before) => {
            let what = format!("{position:?} after {before:?}");
            Err(Violation::new(Rule::KeepsItsPromise, what))
        }
    }
}

fn is_durable(secondary: &Secondary, ack: &Ack) -> bool {
    let stored = secondary.journal.stored();
    let hard_state = &stored.hard_state;
    let is_there = |p: LogPosition| {
        p == LogPosition::default() || stored.get(p.seq).is_some_and(|e| e.position() == p)
    };
    (ack.log_id, ack.epoch, &ack.cleared)
        == (hard_state.log_id, hard_state.epoch, &hard_state.cleared)
        && ack.upto <= stored.last().seq
        && is_there(ack.last)
}

// ---- What a master believes.

fn never_overestimates(cluster: &Cluster, m: usize) -> Judged {
    let master = &cluster.masters[m];
    let Some(process) = &master.process else {
        return Ok(());
    };
    let log_id = process.node.leadership().log_id;
    for (node, peer) in process.node.peers().iter() {
        let matched = peer.matched();
        if matched == Seq::ZERO {
            continue;
        }
        let position = process.node.log().epochs().at(matched).unwrap_or_default();
        if !counts(cluster, master, node, log_id, position) {
            let (seen, storage) = (master.seen.get(node), peer.storage());
            let what = format!("{node}, {storage:?}, is believed to hold {position:?}; {seen:?}");
            return Err(Violation::new(Rule::NeverOverestimated, what));
        }
    }
    Ok(())
}

/// Whether the storage that counts under that name holds that entry, or has held it.
fn counts(
    cluster: &Cluster,
    master: &Master,
    node: &NodeId,
    log_id: LogId,
    position: LogPosition,
) -> bool {
    let storage = master.seen.get(node).and_then(|seen| seen.counts());
    storage.is_some_and(|storage| has_held(cluster, storage, log_id, position))
}

fn has_held(cluster: &Cluster, storage: StorageId, log_id: LogId, position: LogPosition) -> bool {
    let mut living = cluster.secondaries.iter().filter(|s| s.storage == storage);
    living.any(|s| s.journal.stored().has(log_id, position))
        || cluster.truth.once_held(storage.0, log_id, position)
}

// ---- What is committed.

/// The positions that are known, and by whom they are committed.
fn by_whom(known: &Committed) -> impl Iterator<Item = (CommittedBy, Seq)> {
    let held = (1..).zip(known.held().iter().copied());
    let held = held.map(|(n, seq)| (CommittedBy::Count(n), seq));
    let all = [
        (CommittedBy::Majority, known.by(WriteConcern::Majority)),
        (CommittedBy::All, known.by(WriteConcern::All)),
    ];
    held.chain(all).filter(|(_, seq)| *seq > Seq::ZERO)
}

/// What a master learns is held by so many nodes at that moment; what it was told before it started was committed.
fn master_knows_committed(cluster: &mut Cluster, m: usize) -> Judged {
    let master = &cluster.masters[m];
    let Some(process) = master
        .process
        .as_ref()
        .filter(|_| cluster.setup.tells_committed)
    else {
        return Ok(());
    };
    let (leader, id) = (&process.node, master.id.0);
    let log_id = leader.leadership().log_id;
    let (known, cuts) = (leader.committed().clone(), leader.log().generation());
    let members = leader.peers().count();
    let mut rises = Vec::new();
    for (by, seq) in by_whom(&known) {
        let Some(position) = leader.log().epochs().at(seq) else {
            let what = format!("{by:?} have committed {seq} of {log_id}, which is not there");
            return Err(Violation::new(Rule::Committed, what));
        };
        if cluster.truth.is_committed(log_id, by, position) {
            continue;
        }
        let needed = match by {
            CommittedBy::Count(n) => n,
            CommittedBy::Majority => WriteConcern::Majority.nodes(members),
            CommittedBy::All => WriteConcern::All.nodes(members),
        };
        let held = holders(cluster, m, log_id, position);
        let is_here = leader.log().durable() >= seq;
        if held < needed || !is_here {
            let what = format!("{by:?} are to have {position:?} of {log_id}, {held} have");
            return Err(Violation::new(Rule::Committed, what));
        }
        rises.push((by, position));
    }
    let truth = cluster.truth.make_mut();
    for (by, position) in rises {
        truth.commit(log_id, by, position);
    }
    truth.knows(id, log_id, cuts, &known)
}

/// What a secondary knows was committed, and is what it holds itself.
fn secondary_knows_committed(cluster: &mut Cluster, n: usize) -> Judged {
    let secondary = &cluster.secondaries[n];
    let Some(process) = secondary
        .process
        .as_ref()
        .filter(|_| cluster.setup.tells_committed)
    else {
        return Ok(());
    };
    let (follower, id) = (&process.node, secondary.storage.0);
    let Some(log_id) = follower.position().log_id else {
        return Ok(());
    };
    let (known, cuts) = (follower.committed().clone(), follower.log().generation());
    for (by, seq) in by_whom(&known) {
        let position = follower.log().epochs().at(seq);
        if !position.is_some_and(|p| cluster.truth.is_committed(log_id, by, p)) {
            let what = format!("{by:?} are to have {seq} of {log_id}, here {position:?}");
            return Err(Violation::new(Rule::Committed, what));
        }
    }
    let truth = cluster.truth.make_mut();
    truth.knows(id, log_id, cuts, &known)
}

// ---- What clients are told.

fn answers(cluster: &mut Cluster, m: usize, reply: &Reply<Client>) -> Judged {
    let lie = |what: String| Err(Violation::new(Rule::NoLie, format!("{what}: {reply:?}")));
    let stored = cluster.masters[m].journal.stored();
    if let Answer::Cleared(leadership) = &reply.answer {
        return match stored.hard_state.log_id == Some(leadership.log_id) {
            true => Ok(()),
            false => lie("the new history is not durable".to_owned()),
        };
    }
    let number = reply.waiter.number;
    let Some(request) = cluster.clients.get_mut(number) else {
        return Ok(()); // who asked for a clearing is refused
    };
    if request.fate != Fate::Waiting(m) {
        return match request.fate {
            Fate::Gone => Ok(()),
            _ => lie("nobody waits".to_owned()),
        };
    }
    request.fate = Fate::Answered(reply.answer.clone());
    let request = &cluster.clients[number];
    match &reply.answer {
        Answer::Replicated { appended, acks } => {
            let position = placed(cluster, m, appended)?;
            let is_enough = *acks >= appended.w && request.w.is_none_or(|w| w == appended.w);
            let held = holders(cluster, m, appended.log_id, position);
            if !is_enough || held < *acks {
                return lie(format!("{held} nodes hold it"));
            }
            in_stream(cluster, appended, position)?;
            if *acks > 1 || cluster.setup.shares_journal {
                let (log_id, epoch) = (appended.log_id, cluster.masters[m].epoch());
                let truth = cluster.truth.make_mut();
                truth.acknowledge(Leadership { log_id, epoch }, position);
            }
            Ok(())
        }
        Answer::NotReplicated { appended, acks, .. } => {
            let position = placed(cluster, m, appended)?;
            in_stream(cluster, appended, position)?;
            let held = holders(cluster, m, appended.log_id, position);
            match held < *acks || *acks >= appended.w {
                true => lie(format!("{held} nodes hold it")),
                false => Ok(()),
            }
        }
        Answer::ClearedMeanwhile(appended) => {
            let by = stored.hard_state.cleared.cleared_by(appended.log_id);
            match by {
                Some(_) => Ok(()),
                None => lie("that it was cleared is not durable".to_owned()),
            }
        }
        Answer::Refused(_) => {
            let mut same = cluster
                .clients
                .iter()
                .filter(|c| c.message_id == request.message_id);
            let is_alone = same.nth(1).is_none();
            let shared = &cluster.stream.log().stored().entries;
            let mut all = stored.entries.iter().chain(shared);
            match is_alone && all.any(|e| e.id == request.message_id) {
                true => lie("it is in the log".to_owned()),
                false => Ok(()),
            }
        }
        Answer::Removed { .. } | Answer::NotRemoved(_) | Answer::Verified(_) => {
            lie("it has appended".to_owned())
        }
        Answer::NotKnown { .. } | Answer::Cleared(_) => Ok(()),
    }
}

/// What a client is told to be in the log is in the journal that masters share, as long as nobody has cleared it.
fn in_stream(cluster: &Cluster, appended: &Appended, position: LogPosition) -> Judged {
    let shared = cluster.stream.log().stored();
    let is_there = shared.has(appended.log_id, position);
    match !cluster.setup.shares_journal || is_there || cluster.truth.is_cleared(appended.log_id) {
        true => Ok(()),
        false => {
            let what = format!("{appended:?} is not in the stream at {position:?}");
            Err(Violation::new(Rule::NoLie, what))
        }
    }
}

/// The entry that a client was told of, which the master's journal holds, or held until the log was cleared just now.
fn placed(cluster: &Cluster, m: usize, appended: &Appended) -> Result<LogPosition, Violation> {
    let master = &cluster.masters[m];
    let stored = master.journal.stored();
    let here = stored.get(appended.last).map(|e| e.position());
    let position = match stored.hard_state.log_id == Some(appended.log_id) {
        true => here,
        false => cluster
            .truth
            .once_held_at(master.id.0, appended.log_id, appended.last),
    };
    let is_it = |p: &LogPosition| {
        let message_id = cluster.truth.message_at(appended.log_id, *p);
        p.epoch.n == appended.epoch && message_id == Some(appended.message_id)
    };
    position.filter(is_it).ok_or_else(|| {
        let what = format!("the master has {position:?} there: {appended:?}");
        Violation::new(Rule::NoLie, what)
    })
}

/// How many nodes hold that entry: the master, and each member of whose name the storage that counts does, or did.
fn holders(cluster: &Cluster, m: usize, log_id: LogId, position: LogPosition) -> u32 {
    let master = &cluster.masters[m];
    let Some(process) = &master.process else {
        return 0;
    };
    let peers = process.node.peers();
    let members = peers.iter().filter(|(node, _)| peers.is_member(node));
    let holds = members.filter(|(node, _)| counts(cluster, master, node, log_id, position));
    1 + u32::try_from(holds.count()).unwrap_or(u32::MAX - 1)
}

/// Nobody waits for what the master knows to be there.
///
/// # Errors
/// Somebody does.
pub(super) fn answered_at_once(cluster: &Cluster) -> Result<(), Violation> {
    for request in &cluster.clients {
        let Fate::Waiting(m) = request.fate else {
            continue;
        };
        let master = &cluster.masters[m];
        let (Some(process), Some(w)) = (&master.process, request.w) else {
            continue;
        };
        let mut entries = master.journal.stored().entries.iter();
        let Some(entry) = entries.find(|e| e.id == request.message_id) else {
            continue;
        };
        let seq = entry.position().seq;
        let is_met = process.node.log().durable() >= seq && process.node.commit().acks(seq) >= w;
        if is_met && process.node.phase().leads() {
            let what = format!("{request:?} is met");
            return Err(Violation::new(Rule::AnsweredAtOnce, what));
        }
    }
    Ok(())
}

// ---- A master that begins to serve.

fn serves(cluster: &mut Cluster, m: usize, seen: &[NodeId], not_seen: &[NodeId]) -> Judged {
    let master = cluster.masters[m].clone();
    let Some(leadership) = master.leads() else {
        return Ok(());
    };
    let Leadership { log_id, epoch } = leadership;
    let end = master.journal.stored().last();
    let mut truth = std::mem::take(&mut cluster.truth);
    let facts = truth.make_mut();
    // One that was told to clear its log before its epoch was durable says so of the new log.
    let begun = cluster.setup.log_id(m, master.starts << 8 | master.clears);
    let mut served = match master.clears > 0 && log_id == begun {
        true => Ok(()),
        false => facts.serves(leadership, end),
    };
    let mut cleared = master.learned.cleared.iter();
    if facts.is_cleared(log_id) && cleared.any(|c| c.covers(log_id, end.epoch)) {
        let what = format!("serves {leadership:?} up to {end:?}, which was cleared away");
        served = served.and(Err(Violation::new(Rule::NeverGoesBack, what)));
    }
    let relied: Vec<LogPosition> = facts.acknowledged(log_id).collect();
    let missing = |p: &LogPosition| p.epoch < epoch && !facts.contains(log_id, end, *p);
    let missing: Vec<LogPosition> = relied.into_iter().filter(missing).collect();
    for position in missing {
        let was_asked = |s: &Secondary| {
            master.learned.follows.get(&s.storage) == Some(&leadership)
                && seen.contains(&s.name)
                && !not_seen.contains(&s.name)
        };
        let has_it = |s: &Secondary| s.journal.stored().has(log_id, position);
        let is_patient = cluster.setup.is_patient;
        let mut all = cluster.secondaries.iter();
        match all.find(|s| has_it(s) && (is_patient || was_asked(s))) {
            _ if cluster.setup.shares_journal => {
                let what = format!("{leadership:?} begins without {position:?}");
                let lost = Violation::new(Rule::KeepsWhatWasAcknowledged, what);
                served = served.and(Err(lost));
            }
            Some(holder) => {
                let name = &holder.name;
                let what = format!("{leadership:?} begins without {position:?}, which {name} has");
                let lost = Violation::new(Rule::KeepsWhatWasAcknowledged, what);
                served = served.and(Err(lost));
            }
            None => facts.give_up(log_id, position),
        }
    }
    cluster.truth = truth;
    served
}
