//! Entries, and heartbeats.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    DecodeError, ENVELOPE_BYTES, PROTOCOL_VERSION, check_head, cleared, entries, objects,
    placed_by, refused,
};
use crate::cleared_logs::{ClearedLog, ClearedLogs};
use crate::committed::Committed;
use crate::digest::DigestAt;
use crate::entry::EntryBatch;
use crate::epochs::LogPosition;
use crate::ids::{Epoch, Leadership, LogId, MasterId, Seq, StorageId};
use crate::node_url::NodeUrl;
use crate::request_id::{RequestEntries, RequestId};
use crate::write_concern::WriteConcern;

/// Of more nodes than these only a heartbeat says what each number of them holds: the room beside entries is bounded.
const MAX_HELD: usize = 16;
/// What the ids of requests may need in a message, at most, in bytes. It is taken from what entries leave of the broker's
/// `max_payload`.
pub const REQUEST_IDS_BYTES: usize = 16 << 10;

/// Consecutive entries after `prev` (Raft: AppendEntries); without entries, a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendEntries {
    /// The master that sends it.
    pub leader: Leadership,
    /// The entry before the first one.
    pub prev: LogPosition,
    /// The entries, all of one epoch; `None` makes it a heartbeat.
    pub entries: Option<EntryBatch>,
    /// The end of the master's log.
    pub tail: Seq,
    /// What is known to be committed.
    pub committed: Committed,
    /// Only in a heartbeat: the histories that this one replaced. A secondary that holds one of them, and has heard of no
    /// later epoch of it, gives it up and follows.
    pub cleared: ClearedLogs,
    /// Only in a heartbeat: the storage that the master asks. Only that storage answers with `round`.
    pub storage: Option<StorageId>,
    /// Only in a heartbeat: a number that the master made. An ACK that carries it was said after that.
    pub round: u64,
    /// Only in a heartbeat: how often the master sends one; zero where it does not say.
    pub interval: Duration,
    /// Only in a heartbeat: where clients reach the master.
    pub url: Option<NodeUrl>,
    /// Only in a heartbeat: the digest of the master's log up to a position; it asks for the secondary's up to there.
    pub digest: Option<DigestAt>,
    /// Which requests have appended the entries, of those to which their clients gave an id and that have room beside them:
    /// for logs alone.
    pub request_ids: Vec<RequestEntries>,
}

