//! What a client of a stream has: the `id:` of an event, and the entries that were sent so far.

use std::fmt;
use std::str::FromStr;

use replog_protocol::ids::{Epoch, Leadership, LogId, Seq};
use replog_protocol::node::{Query, ReadError};
use uuid::Uuid;

use super::access::read;
use crate::snapshot::View;

/// The last entry that a client has: `<seq>@<log_id>.<epoch>`, also without the epoch, or the seq alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventId {
    /// The position; 0 before the first entry.
    pub(super) seq: Seq,
    /// The history.
    pub(super) log_id: Option<LogId>,
    /// The number of the epoch that placed the entry.
    pub(super) epoch: Option<u64>,
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, place) = match text.split_once('@') {
            Some((seq, place)) => (seq, Some(place)),
            None => (text, None),
        };
        let (log_id, epoch) = match place.map(|place| place.split_once('.').ok_or(place)) {
            None => (None, None),
            Some(Err(log_id)) => (Some(log_id), None),
            Some(Ok((log_id, epoch))) => (Some(log_id), Some(epoch)),
        };
        Ok(Self {
            seq: Seq(number(seq)?),
            log_id: log_id.map(|text| log_id_of(text).ok_or(())).transpose()?,
            epoch: epoch.map(number).transpose()?,
        })
    }
}

/// A history as clients name it: a UUID, with or without hyphens.
#[must_use]
pub(super) fn log_id_of(text: &str) -> Option<LogId> {
    let is_plain = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    Uuid::try_parse(text).ok().filter(|_| is_plain).map(LogId)
}

fn number(text: &str) -> Result<u64, ()> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain).ok_or(())
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seq.fmt(f)?;
        if let Some(log_id) = self.log_id {
            write!(f, "@{log_id}")?;
        }
        if let Some(epoch) = self.epoch {
            write!(f, ".{epoch}")?;
        }
        Ok(())
    }
}

/// The epoch of an entry that a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HadEpoch {
    /// As the entry was sent.
    Sent(Epoch),
    /// As the client says, which knows the number alone.
    Said(u64),
}

impl HadEpoch {
    fn is(self, epoch: Epoch) -> bool {
        match self {
            Self::Sent(had) => had == epoch,
            Self::Said(n) => n == epoch.n,
        }
    }

    fn is_before(self, epoch: Epoch) -> bool {
        match self {
            Self::Sent(had) => had < epoch,
            Self::Said(n) => n < epoch.n,
        }
    }
}

/// What a client has of one history, as far as that is known: where the entries of each epoch end.
///
/// Two logs that have an entry of one epoch at one position agree on everything before it (Raft: log matching). So the last
/// entry of each epoch says all.
#[derive(Clone, Debug)]
pub(super) struct Had {
    /// The history.
    pub(super) log_id: LogId,
    /// Ascending. Empty while nothing is known.
    ends: Vec<(Seq, HadEpoch)>,
}

/// How a log is to what a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Everything that the client has is in the log.
    Same,
    /// The log may still get there: it ends before that entry.
    Behind(Seq),
    /// From here on the log may be another one.
    DiffersFrom(Seq),
}

impl Had {
    /// What a client says that it has, if it names the history.
    pub(super) fn said(id: EventId) -> Option<Self> {
        let end = id.epoch.map(|n| (id.seq, HadEpoch::Said(n)));
        Some(Self {
            log_id: id.log_id?,
            ends: end.into_iter().collect(),
        })
    }

    /// What a client has that begins to read after `seq`.
    ///
    /// # Errors
    /// As [`read`], but that a damaged entry is none that is known.
    pub(super) async fn before(log_id: LogId, seq: Seq, view: &View) -> Result<Self, ReadError> {
        let epoch = match epoch_at(view, seq).await {
            Err(ReadError::Damaged(_)) => None,
            epoch => epoch?,
        };
        let end = epoch.map(|epoch| (seq, HadEpoch::Sent(epoch)));
        Ok(Self {
            log_id,
            ends: end.into_iter().collect(),
        })
    }

    /// The same, and what was known of the entries before those, if anything was.
    pub(super) fn with_older(mut self, known: Option<Self>) -> Self {
        let first = self.ends.first().map_or(Seq::ZERO, |(end, _)| *end);
        let older = known.into_iter().flat_map(|known| known.ends);
        let older = older.filter(|(end, _)| *end < first);
        self.ends.splice(0..0, older.collect::<Vec<_>>());
        self
    }

