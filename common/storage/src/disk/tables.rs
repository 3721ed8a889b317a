//! Where the entries of one segment are, and which messages they are: in memory, while nothing of that is on the disk.

use std::collections::HashMap;

use bytes::Bytes;
use replog_protocol::entry::{Content, Entry, EntryBatch};
use replog_protocol::epochs::EpochTable;
use replog_protocol::ids::{MessageId, Seq};
use uuid::Uuid;

use super::frame::{Head, entry_sum, size};

/// Where a frame with entries of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameRef {
    /// What its entries follow. They go up to where those of the next frame begin.
    pub(super) after: Seq,
    /// Where the frame begins in its segment.
    pub(super) at: u64,
    /// How often entries were taken out of the log before and with this frame.
    pub(super) cuts: u64,
}

/// What stands for a message: its id, or its content.
pub(super) type Key = u128;

/// The frames of one segment that have entries of the log, and the messages in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// In their order; what was taken out of the log is not among them.
    pub(super) frame_refs: Vec<FrameRef>,
    pub(super) ids: HashMap<Key, Seq>,
    /// By the fingerprint of the content; kept where contents are deduplicated.
    pub(super) contents: Option<HashMap<Key, Seq>>,
}

impl Tables {
    pub(super) fn new(indexes_contents: bool) -> Self {
        Self {
            contents: indexes_contents.then(HashMap::new),
            ..Self::default()
        }
    }

    /// The first entry of the segment, if it has one.
    pub(super) fn first(&self) -> Option<Seq> {
        self.frame_refs.first().map(|f| f.after.next())
    }

    /// Entries were taken out of the log, up to `keep`.
    pub(super) fn truncate_after(&mut self, keep: Seq) {
        let kept = self.frame_refs.partition_point(|f| f.after < keep);
        self.frame_refs.truncate(kept);
        self.ids.retain(|_, seq| *seq <= keep);
        if let Some(contents) = &mut self.contents {
            contents.retain(|_, seq| *seq <= keep);
        }
    }

    /// A frame was written: what it takes out goes, where its entries are is noted.
    pub(super) fn push(&mut self, head: &Head) {
        if head.after < head.prior {
            self.truncate_after(head.after);
        }
        if !head.entries.is_empty() {
            let Head {
                after, at, cuts, ..
            } = *head;
            self.frame_refs.push(FrameRef { after, at, cuts });
        }
    }

    /// Notes which message an entry is. Of several entries with the same content the first one is found.
    pub(super) fn index(&mut self, keys: Keys) {
        self.ids.insert(keys.id, keys.seq);
        if let (Some(contents), Some(content)) = (&mut self.contents, keys.content) {
            contents.entry(content).or_insert(keys.seq);
        }
    }

    /// What an entry is to be found by.
    pub(super) fn keys_of(&self, entry: &Entry<'_>) -> Keys {
        Keys::of(entry, self.contents.is_some())
    }

    /// Notes what is in a frame that is read from `segment`. Of an entry that has rotted the id is noted, if one can be made
    /// out: who asks for it is to hear that it is damaged, not that it is not there.
    pub(super) fn replay(&mut self, head: &Head, segment: &Bytes, seed: u32, epochs: &EpochTable) {
        self.push(head);
        let text = size(head.text_at())..size(head.text_at()) + head.text_bytes as usize;
        let text = segment.slice(text);
        let (mut first, mut begin, mut ends) = (head.after.next(), 0, Vec::new());
        for (at, seq, sum) in head.entries_from(0) {
            let end = at + sum.bytes as usize;
            let json = text.get(at..end).unwrap_or_default();
            let is_good = entry_sum(seed, seq, json) == sum.sum;
            if is_good {
                ends.push(u32::try_from(end - begin).unwrap_or(u32::MAX));
            }
            // A comma that has rotted is missed by nobody else.
            let goes_on = text.get(end) == Some(&b',') && seq < epochs.end_of_epoch(seq);
            if is_good && goes_on {
                continue;
            }
            if let Some(last) = ends.last() {
                let part = text.slice(begin..begin + *last as usize);
                self.index_part(first, part, std::mem::take(&mut ends), epochs);
            }
            if !is_good {
                self.index_rotten(seq, text.slice_ref(json), epochs);
            }
            (first, begin) = (seq.next(), end + 1);
        }
    }

    fn index_rotten(&mut self, seq: Seq, json: Bytes, epochs: &EpochTable) {
        let epoch = epochs.at(seq).map(|p| p.epoch);
        let parsed = epoch.and_then(|epoch| EntryBatch::parse(json, epoch).ok());
        if let Some(entry) = parsed.as_ref().and_then(|batch| batch.get(seq)) {
            // It may be the id of another entry by now.
            self.ids.entry(id_key(entry.message_id)).or_insert(seq);
        }
    }

    fn index_part(&mut self, first: Seq, text: Bytes, ends: Vec<u32>, epochs: &EpochTable) {
        let epoch = epochs.at(first).map(|p| p.epoch);
        let batch = epoch.and_then(|epoch| EntryBatch::proved(first, epoch, text, ends));
        for entry in batch.iter().flat_map(EntryBatch::iter) {
            let keys = self.keys_of(&entry);
            self.index(keys);
        }
    }
}

/// What an entry is found by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    seq: Seq,
    id: Key,
    content: Option<Key>,
}

impl Keys {
    pub(super) fn of(entry: &Entry<'_>, with_content: bool) -> Self {
        Self {
            seq: entry.seq,
            id: id_key(entry.message_id),
            content: with_content.then(|| fingerprint(&entry.text())),
        }
    }
}

pub(super) fn id_key(id: MessageId) -> Key {
    id.0.as_u128()
}

pub(super) fn content_key(content: &Content) -> Key {
    fingerprint(&content.text())
}

/// What stands for a content: 122 bits of a SHA-1. Two different contents with one fingerprint do not happen by chance.
fn fingerprint(text: &str) -> Key {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).as_u128()
}
