//! One write, as it lies in a segment: a frame.
//!
//! ```text
//!   ┌───────┬───────────────────────────┬──────┬─────┐
//!   │ front │ {"seq":7,…},{"seq":8,…}   │ back │ end │
//!   └───────┴───────────────────────────┴──────┴─────┘
//!   front, back: the same head twice, each with a checksum: where the frame begins, what the write does, length and checksum
//!                of each entry, the hard state if the write has one
//!   end:         eight bytes that no text has, the last of what is written
//! ```
//! All checksums begin with the seed of the segment, so a frame of another segment is none here. A head that has rotted is read
//! from its other copy; an entry that has rotted is one entry less. Frames begin at multiples of eight, and no sector of an
//! intact frame is zero from end to end: a sector that is was never written.

use crc32fast::Hasher;
use replog_protocol::entry::{Entry, EntryBatch};
use replog_protocol::ids::Seq;

/// What the head before the text begins with. No UTF-8 text has such bytes.
pub(super) const FRONT: [u8; 8] = *b"\xffFront\xff\xff";
/// What the head after the text begins with.
pub(super) const BACK: [u8; 8] = *b"\xffBack\xff\xff\xff";
/// What a frame ends with.
pub(super) const END: [u8; 8] = *b"\xffEnd\xff\xff\xff\xff";

/// Bytes of a head without the tables that follow.
pub(super) const FIXED_BYTES: usize = 72;
/// Bytes of a reference to an older segment.
const SEGMENT_REF_BYTES: usize = 24;
/// No frame begins after this byte of its segment.
const MAX_AT: u64 = 1 << 62;
/// Frames begin at multiples of this.
pub(super) const ALIGN: usize = 8;

/// Length and checksum of an entry's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntrySum {
    pub(super) bytes: u32,
    pub(super) sum: u32,
}

/// A reference to an older segment. The segment holds the entries from `first` up to where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentRef {
    pub(super) number: u64,
    pub(super) first: Seq,
    /// The seed of its checksums.
    pub(super) seed: u32,
}

/// What a frame says of itself, beside the text of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Where the frame begins in its segment.
    pub(super) at: u64,
    /// Where the log ended before this write.
    pub(super) prior: Seq,
    /// What the entries follow; lower than `prior` where the write takes entries out.
    pub(super) after: Seq,
    /// How often entries were taken out of the log, this write included.
    pub(super) cuts: u64,
    /// The frame of this segment that has the hard state which holds after this write.
    pub(super) state_at: u64,
    /// Bytes of the text.
    pub(super) text_bytes: u32,
    /// One for each entry.
    pub(super) entries: Vec<EntrySum>,
    /// Of the first frame of a segment: the older segments.
    pub(super) segment_refs: Vec<SegmentRef>,
    /// The hard state, as JSON, if the write has one.
    pub(super) state: Vec<u8>,
}

/// What a frame is made of.
#[derive(Clone, Debug)]
pub(super) struct FrameBuilder<'a> {
    pub(super) prior: Seq,
    pub(super) after: Seq,
    pub(super) cuts: u64,
    pub(super) entries: &'a [EntryBatch],
    pub(super) segment_refs: &'a [SegmentRef],
    pub(super) state: &'a [u8],
}