    /// Whether any of the entries that the client has is known.
    pub(super) fn is_known(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Whether the last entry that the client has is known to be of that epoch.
    pub(super) fn ends_in(&self, epoch: Epoch) -> bool {
        matches!(self.ends.last(), Some((_, HadEpoch::Sent(of))) if *of == epoch)
    }

    /// Everything up to `seq`, an entry of `epoch`, was sent.
    pub(super) fn sent(&mut self, seq: Seq, epoch: Epoch) {
        match self.ends.last_mut() {
            Some((end, HadEpoch::Sent(of))) if *of == epoch => *end = seq,
            _ => self.ends.push((seq, HadEpoch::Sent(epoch))),
        }
    }

    /// The id of the entry at `seq`, which is the last one that the client has.
    pub(super) fn id(&self, seq: Seq) -> EventId {
        let epoch = self.ends.last().filter(|(end, _)| *end == seq);
        EventId {
            seq,
            log_id: Some(self.log_id),
            epoch: epoch.map(|(_, epoch)| match epoch {
                HadEpoch::Sent(epoch) => epoch.n,
                HadEpoch::Said(n) => *n,
            }),
        }
    }

    /// Compares it with the log that `view` shows, whose newest leadership is `shown`.
    ///
    /// # Errors
    /// As [`read`].
    pub(super) async fn compare(
        &self,
        shown: Leadership,
        view: &View,
    ) -> Result<Compared, ReadError> {
        if self.log_id != shown.log_id {
            return Ok(Compared::DiffersFrom(Seq(1)));
        }
        let Some((end, epoch)) = self.ends.last().filter(|(end, _)| *end > Seq::ZERO) else {
            return Ok(Compared::Same);
        };
        match epoch_at(view, *end).await? {
            Some(here) if epoch.is(here) => return Ok(Compared::Same),
            None if !epoch.is_before(shown.epoch) => return Ok(Compared::Behind(*end)),
            _ => {}
        }
        for (end, epoch) in self.ends.iter().rev() {
            if let Some(last) = last_of(view, *end, *epoch).await? {
                return Ok(Compared::DiffersFrom(last.next()));
            }
        }
        // Which of the older entries the client has is not known.
        Ok(Compared::DiffersFrom(Seq(1)))
    }
}

/// The epoch of the entry at `seq`; `None` after the end.
async fn epoch_at(view: &View, seq: Seq) -> Result<Option<Epoch>, ReadError> {
    if seq == Seq::ZERO {
        return Ok(Some(Epoch::ZERO));
    }
    if seq > view.snapshot.last {
        return Ok(None);
    }
    let query = Query::Range {
        first: seq,
        last: seq,
        max_bytes: 1,
    };
    let entry = read(&view.reader, query).await?;
    entry
        .map(|entry| Some(entry.epoch()))
        .ok_or(ReadError::Gone)
}

/// The last entry of that epoch, up to `end`. Epochs only grow along a log, so a few entries tell.
async fn last_of(view: &View, end: Seq, epoch: HadEpoch) -> Result<Option<Seq>, ReadError> {
    let (mut not_after, mut after) = (Seq::ZERO, end.min(view.snapshot.last).next());
    let mut found = false;
    while after.after(not_after) > 1 {
        let middle = Seq(not_after.0 + after.after(not_after) / 2);
        let here = epoch_at(view, middle).await?.ok_or(ReadError::Gone)?;
        if epoch.is_before(here) {
            after = middle;
        } else {
            (not_after, found) = (middle, epoch.is(here));
        }
    }
    Ok(found.then_some(not_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let log = "0193e2a4-7c11-7b7e-9c55-3f3a5a1c0001";
        for text in [
            "0",
            "7",
            &format!("7@{log}"),
            &format!("0@{log}.0"),
            &format!("7@{log}.3"),
        ] {
            let id: EventId = text.parse().unwrap_or_else(|()| panic!("{text}"));
            assert_eq!(id.to_string(), *text);
        }
        let plain: EventId = format!("7@{}.3", log.replace('-', "").to_uppercase())
            .parse()
            .unwrap();
        assert_eq!(plain.to_string(), format!("7@{log}.3"));
        let long = "9".repeat(30);
        for wrong in [
            "",
            "-1",
            "+1",
            "x",
            "1.5",
            "7 ",
            "@",
            "7@",
            "7@x",
            &long,
            &format!("@{log}.3"),
            &format!("7@{log}."),
            &format!("7@{log}.x"),
            &format!("7@{log}.+3"),
            &format!("7@{{{log}}}.3"),
            &format!("7@urn:uuid:{log}"),
            &format!("7@{log}.3.4"),
        ] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong:?}");
        }
    }
}
