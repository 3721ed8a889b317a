//! A page of entries, read from the frames of one segment.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Epoch, Seq};

use super::files::Files;
use super::frame::{FRONT, Head, entry_sum, size};
use super::layout::Part;
use super::medium::MediumFile;
use super::repairs;
use super::scan::next_frame;
use super::segment::Kind;

/// What is read at one time where little is asked for, and where much is.
const MIN_READ_BYTES: usize = 4 << 10;
const MAX_READ_BYTES: usize = 256 << 10;

/// Which entries are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) first: Seq,
    pub(super) last: Seq,
    /// For so many bytes at most, but one entry at least.
    pub(super) max_bytes: usize,
    /// All of them are of that epoch.
    pub(super) epoch: Epoch,
}

/// The entries that are wanted, up to the first damaged one; `Err` with the first one if that is damaged.
pub(super) fn read(
    files: &Files,
    part: &Part,
    wanted: Wanted,
) -> io::Result<Result<EntryBatch, Seq>> {
    let file = files.get(Kind::Segment, part.number)?;
    let mut page = Page {
        window: Window::new(file, wanted.max_bytes)?,
        files,
        part,
        wanted,
        out: Out {
            next: wanted.first,
            text: Vec::new(),
            ends: Vec::new(),
            max_bytes: wanted.max_bytes,
        },
        repairs: None,
    };
    page.fill()?;
    Ok(page.out.finish(wanted))
}

/// A page that is being read.
struct Page<'a> {
    window: Window,
    files: &'a Files,
    part: &'a Part,
    wanted: Wanted,
    out: Out,
    /// What was written again of the segment, once somebody has asked.
    repairs: Option<Vec<u8>>,
}

/// What was read of a page.
struct Out {
    /// The entry that comes next.
    next: Seq,
    text: Vec<u8>,
    /// Where each entry ends in the text.
    ends: Vec<u32>,
    max_bytes: usize,
}

/// Whether a page takes more.
#[derive(PartialEq, Eq)]
enum Taken {
    GoOn,
    /// It is full, or the next entry is damaged.
    Enough,
}

impl Page<'_> {
    fn fill(&mut self) -> io::Result<()> {
        let part = self.part;
        for (i, frame) in part.frame_refs.iter().enumerate() {
            let next = part.frame_refs.get(i + 1);
            let upto = next.map_or(part.upto, |next| next.after.min(part.upto));
            let end = next.map_or(self.window.len, |next| next.at);
            let mut at = frame.at;
            while self.out.next <= upto {
                let head = self.head(at, end.max(at))?;
                // What lies before it was in a frame that cannot be read any more.
                let lost = head.as_ref().map_or(upto, |head| upto.min(head.after));
                while self.out.next <= lost {
                    if self.take_repaired()? == Taken::Enough {
                        return Ok(());
                    }
                }
                if let Some(head) = head {
                    if self.take(&head, upto)? == Taken::Enough {
                        return Ok(());
                    }
                    // After one that was written again the rest of the frame is still to be taken.
                    if self.out.next > head.last() {
                        at = head.end();
                    }
                }
            }
        }
        Ok(())
    }

    /// The head of the frame at `at`; or, if it cannot be read, the first one after it and before `end` that can be.
    fn head(&mut self, at: u64, end: u64) -> io::Result<Option<Head>> {
        let seed = self.part.seed;
        let bytes = self.window.get(at, super::frame::FIXED_BYTES)?;
        if let Some(wanted) = Head::bytes_wanted(FRONT, bytes) {
            let head = Head::decode(FRONT, seed, self.window.get(at, wanted)?);
            let is_here = |h: &Head| h.at == at && h.end() <= self.window.len;
            if let Some(head) = head.filter(is_here) {
                return Ok(Some(head));
            }
        }
        let region = self.window.copy(at, size(end - at))?;
        Ok(next_frame(&region, at, (at, end), seed))
    }

    /// Takes what is wanted from the text of a frame.
    fn take(&mut self, head: &Head, upto: Seq) -> io::Result<Taken> {
        let skipped = size(self.out.next.after(head.after.next()));
        let upto = upto.min(head.last());
        // All that fits is read at one time; whether it is what was written shows after that.
        let (mut begin, mut end) = (None, 0);
        let mut room = self.wanted.max_bytes.saturating_sub(self.out.text.len());
        for (at, seq, sum) in head
            .entries_from(skipped)
            .take_while(|(_, s, _)| *s <= upto)
        {
            let needs = sum.bytes as usize + 1;
            if begin.is_some() && needs > room {
                break;
            }
            room = room.saturating_sub(needs);
            begin.get_or_insert((at, seq));
            end = at + sum.bytes as usize;
        }
        let Some((begin, _)) = begin else {
            return Ok(Taken::GoOn);
        };
        let text_at = head.text_at() + begin as u64;
        let text = self.window.get(text_at, end - begin)?;
        for (at, seq, sum) in head
            .entries_from(skipped)
            .take_while(|(_, s, _)| *s <= upto)
        {
            let json = text.get(at - begin..at - begin + sum.bytes as usize);
            match json {
                None => return Ok(Taken::Enough),
                Some(json) if entry_sum(self.part.seed, seq, json) == sum.sum => {
                    if self.out.push(json) == Taken::Enough {
                        return Ok(Taken::Enough);
                    }
                }
                Some(_) => return self.take_repaired(),
            }
        }
        Ok(Taken::GoOn)
    }

    /// Takes the next entry from those that were written again.
    fn take_repaired(&mut self) -> io::Result<Taken> {
        let repairs = match self.repairs.take() {
            Some(repairs) => repairs,
            None => self.files.read_all(Kind::Repairs, self.part.number)?,
        };
        let found = repairs::find(&repairs, self.part.seed, self.out.next, self.wanted.epoch);
        let taken = match found {
            Some(repaired) => self.out.push(repaired.json),
            None => Taken::Enough,
        };
        self.repairs = Some(repairs);
        Ok(taken)
    }
}

