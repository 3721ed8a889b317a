//! The frames of a whole segment, whatever has become of it: what was torn off at its end, and what has rotted before.
//!
//! Where a head cannot be read the next one that can be is looked for: the second copy of the same head, or the frame after it.
//! What is wrong before a frame that is there was right once: it has rotted. What is wrong at the very end is a torn write if
//! a part of it was never written, which shows in zeros, as a segment is zeros before it is written to.

use super::frame::{ALIGN, BACK, END, FRONT, Head, entry_sum, size};

/// What a disk writes at one time, or not.
const SECTOR_BYTES: usize = 512;

static ZEROS: [u8; 4096] = [0; 4096];

/// What is in a segment.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The frames whose heads can be read, in their order.
    pub(super) frames: Vec<Head>,
    /// Where the next frame begins.
    pub(super) end: u64,
    /// Up to here there are bytes of a write that was torn; `end` if there are none.
    pub(super) torn_end: u64,
}

/// Whether somebody may have been writing to a segment when the power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It was the last one: its end may be torn.
    Last,
    /// All of it was synced.
    Sealed,
}

/// Reads the frames of a segment whose first one begins at `from`.
///
/// # Errors
/// What was lost takes a fact with it without which the rest means nothing.
pub(super) fn scan(bytes: &[u8], from: u64, seed: u32, part: Part) -> Result<Scanned, String> {
    let used = used_bytes(bytes);
    let end = bytes.len() as u64;
    let (mut frames, mut at) = (Vec::<Head>::new(), from);
    while let Some(head) = next_frame(&bytes[..used], 0, (at, end), seed) {
        if head.at > at {
            check_gap(frames.last(), &head, part)?;
        }
        at = head.end();
        frames.push(head);
    }
    let mut scanned = Scanned {
        frames,
        end: at,
        torn_end: at,
    };
    let left = bytes[..used].get(size(at)..).unwrap_or_default();
    match (part, left.len()) {
        (Part::Sealed, _) => {}
        (Part::Last, 0) => {
            let is_torn = |head: &Head| !is_whole(bytes, head, seed) && is_torn(bytes, head);
            if let Some(torn) = scanned.frames.pop_if(|head| is_torn(head)) {
                (scanned.end, scanned.torn_end) = (torn.at, torn.end());
            }
        }
        (Part::Last, left_bytes) => {
            if left.ends_with(&END) && !has_empty_sector(at, left) {
                return Err("its last write cannot be read".to_owned());
            }
            scanned.torn_end = at + left_bytes as u64;
        }
    }
    Ok(scanned)
}

/// The bytes of a segment up to the last one that is not zero.
fn used_bytes(bytes: &[u8]) -> usize {
    let is_used = |chunk: &&[u8]| **chunk != ZEROS[..chunk.len()];
    let mut left = bytes;
    while let Some(at) = left.len().checked_sub(1) {
        let chunk = &left[at - at % ZEROS.len()..];
        if is_used(&chunk) {
            let last = chunk.iter().rposition(|b| *b != 0).unwrap_or_default();
            return left.len() - chunk.len() + last + 1;
        }
        left = &left[..left.len() - chunk.len()];
    }
    0
}

/// The first frame between `at` and `end` with a head that can be read in `bytes`, which are those of the segment from `base`
/// on.
pub(super) fn next_frame(
    bytes: &[u8],
    base: u64,
    (at, end): (u64, u64),
    seed: u32,
) -> Option<Head> {
    let from = size(at - base);
    let begins = |q: &usize| bytes[*q..].starts_with(&FRONT) || bytes[*q..].starts_with(&BACK);
    let mut starts = (from..bytes.len()).step_by(ALIGN).filter(begins);
    starts.find_map(|q| {
        let here = base + q as u64;
        let front = Head::decode(FRONT, seed, &bytes[q..]).filter(|h| h.at == here);
        let back = || Head::decode(BACK, seed, &bytes[q..]).filter(|h| h.back_at() == here);
        let head = front.or_else(back)?;
        (head.at >= at && head.end() <= end).then_some(head)
    })
}

/// Before `head` lies a frame that cannot be read: it must have taken nothing out of the log.
fn check_gap(before: Option<&Head>, head: &Head, part: Part) -> Result<(), String> {
    let own = u64::from(head.after < head.prior);
    match before {
        Some(before) if before.cuts + own == head.cuts => Ok(()),
        Some(_) => Err("a write that took entries out cannot be read".to_owned()),
        // Where the log stood there is known from the segments after it.
        None if part == Part::Sealed => Ok(()),
        None => Err("the beginning of its last segment cannot be read".to_owned()),
    }
}