impl FrameBuilder<'_> {
    /// Bytes of the frame; `None` if they are too many for one.
    pub(super) fn frame_bytes(&self) -> Option<u64> {
        let count: u64 = self.entries.iter().map(EntryBatch::count).sum();
        let text = text_bytes(self.entries);
        let head =
            FIXED_BYTES as u64 + 8 * count + (SEGMENT_REF_BYTES * self.segment_refs.len()) as u64;
        let head = head + padded(self.state.len() as u64);
        (u32::try_from(text).is_ok() && u32::try_from(head).is_ok())
            .then(|| 2 * head + padded(text) + END.len() as u64)
    }

    /// Appends the frame to `out`; it will begin at `at` in its segment, where the frame at `state_at` has the hard state if
    /// this one has none. `each` is told of every entry. [`FrameBuilder::frame_bytes`] must have said that it is not too large.
    pub(super) fn encode(
        &self,
        (at, state_at, seed): (u64, u64, u32),
        out: &mut Vec<u8>,
        each: &mut dyn FnMut(&Entry<'_>),
    ) -> Head {
        let mut entries = Vec::new();
        for entry in self.entries.iter().flat_map(EntryBatch::iter) {
            let json = entry.json.as_bytes();
            entries.push(EntrySum {
                bytes: u32::try_from(json.len()).unwrap_or(u32::MAX),
                sum: entry_sum(seed, entry.seq, json),
            });
            each(&entry);
        }
        let head = Head {
            at,
            prior: self.prior,
            after: self.after,
            cuts: self.cuts,
            state_at: if self.state.is_empty() { state_at } else { at },
            text_bytes: u32::try_from(text_bytes(self.entries)).unwrap_or(u32::MAX),
            entries,
            segment_refs: self.segment_refs.to_vec(),
            state: self.state.to_vec(),
        };
        let front = out.len();
        head.encode(seed, out);
        let front_end = out.len();
        for (i, batch) in self.entries.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(batch.text());
        }
        let text = out.len() - front_end;
        out.resize(front_end + size(padded(text as u64)), 0xff);
        let back = out.len();
        out.extend_from_within(front..front_end);
        out[back..back + BACK.len()].copy_from_slice(&BACK);
        out.extend_from_slice(&END);
        head
    }
}

impl Head {
    /// The last entry of the log after this write.
    pub(super) fn last(&self) -> Seq {
        Seq(self.after.0 + self.entries.len() as u64)
    }

    /// Bytes of one copy of the head.
    pub(super) fn head_bytes(&self) -> u64 {
        let tables = 8 * self.entries.len() + SEGMENT_REF_BYTES * self.segment_refs.len();
        FIXED_BYTES as u64 + tables as u64 + padded(self.state.len() as u64)
    }

    /// Where the text begins in the segment.
    pub(super) fn text_at(&self) -> u64 {
        self.at + self.head_bytes()
    }

    /// Where the second copy of the head begins in the segment.
    pub(super) fn back_at(&self) -> u64 {
        self.text_at() + padded(u64::from(self.text_bytes))
    }

    /// Where the frame ends in the segment.
    pub(super) fn end(&self) -> u64 {
        self.back_at() + self.head_bytes() + END.len() as u64
    }

    /// The entries from the `i`-th on: where each lies in the text, its position, and its checksum.
    pub(super) fn entries_from(&self, i: usize) -> impl Iterator<Item = (usize, Seq, EntrySum)> {
        let bytes = |e: &EntrySum| e.bytes as usize + 1;
        let mut begin: usize = self.entries.iter().take(i).map(bytes).sum();
        (i..).zip(self.entries.iter().skip(i)).map(move |(i, sum)| {
            let at = begin;
            begin += bytes(sum);
            (at, Seq(self.after.0 + 1 + i as u64), *sum)
        })
    }

    fn encode(&self, seed: u32, out: &mut Vec<u8>) {
        let front = out.len();
        out.extend_from_slice(&FRONT);
        put_u32(out, 0);
        put_len(out, size(self.head_bytes()));
        for n in [
            self.at,
            self.prior.0,
            self.after.0,
            self.cuts,
            self.state_at,
        ] {
            put_u64(out, n);
        }
        put_u32(out, self.text_bytes);
        put_len(out, self.entries.len());
        put_len(out, self.segment_refs.len());
        put_len(out, self.state.len());
        for entry in &self.entries {
            put_u32(out, entry.bytes);
            put_u32(out, entry.sum);
        }
        for segment in &self.segment_refs {
            put_u64(out, segment.number);
            put_u64(out, segment.first.0);
            put_u32(out, segment.seed);
            put_u32(out, u32::MAX);
        }
        out.extend_from_slice(&self.state);
        out.resize(front + size(self.head_bytes()), 0);
        let sum = checksum(seed, &[&out[front + 12..]]);
        out[front + 8..front + 12].copy_from_slice(&sum.to_le_bytes());
    }