impl Out {
    fn push(&mut self, json: &[u8]) -> Taken {
        if !self.ends.is_empty() {
            if self.text.len() + 1 + json.len() > self.max_bytes {
                return Taken::Enough;
            }
            self.text.push(b',');
        }
        self.text.extend_from_slice(json);
        let Ok(end) = u32::try_from(self.text.len()) else {
            return Taken::Enough;
        };
        self.ends.push(end);
        self.next = self.next.next();
        Taken::GoOn
    }

    fn finish(self, Wanted { first, epoch, .. }: Wanted) -> Result<EntryBatch, Seq> {
        let text = Bytes::from(self.text);
        let whole = EntryBatch::proved(first, epoch, text.clone(), self.ends.clone());
        if let Some(batch) = whole {
            return Ok(batch);
        }
        // The first one is damaged; or one after it has the right checksum, and is no entry of that epoch all the same.
        let (mut good, mut begin, mut next) = (Vec::new(), 0, first);
        for end in self.ends {
            let end = end as usize;
            let Ok(entry) = EntryBatch::parse(text.slice(begin..end), epoch) else {
                break;
            };
            if (entry.first(), entry.count()) != (next, 1) {
                break;
            }
            good.push(entry);
            (begin, next) = (end + 1, next.next());
        }
        EntryBatch::concat(&good).ok_or(first)
    }
}

/// A file that is read from the front to the back, in few pieces.
struct Window {
    file: Arc<dyn MediumFile>,
    /// Bytes of the file.
    len: u64,
    /// What was read last, and where that is.
    bytes: Vec<u8>,
    at: u64,
    piece: usize,
}

impl Window {
    fn new(file: Arc<dyn MediumFile>, max_bytes: usize) -> io::Result<Self> {
        let len = file.len()?;
        let piece = max_bytes.saturating_mul(2);
        Ok(Self {
            file,
            len,
            bytes: Vec::new(),
            at: 0,
            piece: piece.clamp(MIN_READ_BYTES, MAX_READ_BYTES),
        })
    }

    /// So many bytes at `at`; fewer where the file ends before.
    fn get(&mut self, at: u64, bytes: usize) -> io::Result<&[u8]> {
        let bytes = bytes.min(size(self.len.saturating_sub(at)));
        if bytes == 0 {
            return Ok(&[]);
        }
        let end = at + bytes as u64;
        if at < self.at || end > self.at + self.bytes.len() as u64 {
            let piece = self.piece.max(bytes).min(size(self.len - at.min(self.len)));
            self.bytes.resize(piece, 0);
            // What is there after an error is nothing.
            self.at = u64::MAX;
            self.file.read_at(at, &mut self.bytes)?;
            self.at = at;
        }
        let from = size(at - self.at);
        Ok(&self.bytes[from..from + bytes])
    }

    /// What is read once, and no more.
    fn copy(&mut self, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut out = vec![0; bytes.min(size(self.len.saturating_sub(at)))];
        if !out.is_empty() {
            self.file.read_at(at, &mut out)?;
        }
        Ok(out)
    }
}
