//! Which segment has which entries.

use std::sync::{Arc, OnceLock};

use replog_protocol::ids::Seq;

use super::frame::{Head, SegmentRef};
use super::index::{Filter, Header};
use super::medium::MediumFile;
use super::segment::HEADER_BYTES;
use super::tables::{FrameRef, Keys, Tables};

/// The segments of a log. Each entry is in one of them.
#[derive(Debug)]
pub(super) struct Layout {
    /// They are written to no more. In their order; each has one entry at least.
    pub(super) sealed: Vec<Sealed>,
    /// The one that is written to.
    pub(super) active: Active,
    /// Their entries were all taken out of the log: their files are to be taken away.
    pub(super) dead: Vec<u64>,
    /// Where the log ends.
    pub(super) last: Seq,
    /// How often entries were taken out of it.
    pub(super) cuts: u64,
}

/// A segment that is written to no more.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) number: u64,
    pub(super) seed: u32,
    /// The first entry of the log that is in it.
    pub(super) first: Seq,
    /// The last one.
    pub(super) last: Seq,
    pub(super) index: Index,
}

/// Where the index of a sealed segment is.
#[derive(Clone, Debug)]
pub(super) enum Index {
    /// Not on the disk yet.
    Unwritten(Arc<Tables>),
    /// Beside the segment; what was read of it.
    Written(Arc<OnceLock<(Header, Filter)>>),
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) number: u64,
    pub(super) seed: u32,
    pub(super) file: Arc<dyn MediumFile>,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Where the next frame begins.
    pub(super) end: u64,
    /// The frame that has the hard state.
    pub(super) state_at: u64,
    pub(super) tables: Tables,
}

/// A part of a segment in which entries are.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) seed: u32,
    /// Those that matter, the first one first.
    pub(super) frame_refs: Vec<FrameRef>,
    /// The last entry that is to be found from there.
    pub(super) upto: Seq,
}

impl Layout {
    /// The older segments, as the first frame of the next one names them.
    pub(super) fn segment_refs(&self) -> Vec<SegmentRef> {
        let sealed = self.sealed.iter().map(|s| (s.number, s.first, s.seed));
        let active = self.active.tables.first();
        let active = active.map(|first| (self.active.number, first, self.active.seed));
        let segment_ref = |(number, first, seed)| SegmentRef {
            number,
            first,
            seed,
        };
        sealed.chain(active).map(segment_ref).collect()
    }

    /// A frame was written into the active segment.
    pub(super) fn written(&mut self, head: &Head, keys: Vec<Keys>) {
        let tables = &mut self.active.tables;
        tables.push(head);
        keys.into_iter().for_each(|keys| tables.index(keys));
        self.advance(head);
    }

    /// A frame is in the active segment, and its tables know it.
    pub(super) fn advance(&mut self, head: &Head) {
        if head.after < head.prior {
            self.truncate_after(head.after);
        }
        (self.active.end, self.active.state_at) = (head.end(), head.state_at);
        (self.last, self.cuts) = (head.last(), head.cuts);
    }

    /// Entries were taken out of the log.
    fn truncate_after(&mut self, keep: Seq) {
        while let Some(sealed) = self.sealed.pop_if(|s| s.first > keep) {
            self.dead.push(sealed.number);
        }
        if let Some(sealed) = self.sealed.last_mut() {
            sealed.last = sealed.last.min(keep);
        }
    }

    /// Another segment is written to from now on.
    pub(super) fn roll(&mut self, next: Active) {
        let former = std::mem::replace(&mut self.active, next);
        match former.tables.first() {
            Some(first) => self.sealed.push(Sealed {
                number: former.number,
                seed: former.seed,
                first,
                last: self.last,
                index: Index::Unwritten(Arc::new(former.tables)),
            }),
            None => self.dead.push(former.number),
        }
    }

    /// The sealed segment that has the entry at `seq`; `None` if the active one has it.
    pub(super) fn sealed_with(&self, seq: Seq) -> Option<&Sealed> {
        let at = self.sealed.partition_point(|s| s.last < seq);
        self.sealed.get(at)
    }
}

/// So many references to frames are looked at for one page, at most; it ends there.
const MAX_FRAME_REFS: usize = 4096;

impl Part {
    /// Those of the frames that have the entries from `first` to `last`, where the segment goes up to `upto`.
    pub(super) fn of(
        (number, seed): (u64, u32),
        frame_refs: &[FrameRef],
        (first, last): (Seq, Seq),
        upto: Seq,
    ) -> Self {
        // Of a segment in which no frame can be read there may be entries that were written again.
        let whole = [FrameRef {
            after: Seq::ZERO,
            at: HEADER_BYTES,
            cuts: 0,
        }];
        let frame_refs = if frame_refs.is_empty() {
            &whole
        } else {
            frame_refs
        };
        let from = frame_refs.partition_point(|f| f.after < first);
        let frame_refs = &frame_refs[from.saturating_sub(1)..];
        let wanted = frame_refs.partition_point(|f| f.after < last);
        let taken = wanted.min(MAX_FRAME_REFS);
        let upto = frame_refs.get(taken).map_or(upto, |next| next.after);
        Self {
            number,
            seed,
            frame_refs: frame_refs[..taken].to_vec(),
            upto: upto.min(last),
        }
    }
}