    /// Bytes of the head that begins with `bytes`, if one may: there are to be so many before it is decoded.
    pub(super) fn bytes_wanted(magic: [u8; 8], bytes: &[u8]) -> Option<usize> {
        let len = get_u32(bytes, 12)? as usize;
        let is_one = bytes.starts_with(&magic) && len >= FIXED_BYTES && len.is_multiple_of(ALIGN);
        is_one.then_some(len)
    }

    /// The head that `bytes` begin with; `None` if that is not one of a segment with that seed.
    pub(super) fn decode(magic: [u8; 8], seed: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..Self::bytes_wanted(magic, bytes)?)?;
        if get_u32(bytes, 8)? != checksum(seed, &[&bytes[12..]]) {
            return None;
        }
        let (entries, segment_refs) = (get_u32(bytes, 60)? as usize, get_u32(bytes, 64)? as usize);
        let entries_end = FIXED_BYTES + 8 * entries;
        let segment_refs_end = entries_end + SEGMENT_REF_BYTES * segment_refs;
        let state_end = segment_refs_end + get_u32(bytes, 68)? as usize;
        let head = Self {
            at: get_u64(bytes, 16)?,
            prior: Seq(get_u64(bytes, 24)?),
            after: Seq(get_u64(bytes, 32)?),
            cuts: get_u64(bytes, 40)?,
            state_at: get_u64(bytes, 48)?,
            text_bytes: get_u32(bytes, 56)?,
            entries: (bytes.get(FIXED_BYTES..entries_end)?.chunks_exact(8))
                .filter_map(|e| {
                    let (bytes, sum) = (get_u32(e, 0)?, get_u32(e, 4)?);
                    Some(EntrySum { bytes, sum })
                })
                .collect(),
            segment_refs: (bytes
                .get(entries_end..segment_refs_end)?
                .chunks_exact(SEGMENT_REF_BYTES))
            .filter_map(|r| {
                let (number, first) = (get_u64(r, 0)?, Seq(get_u64(r, 8)?));
                let seed = get_u32(r, 16)?;
                Some(SegmentRef {
                    number,
                    first,
                    seed,
                })
            })
            .collect(),
            state: bytes.get(segment_refs_end..state_end)?.to_vec(),
        };
        // What is counted on from these does not overflow; no file is that long, and no log.
        let can_be = head.at <= MAX_AT && head.after <= Seq::MAX && head.prior <= Seq::MAX;
        (can_be && head.head_bytes() == bytes.len() as u64).then_some(head)
    }
}

/// The checksum of an entry: of its position too, so that an entry in another one's place is as wrong as a changed one.
pub(super) fn entry_sum(seed: u32, seq: Seq, json: &[u8]) -> u32 {
    checksum(seed, &[&seq.0.to_le_bytes(), json])
}

/// The checksum of those parts, one after the other.
pub(super) fn checksum(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// The next multiple of [`ALIGN`].
pub(super) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN as u64)
}

/// Bytes of the text of those batches, with the commas between.
fn text_bytes(batches: &[EntryBatch]) -> u64 {
    let bytes: usize = batches.iter().map(|b| b.bytes() + 1).sum();
    bytes.saturating_sub(1) as u64
}

/// A length in memory: what does not fit is larger than anything that can be there.
pub(super) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

pub(super) fn put_u32(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&n.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, n: usize) {
    put_u32(out, u32::try_from(n).unwrap_or(u32::MAX));
}

