//! What operators look for, as plain sentences in the log.

use replog_protocol::event::{Event, Speaker};
use replog_protocol::ids::{Leadership, NodeId};
use tracing::{debug, error, info, warn};

/// Logs events; a question that is asked again and again is a line only once.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    is_recovering: bool,
}

impl EventLog {
    /// One event, as `speaker` says it of its log, which is that of `leadership`.
    pub(super) fn log(&mut self, event: &Event, speaker: &Speaker, leadership: &Leadership) {
        match event {
            Event::Joined { node, member: true } => info!(%node, "joined"),
            Event::Joined {
                node,
                member: false,
            } => info!(%node, "joined as an observer: it is not listed and does not count"),
            Event::Healthy { node, .. } => info!(%node, "healthy"),
            Event::Suspected { node, .. } => warn!(%node, "suspected"),
            Event::Unhealthy { node, .. } => warn!(%node, "unhealthy"),
            Event::Diverged { node, other_log_id } => {
                let other_log_id = other_log_id.map(tracing::field::display);
                match speaker {
                    Speaker::Master => {
                        warn!(%node, other_log_id, "diverged: it holds another history")
                    }
                    Speaker::Secondary(_) => warn!(
                        other_log_id,
                        "diverged: the master has another history; this node reads on and waits for POST /rejoin"
                    ),
                }
            }
            Event::RolledBack {
                rolled_back_log_id,
                first_seq,
                last_seq,
                committed,
            } => warn!(
                log_id = %rolled_back_log_id, first = %first_seq, last = %last_seq, committed,
                "rolled back: the other nodes go on otherwise; what was here is kept, see GET /diverged"
            ),
            Event::Clash { node } => match speaker {
                Speaker::Master => warn!(%node, "two storages answer under this name"),
                Speaker::Secondary(_) => warn!(
                    %node,
                    "another process of this name counts in its place: this one does not count any more; stop one of the two, \
                     and start this one again if it is to stay"
                ),
            },
            Event::ReadOnlyOn {} => {
                warn!("fewer than a majority of the nodes is alive: no appends until it is");
            }
            Event::ReadOnlyOff {} => info!("a majority is alive: appends are taken again"),
            Event::Recovering {} if self.is_recovering => debug!("asking the secondaries again"),
            Event::Recovering {} => {
                self.is_recovering = true;
                info!("asking the secondaries what they hold");
            }
            Event::Serving {
                entries,
                new,
                not_heard,
                overtakes,
                ..
            } => {
                self.is_recovering = false;
                serving(*entries, *new, not_heard, leadership);
                if let Some(instance) = overtakes {
                    warn!(%instance, "overtaking the master that lives");
                }
            }
            Event::Fenced {
                by_epoch,
                heard_from,
            } => {
                let heard_from = heard_from.as_ref().map(tracing::field::display);
                error!(
                    by_epoch,
                    heard_from, "fenced: another master has taken over, no appends here any more"
                );
            }
            Event::JournalLostEnd {
                after_seq,
                last_seq,
            } => warn!(
                %after_seq,
                %last_seq,
                "the journal's stream has lost its end: what only this directory holds is written there again"
            ),
            Event::Removed { node } => info!(%node, "removed: it does not count any more"),
            Event::Damaged { seq } => {
                error!(%seq, "an entry cannot be read from the disk any more; another node is asked for it");
            }
            Event::Repaired { seq } => info!(%seq, "a damaged entry was written again"),
        }
    }
}

fn serving(entries: u64, is_new: bool, not_heard: &[NodeId], leadership: &Leadership) {
    let Leadership { log_id, epoch } = leadership;
    match is_new {
        true => info!(%log_id, %epoch, "a new history begins"),
        false => info!(%log_id, %epoch, entries, "the history goes on"),
    }
    if !not_heard.is_empty() {
        let names: Vec<&str> = not_heard.iter().map(NodeId::as_str).collect();
        let names = names.join(", ");
        warn!(%names, "not heard: what only they hold is missing");
    }
}
