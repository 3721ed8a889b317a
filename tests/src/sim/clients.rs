//! The clients of the simulation, and what they were told.

use std::collections::BTreeMap;

use replog_common::entry::{Content, Entry};
use replog_common::protocol::outcome::{Draft, Placement};
use replog_common::types::{LogId, MessageId, Seq, Time, WriteConcern};

use crate::sim::random::Random;

/// How a client fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its message is in the log.
    Waiting(Placement),
    /// It was told something.
    Answered,
    /// Its message was refused.
    Refused,
    /// It went away, or its master did.
    Gone,
}

/// Everybody who ever asked, by number.
#[derive(Debug, Default)]
pub struct Clients {
    drafts: Vec<Draft>,
    /// What became of each.
    pub fates: Vec<Fate>,
    /// Where each message was said to be.
    places: BTreeMap<(LogId, MessageId), Seq>,
}

impl Clients {
    /// Somebody appends: a new message, or an old one again.
    pub fn draft(&mut self, random: &mut Random, nodes: usize, now: Time) -> Draft {
        let is_retry = !self.drafts.is_empty() && random.happens(250);
        let (message_id, content) = if is_retry {
            let recent = self.drafts.len().min(20);
            let old = &self.drafts[self.drafts.len() - 1 - random.index(recent)];
            (old.message_id, old.content.clone())
        } else {
            let size = if random.happens(50) { 3000 } else { 40 };
            let text = format!("{} \"é\"\n", "x".repeat(random.index(size)));
            (MessageId(random.uuid()), Content::from_text(&text))
        };
        let w = match random.between(0, 5) {
            0 => WriteConcern::All,
            1 => WriteConcern::Majority,
            _ => WriteConcern::Count(u32::try_from(random.index(nodes + 1) + 1).unwrap_or(1)),
        };
        let until = random.happens(400).then(|| now + random.millis(0, 3000));
        let expected_seq = random.happens(50).then(|| Seq(random.between(1, 50)));
        let draft = Draft {
            content,
            message_id,
            w,
            until,
            expected_seq,
            older: Default::default(),
        };
        self.drafts.push(draft.clone());
        self.fates.push(Fate::Refused);
        draft
    }

    /// Until when the client waits at most.
    #[must_use]
    pub fn until(&self, client: usize) -> Option<Time> {
        self.drafts[client].until
    }

    /// A message was given a place.
    ///
    /// # Errors
    /// The same message had another one in the same history, or it is called a duplicate and is none.
    pub fn placed(&mut self, client: usize, placement: Placement) -> Result<(), String> {
        self.fates[client] = Fate::Waiting(placement);
        let key = (placement.log_id, placement.message_id);
        let before = self.places.insert(key, placement.seq);
        if before.is_some() != placement.duplicate || before.is_some_and(|s| s != placement.seq) {
            return Err(format!("{placement:?}, but it was at {before:?} before"));
        }
        Ok(())
    }

    /// The master serves a history that consists of these entries.
    pub fn serves(&mut self, history: LogId, entries: &[Entry]) {
        self.places.retain(|(log, _), _| *log != history);
        let places = entries.iter().map(|e| ((history, e.message_id), e.seq));
        self.places.extend(places);
    }

    /// One who waits hangs up.
    pub fn hang_up(&mut self, random: &mut Random) -> Option<usize> {
        let waiting: Vec<usize> = self.waiting().map(|(client, _)| client).collect();
        if waiting.is_empty() {
            return None;
        }
        let client = waiting[random.index(waiting.len())];
        self.fates[client] = Fate::Gone;
        Some(client)
    }

    /// Their master is gone.
    pub fn lose_master(&mut self) {
        for fate in &mut self.fates {
            if matches!(fate, Fate::Waiting(_)) {
                *fate = Fate::Gone;
            }
        }
    }

    /// Who waits, and for what.
    pub fn waiting(&self) -> impl Iterator<Item = (usize, Placement)> {
        self.fates
            .iter()
            .enumerate()
            .filter_map(|(client, fate)| match fate {
                Fate::Waiting(placement) => Some((client, *placement)),
                _ => None,
            })
    }
}