/// The number at `at`; `None` if `bytes` end before.
pub(super) fn get_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The number at `at`; `None` if `bytes` end before.
pub(super) fn get_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::entries;

    fn encoded(builder: &FrameBuilder<'_>) -> (Head, Vec<u8>) {
        let mut out = Vec::new();
        let head = builder.encode((4096, 64, 7), &mut out, &mut |_| ());
        assert_eq!(out.len() as u64, builder.frame_bytes().unwrap());
        assert_eq!(out.len() as u64, head.end() - head.at);
        (head, out)
    }

    #[test]
    fn both_heads_say_the_same_and_every_entry_is_where_they_say() {
        let entries = entries(95..=105, 30);
        let segment_refs = [
            SegmentRef {
                number: 3,
                first: Seq(1),
                seed: 8,
            },
            SegmentRef {
                number: 4,
                first: Seq(50),
                seed: 8,
            },
        ];
        let builder = FrameBuilder {
            prior: Seq(99),
            after: Seq(94),
            cuts: 5,
            entries: &entries,
            segment_refs: &segment_refs,
            state: b"{\"a\":1}",
        };
        let (head, out) = encoded(&builder);
        let back = size(head.back_at() - head.at);
        assert_eq!(Head::decode(FRONT, 7, &out), Some(head.clone()));
        assert_eq!(Head::decode(BACK, 7, &out[back..]), Some(head.clone()));
        assert_eq!(Head::decode(FRONT, 8, &out), None, "another segment's");
        assert_eq!((head.last(), head.state_at), (Seq(105), 4096));
        let text = size(head.text_at() - head.at);
        let expected = entries.iter().flat_map(EntryBatch::iter);
        for (entry, (at, seq, sum)) in expected.zip(head.entries_from(0)) {
            let json = &out[text + at..text + at + sum.bytes as usize];
            assert_eq!((seq, json), (entry.seq, entry.json.as_bytes()));
            assert_eq!(sum.sum, entry_sum(7, seq, json));
        }
    }

    /// Whoever makes checksums fit can say anything.
    #[test]
    fn a_head_that_is_in_no_file_is_none() {
        let builder = FrameBuilder {
            prior: Seq(0),
            after: Seq(0),
            cuts: 0,
            entries: &entries(1..=2, 5),
            segment_refs: &[],
            state: b"",
        };
        let (head, _) = encoded(&builder);
        let is_read = |head: &Head| {
            let mut out = Vec::new();
            head.encode(7, &mut out);
            Head::decode(FRONT, 7, &out).as_ref() == Some(head)
        };
        assert!(is_read(&head));
        for wrong in [u64::MAX, u64::MAX - 100, 1 << 63] {
            let (at, after, prior) = (wrong, Seq(wrong), Seq(wrong));
            assert!(!is_read(&Head { at, ..head.clone() }));
            assert!(!is_read(&Head {
                after,
                ..head.clone()
            }));
            assert!(!is_read(&Head {
                prior,
                ..head.clone()
            }));
        }
    }

    /// What tells a torn write from a rotten one.
    #[test]
    fn no_sector_of_a_frame_is_zero_from_end_to_end() {
        for (count, size) in [(0, 0), (1, 0), (1, 3_000), (300, 1)] {
            let entries = entries(1..=count, size);
            let builder = FrameBuilder {
                prior: Seq(0),
                after: Seq(0),
                cuts: 0,
                entries: &entries,
                segment_refs: &[],
                state: b"{}",
            };
            let (_, out) = encoded(&builder);
            for begin in (0..512).step_by(ALIGN) {
                let (first, rest) = out.split_at(out.len().min(512 - begin));
                let mut sectors = std::iter::once(first).chain(rest.chunks(512));
                assert!(sectors.all(|s| s.is_empty() || s.iter().any(|b| *b != 0)));
            }
        }
    }

    #[test]
    fn no_flipped_bit_of_a_head_goes_unseen() {
        let entries = entries(1..=2, 5);
        let builder = FrameBuilder {
            prior: Seq(0),
            after: Seq(0),
            cuts: 0,
            entries: &entries,
            segment_refs: &[],
            state: b"",
        };
        let (head, out) = encoded(&builder);
        let head_bytes = size(head.head_bytes());
        for at in 0..head_bytes {
            for bit in 0..8 {
                let mut out = out.clone();
                out[at] ^= 1 << bit;
                assert_eq!(Head::decode(FRONT, 7, &out), None, "byte {at}");
            }
        }
    }
}