impl AppendEntries {
    /// The last position that the message speaks of: that of its last entry, or `prev`.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.entries
            .as_ref()
            .map_or(self.prev.seq, EntryBatch::last)
    }

    /// The line that travels.
    pub(super) fn encode(&self, at_ms: u64) -> Bytes {
        let Self {
            leader,
            prev,
            entries,
            tail,
            committed,
            ..
        } = self;
        let text = entries.as_ref().map_or(&b""[..], |batch| batch.text());
        let (kind, count) = match entries {
            Some(batch) => ("append", batch.count()),
            None => ("heartbeat", 0),
        };
        let mut line = String::with_capacity(ENVELOPE_BYTES / 2 + text.len());
        let _ = write!(
            line,
            r#"{{"kind":"{kind}","seq":{},"count":{count},"prev":{},"tail":{tail},"commit":{},"all":{},"log_id":"{}","epoch":{},"instance":"{}""#,
            self.last(),
            json(prev),
            committed.by(WriteConcern::Majority),
            committed.by(WriteConcern::All),
            leader.log_id,
            leader.epoch.n,
            leader.epoch.master,
        );
        if let Some(master) = placed_by(entries.as_ref(), leader.epoch) {
            let _ = write!(line, r#","placed_by":"{master}""#);
        }
        if let Some(batch) = entries
            && batch.epoch().n != leader.epoch.n
        {
            let _ = write!(line, r#","placed_in":{}"#, batch.epoch().n);
        }
        if entries.is_none() || committed.held().len() <= MAX_HELD {
            let _ = write!(line, r#","held":{}"#, json(&committed.held()));
        }
        if entries.is_none() {
            if let Some(storage) = self.storage {
                let _ = write!(line, r#","storage":"{storage}","round":{}"#, self.round);
            }
            if !self.interval.is_zero() {
                let _ = write!(line, r#","interval_ms":{}"#, self.interval.as_millis());
            }
            if !self.cleared.is_empty() {
                let _ = write!(line, r#","cleared":{}"#, json(&self.cleared));
            }
            if let Some(url) = &self.url {
                let _ = write!(line, r#","url":"{url}""#);
            }
            if let Some(digest) = &self.digest {
                let _ = write!(line, r#","digest":{}"#, json(digest));
            }
        }
        if !self.request_ids.is_empty() {
            let requests = self.request_ids.iter().map(RequestFields::of);
            let requests: Vec<RequestFields<'_>> = requests.collect();
            let _ = write!(line, r#","request_ids":{}"#, json(&requests));
        }
        let _ = write!(line, r#","v":{PROTOCOL_VERSION}"#);
        if entries.is_some() {
            line.push_str(r#","entries":["#);
            line.push_str(std::str::from_utf8(text).expect("entries are text"));
            line.push(']');
        }
        let _ = write!(line, r#","at_ms":{at_ms}}}"#);
        line.into()
    }

    /// Reads what [`AppendEntries::encode`] made; the entries in one pass.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        if let Some((head, entries)) = split(bytes)
            && let Ok(append) = Self::read(&head, bytes, Some(entries))
        {
            return Ok(append);
        }
        Self::read(bytes, bytes, None)
    }

    /// Reads the message `head`, the entries of which are `text`, objects with commas between, if they are not in the head
    /// itself. Their buffer is that of `bytes`.
    fn read(head: &[u8], bytes: &Bytes, text: Option<&str>) -> Result<Self, DecodeError> {
        // Not flattened: a raw value cannot be read through serde's buffer.
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            kind: Cow<'a, str>,
            prev: LogPosition,
            tail: Seq,
            commit: Seq,
            #[serde(default)]
            all: Seq,
            #[serde(default)]
            held: Vec<Seq>,
            log_id: LogId,
            epoch: u64,
            instance: MasterId,
            placed_by: Option<MasterId>,
            placed_in: Option<u64>,
            storage: Option<StorageId>,
            #[serde(default)]
            round: u64,
            #[serde(default)]
            interval_ms: u64,
            #[serde(default)]
            cleared: Vec<ClearedLog>,
            #[serde(borrow)]
            url: Option<Cow<'a, str>>,
            digest: Option<DigestAt>,
            #[serde(borrow, default)]
            request_ids: Vec<RequestFields<'a>>,
            v: u32,
            #[serde(borrow)]
            entries: Option<&'a RawValue>,
        }
        let kinds = &["append", "heartbeat"];
        let fields: Fields<'_> =
            serde_json::from_slice(head).map_err(|error| refused(head, kinds, error))?;
        check_head(&fields.kind, fields.v, kinds)?;
        let own = Epoch::new(fields.epoch, fields.instance)?;
        let epoch = Epoch::new(
            fields.placed_in.unwrap_or(own.n),
            fields.placed_by.unwrap_or(own.master),
        )?;
        let text = match (text, fields.entries) {
            (text, None) => text.unwrap_or_default(),
            (_, Some(array)) => objects(array)?,
        };
        Ok(Self {
            entries: entries(bytes, text, epoch, fields.prev)?,
            leader: Leadership {
                log_id: fields.log_id,
                epoch: own,
            },
            prev: fields.prev,
            tail: fields.tail,
            committed: Committed::new(fields.held, fields.commit, fields.all),
            cleared: cleared(fields.cleared)?,
            storage: fields.storage,
            round: fields.round,
            interval: Duration::from_millis(fields.interval_ms),
            url: fields.url.as_deref().and_then(NodeUrl::new),
            digest: fields.digest,
            request_ids: (fields.request_ids.iter())
                .filter_map(RequestFields::read)
                .collect(),
        })
    }
}

/// One of [`AppendEntries::request_ids`], as it travels.
#[derive(Deserialize, Serialize)]
struct RequestFields<'a> {
    first: Seq,
    last: Seq,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl<'a> RequestFields<'a> {
    fn of(entries: &'a RequestEntries) -> Self {
        Self {
            first: entries.first,
            last: entries.last,
            id: entries.request_id.as_str().into(),
        }
    }

    /// `None` for what is no id: no reason to refuse the entries beside it.
    fn read(&self) -> Option<RequestEntries> {
        Some(RequestEntries {
            first: self.first,
            last: self.last,
            request_id: RequestId::new(&self.id)?,
        })
    }
}

/// A message as [`AppendEntries::encode`] writes it, without its entries; and these, objects with commas between.
fn split(bytes: &Bytes) -> Option<(Vec<u8>, &str)> {
    const BEFORE: &[u8] = br#","entries":["#;
    const AFTER: &[u8] = br#"],"at_ms":"#;
    let head = &bytes[..bytes.len().min(ENVELOPE_BYTES + REQUEST_IDS_BYTES)];
    let begin = head.windows(BEFORE.len()).position(|w| w == BEFORE)?;
    let tail_at = bytes.len().saturating_sub(AFTER.len() + 24);
    let end = bytes[tail_at..].windows(AFTER.len());
    let end = tail_at + end.into_iter().position(|w| w == AFTER)?;
    let text = std::str::from_utf8(bytes.get(begin + BEFORE.len()..end)?).ok()?;
    Some(([&bytes[..begin], b",", &bytes[end + 2..]].concat(), text))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("always JSON")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::entry::{BatchBuilder, Content};
    use crate::ids::MessageId;

    /// Read in another way it would be read all the same, only slower.
    #[test]
    fn what_is_encoded_is_read_in_one_pass() {
        let epoch = Epoch::new(1, MasterId::default()).expect("in range");
        let mut entries = BatchBuilder::new(Seq(1), epoch);
        let content = Content::from_text(r#"],"at_ms":7,"entries":["#);
        // Nor does an id that looks like the end of the head lead astray.
        let request_id = RequestId::new(r#"\","entries":["#).unwrap();
        entries.push(MessageId(Uuid::nil()), &content);
        let append = AppendEntries {
            leader: Leadership {
                log_id: LogId::default(),
                epoch,
            },
            prev: LogPosition::default(),
            entries: entries.finish(),
            tail: Seq(1),
            committed: Committed::new([Seq(1), Seq(1)], Seq(1), Seq::ZERO),
            cleared: ClearedLogs::default(),
            storage: None,
            round: 0,
            interval: Duration::ZERO,
            url: None,
            digest: None,
            request_ids: vec![RequestEntries {
                first: Seq(1),
                last: Seq(1),
                request_id,
            }],
        };
        let line = append.encode(9);
        let (head, entries) = split(&line).expect("as it is encoded");
        let read = AppendEntries::read(&head, &line, Some(entries));
        assert_eq!(read.expect("a message"), append);
    }
}