/// Whether every part of a frame is what was written.
fn is_whole(bytes: &[u8], head: &Head, seed: u32) -> bool {
    let is_head = |magic, at: u64| {
        Head::decode(magic, seed, &bytes[size(at)..]).is_some_and(|found| found == *head)
    };
    let text = &bytes[size(head.text_at())..];
    let is_entry = |(at, seq, sum): (usize, _, super::frame::EntrySum)| {
        let json = text.get(at..at + sum.bytes as usize);
        json.is_some_and(|json| entry_sum(seed, seq, json) == sum.sum)
    };
    is_head(FRONT, head.at)
        && is_head(BACK, head.back_at())
        && bytes[..size(head.end())].ends_with(&END)
        && head.entries_from(0).all(is_entry)
}

/// Whether a part of a frame was never written.
fn is_torn(bytes: &[u8], head: &Head) -> bool {
    let frame = &bytes[size(head.at)..size(head.end())];
    frame.last() == Some(&0) || has_empty_sector(head.at, frame)
}

/// Whether what lies of `bytes` in one of the sectors is zero; they begin at `at`.
fn has_empty_sector(at: u64, bytes: &[u8]) -> bool {
    let first = SECTOR_BYTES - size(at) % SECTOR_BYTES;
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    let mut sectors = std::iter::once(first).chain(rest.chunks(SECTOR_BYTES));
    sectors.any(|sector| sector.iter().all(|b| *b == 0))
}

#[cfg(test)]
mod tests {
    use super::super::frame::FrameBuilder;
    use super::*;
    use crate::samples::entries;
    use replog_protocol::ids::Seq;

    /// A segment of four frames with two entries each, and where these begin.
    fn segment() -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut begins) = (Vec::new(), Vec::new());
        for i in 0..4 {
            begins.push(bytes.len() as u64);
            let entries = entries(2 * i + 1..=2 * i + 2, 600);
            let builder = FrameBuilder {
                prior: Seq(2 * i),
                after: Seq(2 * i),
                cuts: 0,
                entries: &entries,
                segment_refs: &[],
                state: if i == 0 { b"{}" } else { b"" },
            };
            let at = bytes.len() as u64;
            builder.encode((at, 0, 1), &mut bytes, &mut |_| ());
        }
        begins.push(bytes.len() as u64);
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, begins)
    }

    fn found(bytes: &[u8], part: Part) -> Result<Vec<u64>, String> {
        let scanned = scan(bytes, 0, 1, part)?;
        Ok(scanned.frames.iter().map(|h| h.after.0).collect())
    }

    #[test]
    fn a_frame_is_found_by_either_head_and_one_without_is_passed_over() {
        let (good, begins) = segment();
        let all = vec![0, 2, 4, 6];
        assert_eq!(found(&good, Part::Last), Ok(all.clone()));
        for i in 0..4 {
            let mut bytes = good.clone();
            bytes[size(begins[i]) + 20] ^= 1;
            assert_eq!(found(&bytes, Part::Last), Ok(all.clone()));
            let mut bytes = good.clone();
            bytes[size(begins[i + 1]) - 20] ^= 1;
            assert_eq!(found(&bytes, Part::Last), Ok(all.clone()));
            bytes[size(begins[i]) + 20] ^= 1;
            match i {
                0 | 3 => assert!(found(&bytes, Part::Last).is_err(), "{i}"),
                _ => {
                    let others = all.iter().copied().filter(|a| *a != 2 * i as u64);
                    assert_eq!(found(&bytes, Part::Last), Ok(others.collect()));
                }
            }
        }
    }

    #[test]
    fn a_sector_that_was_never_written_undoes_the_last_frame_and_no_other() {
        let (good, begins) = segment();
        let sectors =
            |i: usize| (begins[i].next_multiple_of(512)..begins[i + 1] - 511).step_by(512);
        for (i, sector) in (0..4).flat_map(|i| sectors(i).map(move |s| (i, s))) {
            let mut bytes = good.clone();
            bytes[size(sector)..size(sector) + 512].fill(0);
            let scanned = scan(&bytes, 0, 1, Part::Last).unwrap();
            let torn = i == 3;
            assert_eq!(scanned.frames.len(), if torn { 3 } else { 4 });
            assert_eq!(scanned.end, if torn { begins[3] } else { begins[4] });
            assert_eq!(scanned.torn_end, begins[4]);
            assert_eq!(scan(&bytes, 0, 1, Part::Sealed).unwrap().frames.len(), 4);
        }
    }

    #[test]
    fn a_write_that_is_cut_off_at_any_byte_is_undone() {
        let (good, begins) = segment();
        for cut in begins[3] + 1..begins[4] {
            let mut bytes = good.clone();
            bytes[size(cut)..].fill(0);
            let scanned = scan(&bytes, 0, 1, Part::Last).unwrap();
            assert_eq!((scanned.frames.len(), scanned.end), (3, begins[3]), "{cut}");
            let used = bytes.iter().rposition(|b| *b != 0).unwrap() as u64;
            assert!(scanned.torn_end > used, "all of it is known");
        }
    }
}
