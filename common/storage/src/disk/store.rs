//! The segments of a log: one write at a time goes into the active one, which is sealed when the next write does not fit.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::EpochTable;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::Seq;

use super::error::Refused;
use super::files::Files;
use super::frame::{FrameBuilder, size};
use super::layout::{Active, Index, Layout, Part};
use super::lookup::{self, IndexError};
use super::medium::MediumFile;
use super::pages::{self, Wanted};
use super::segment::{HEADER_BYTES, Header, Kind, SPARE};
use super::spares::Spares;
use super::tables::{Keys, Tables};
use super::{DiskOptions, Fsync, opening, repairs};

/// A buffer for frames that has become larger than this is not kept.
const BUFFER_BYTES: usize = 4 << 20;
/// So many sealed segments wait for their index before a write waits for that.
const MAX_UNINDEXED: usize = 2;
/// So many damaged entries are looked for at one time, once one was found.
const MAX_STRETCH: usize = 256;

/// The segments of a log.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) files: Files,
    pub(super) options: DiskOptions,
    layout: RwLock<Layout>,
    writer: Mutex<Writer>,
    spares: Spares,
    /// An index waits to be written.
    is_index_due: AtomicBool,
    /// Who has it sees to what can be done later.
    chores: Mutex<()>,
    /// Why it cannot be read or written any more. Set once, and for good.
    failure: OnceLock<String>,
}

#[derive(Debug, Default)]
struct Writer {
    /// A frame, before it is written.
    buffer: Vec<u8>,
    /// What a write that found no room may have left in the active segment.
    unclean: Option<Range<u64>>,
}

/// What one write changes, in the order of the fields.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// Everything after it goes out.
    pub(super) truncate_after: Option<Seq>,
    /// Follow what is left.
    pub(super) entries: &'a [EntryBatch],
    /// The new hard state.
    pub(super) hard_state: Option<&'a HardState>,
    /// Entries that are in the log: written where what is stored cannot be read.
    pub(super) repairs: &'a [EntryBatch],
}

impl Store {
    pub(super) fn new(files: Files, options: DiskOptions, layout: Layout) -> Self {
        Self {
            files,
            options,
            layout: RwLock::new(layout),
            writer: Mutex::default(),
            spares: Spares::default(),
            is_index_due: AtomicBool::new(false),
            chores: Mutex::default(),
            failure: OnceLock::new(),
        }
    }

    pub(super) fn layout(&self) -> RwLockReadGuard<'_, Layout> {
        self.layout.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn layout_mut(&self) -> RwLockWriteGuard<'_, Layout> {
        self.layout.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it can be used no more, if so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// From now on it is used no more, because of `why` unless something has failed before. Hands out the reason.
    pub(super) fn fail(&self, why: &str) -> String {
        self.failure.get_or_init(|| why.to_owned()).clone()
    }

    /// Whether it still lies where it was opened.
    pub(super) fn check(&self) -> Result<(), String> {
        let (number, file) = {
            let active = &self.layout().active;
            (active.number, Arc::clone(&active.file))
        };
        let name = Kind::Segment.name(number);
        self.files.medium().check(&name, &*file)
    }

    /// Writes, all of it or nothing; it is durable when this returns. `stored` is the hard state before.
    pub(super) fn write(&self, change: &Change<'_>, stored: &HardState) -> Result<(), Refused> {
        let done = self.try_write(change, stored);
        done.map_err(|refused| match refused {
            Refused::Full => Refused::Full,
            // That a directory is gone explains more than that a file is not there.
            Refused::Failed(why) => {
                let why = self.check().err().unwrap_or(why);
                Refused::Failed(self.fail(&why))
            }
        })
    }

    fn try_write(&self, change: &Change<'_>, stored: &HardState) -> Result<(), Refused> {
        // An entry that is written again is what it was: it makes no difference whether the rest comes to pass.
        self.write_repairs(change.repairs)?;
        let has_more = change.truncate_after.is_some() || change.hard_state.is_some();
        if !has_more && change.entries.is_empty() {
            return Ok(());
        }
        let (prior, cuts, active_end, active_bytes) = {
            let layout = self.layout();
            let active = &layout.active;
            (layout.last, layout.cuts, active.end, active.bytes)
        };
        let state = change.hard_state.map(json).unwrap_or_default();
        let after = change.truncate_after.unwrap_or(prior).min(prior);
        let builder = FrameBuilder {
            prior,
            after,
            cuts: cuts + u64::from(after < prior),
            entries: change.entries,
            segment_refs: &[],
            state: &state,
        };
        let frame_bytes = builder.frame_bytes();
        let frame_bytes =
            frame_bytes.ok_or_else(|| Refused::Failed("a write of more than 4 GiB".to_owned()))?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.clean(&mut writer)?;
        writer.buffer.clear();
        writer.buffer.shrink_to(BUFFER_BYTES);
        match active_end + frame_bytes <= active_bytes {
            true => self.append(&mut writer, &builder),
            false => self.roll(&mut writer, &builder, frame_bytes, stored),
        }
    }

    /// Writes a frame into the active segment.
    fn append(&self, writer: &mut Writer, builder: &FrameBuilder<'_>) -> Result<(), Refused> {
        let (place, file) = {
            let active = &self.layout().active;
            let place = (active.end, active.state_at, active.seed);
            (place, Arc::clone(&active.file))
        };
        let mut keys = Vec::new();
        let head = builder.encode(place, &mut writer.buffer, &mut self.noting(&mut keys));
        if let Err(error) = file.write_at(head.at, &writer.buffer) {
            let refused = Refused::from(error);
            if let Refused::Full = refused {
                writer.unclean = Some(head.at..head.end());
                // If that finds no room either, the next write does it first.
                self.clean(writer).ok();
            }
            return Err(refused);
        }
        self.sync(&*file)?;
        self.layout_mut().written(&head, keys);
        Ok(())
    }

    /// What is noted of every entry that is written.
    fn noting<'k>(
        &self,
        keys: &'k mut Vec<Keys>,
    ) -> impl FnMut(&replog_protocol::entry::Entry<'_>) + use<'k> {
        let indexes_contents = self.options.deduplicate_contents;
        move |entry| keys.push(Keys::of(entry, indexes_contents))
    }

    /// Makes zeros again of what a write that found no room has left: half of a frame must not end up after another.
    fn clean(&self, writer: &mut Writer) -> Result<(), Refused> {
        if let Some(range) = writer.unclean.clone() {
            let file = Arc::clone(&self.layout().active.file);
            file.write_at(range.start, &vec![0; size(range.end - range.start)])?;
            self.sync(&*file)?;
            writer.unclean = None;
        }
        Ok(())
    }

    /// A full disk that shows only here has dropped what was written: there is more wrong than a lack of room.
    fn sync(&self, file: &dyn MediumFile) -> Result<(), Refused> {
        match self.options.fsync {
            Fsync::Always => synced(file.sync()),
            Fsync::Never => Ok(()),
        }
    }

    /// Begins the next segment with that frame. It gets its name when all of that is durable; until then nothing has happened.
    fn roll(
        &self,
        writer: &mut Writer,
        builder: &FrameBuilder<'_>,
        frame_bytes: u64,
        stored: &HardState,
    ) -> Result<(), Refused> {
        if self.unindexed() >= MAX_UNINDEXED {
            self.see_to_chores()?;
        }
        let (number, segment_refs, beginning_cuts, former) = {
            let layout = self.layout();
            let number = layout.active.number + 1;
            let former = Arc::clone(&layout.active.file);
            (number, layout.segment_refs(), layout.cuts, former)
        };
        let state = json(stored);
        let beginning = FrameBuilder {
            prior: builder.prior,
            after: builder.prior,
            cuts: beginning_cuts,
            entries: &[],
            segment_refs: &segment_refs,
            state: &state,
        };
        let header = Header::new(number, &self.options.owner);
        writer.buffer.extend_from_slice(&header.encode());
        let place = (HEADER_BYTES, HEADER_BYTES, header.seed);
        let beginning = beginning.encode(place, &mut writer.buffer, &mut |_| ());
        let mut keys = Vec::new();
        let place = (beginning.end(), HEADER_BYTES, header.seed);
        let head = builder.encode(place, &mut writer.buffer, &mut self.noting(&mut keys));
        debug_assert_eq!(head.end() - head.at, frame_bytes);

        if self.options.fsync == Fsync::Never {
            // What the next segment says of this one is durable; so this one is to be.
            synced(former.sync())?;
        }
        // Nobody makes the next spare before this one has its name, and is the active segment.
        let mut slot = self.spares.lock();
        let spare_bytes = self.options.segments.bytes_of(number);
        let medium = self.files.medium();
        let spare = self
            .spares
            .take(&mut slot, medium, spare_bytes, head.end())?;
        if let Err(error) = spare.file.write_at(0, &writer.buffer) {
            medium.remove(SPARE).ok();
            return Err(error.into());
        }
        synced(spare.file.sync())?;
        let name = Kind::Segment.name(number);
        medium.rename(SPARE, &name)?;
        synced(medium.sync_names())?;

        let next = Active {
            number,
            seed: header.seed,
            file: Arc::from(spare.file),
            bytes: spare.bytes,
            end: beginning.end(),
            state_at: HEADER_BYTES,
            tables: Tables::new(self.options.deduplicate_contents),
        };
        let mut layout = self.layout_mut();
        layout.roll(next);
        layout.written(&head, keys);
        self.is_index_due.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the damaged ones among those entries beside their segments.
    fn write_repairs(&self, repairs: &[EntryBatch]) -> Result<(), Refused> {
        for batch in repairs {
            let (number, seed) = {
                let layout = self.layout();
                match layout.sealed_with(batch.first()) {
                    Some(sealed) => (sealed.number, sealed.seed),
                    None => (layout.active.number, layout.active.seed),
                }
            };
            let is_synced = self.options.fsync == Fsync::Always;
            repairs::write(&self.files, (number, seed), batch, is_synced)?;
            // Its id may have been unreadable.
            let mut layout = self.layout_mut();
            if layout.active.number == number {
                let tables = &mut layout.active.tables;
                let keys: Vec<Keys> = batch.iter().map(|e| tables.keys_of(&e)).collect();
                keys.into_iter().for_each(|keys| tables.index(keys));
            }
        }
        Ok(())
    }

    /// Reads a page; `Err` with the first entry that is wanted if that is damaged. `epochs` is asked if an index is to be made
    /// anew.
    pub(super) fn read(
        &self,
        wanted: Wanted,
        epochs: &dyn Fn() -> EpochTable,
    ) -> io::Result<Result<EntryBatch, Seq>> {
        let (mut pages, mut rest) = (Vec::new(), wanted);
        while rest.first <= rest.last {
            let part = self.part_with(rest, epochs)?;
            let page = match pages::read(&self.files, &part, rest)? {
                Ok(page) => page,
                Err(damaged) if pages.is_empty() => return Ok(Err(damaged)),
                Err(_) => break,
            };
            let is_first = pages.is_empty();
            if !is_first && page.bytes() > rest.max_bytes {
                break;
            }
            // The comma that joins the next one takes one byte.
            rest.max_bytes = rest.max_bytes.saturating_sub(page.bytes() + 1);
            rest.first = page.last().next();
            let goes_on = page.last() == part.upto && rest.max_bytes > 0;
            pages.push(page);
            if !goes_on {
                break;
            }
        }
        Ok(EntryBatch::concat(&pages).ok_or(wanted.first))
    }

    /// The damaged entries of the stretch in which `seq` is, which is damaged: on either side up to one that can be read, but
    /// [`MAX_STRETCH`] of them at most. In their order.
    pub(super) fn damaged_around(&self, seq: Seq, epochs: &EpochTable) -> io::Result<Vec<Seq>> {
        let is_damaged = |seq: &Seq| {
            let wanted = Wanted {
                first: *seq,
                last: *seq,
                max_bytes: 0,
                epoch: epochs.at(*seq).unwrap_or_default().epoch,
            };
            let read = self.read(wanted, &|| epochs.clone())?;
            Ok::<bool, io::Error>(read.is_err())
        };
        let log_last = epochs.last().seq.0;
        let mut stretch = std::collections::VecDeque::from([seq]);
        for after in (seq.0 + 1..=log_last).map(Seq) {
            if stretch.len() >= MAX_STRETCH || !is_damaged(&after)? {
                break;
            }
            stretch.push_back(after);
        }
        for before in (1..seq.0.min(log_last + 1)).rev().map(Seq) {
            if stretch.len() >= MAX_STRETCH || !is_damaged(&before)? {
                break;
            }
            stretch.push_front(before);
        }
        Ok(stretch.into())
    }

    fn part_with(&self, wanted: Wanted, epochs: &dyn Fn() -> EpochTable) -> io::Result<Part> {
        let (first, last) = (wanted.first, wanted.last);
        loop {
            let sealed = {
                let layout = self.layout();
                let Some(sealed) = layout.sealed_with(first) else {
                    let active = &layout.active;
                    let id = (active.number, active.seed);
                    let frame_refs = &active.tables.frame_refs;
                    return Ok(Part::of(id, frame_refs, (first, last), layout.last));
                };
                sealed.clone()
            };
            let id = (sealed.number, sealed.seed);
            let of = |frame_refs: &[_]| Part::of(id, frame_refs, (first, last), sealed.last);
            match &sealed.index {
                Index::Unwritten(tables) => return Ok(of(&tables.frame_refs)),
                Index::Written(_) => match lookup::frame_refs(&self.files, &sealed) {
                    Ok(frame_refs) => return Ok(of(&frame_refs)),
                    Err(IndexError::Wrong) => self.make_index_anew(id, &epochs())?,
                    Err(IndexError::Io(error)) => return Err(error),
                },
            }
        }
    }

    /// Where the message with that key is.
    pub(super) fn find(
        &self,
        key: lookup::Sought,
        epochs: &dyn Fn() -> EpochTable,
    ) -> io::Result<Option<Seq>> {
        loop {
            let found = lookup::find(&self.files, &self.layout, key);
            match found {
                Ok(found) => return Ok(found),
                Err((_, IndexError::Io(error))) => return Err(error),
                Err((id, IndexError::Wrong)) => self.make_index_anew(id, &epochs())?,
            }
        }
    }

    /// The index of a segment is missing, or is not what was written: it is made from the segment, and kept in memory until it
    /// is written.
    fn make_index_anew(&self, id: (u64, u32), epochs: &EpochTable) -> io::Result<()> {
        let indexes_contents = self.options.deduplicate_contents;
        let tables = opening::tables_of_sealed(&self.files, id, epochs, indexes_contents)?;
        let mut layout = self.layout_mut();
        if let Some(sealed) = layout.sealed.iter_mut().find(|s| s.number == id.0) {
            sealed.index = Index::Unwritten(Arc::new(tables));
            self.is_index_due.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn unindexed(&self) -> usize {
        let layout = self.layout();
        let is_unindexed = |s: &&super::layout::Sealed| matches!(s.index, Index::Unwritten(_));
        layout.sealed.iter().filter(is_unindexed).count()
    }

    /// Whether there is something that can be done later, beside the next writes.
    pub(super) fn has_chores(&self) -> bool {
        let (is_half_full, has_dead) = {
            let layout = self.layout();
            let active = &layout.active;
            (active.end > active.bytes / 2, !layout.dead.is_empty())
        };
        has_dead
            || self.is_index_due.load(Ordering::Relaxed)
            || is_half_full && self.spares.is_wanted()
    }

    /// Writes the indexes that are not on the disk, takes away the segments that nobody needs, and makes the next one. Where
    /// there is no room for that it is done later.
    pub(super) fn see_to_chores(&self) -> Result<(), Refused> {
        let _one_at_a_time = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = std::mem::take(&mut self.layout_mut().dead);
        for number in dead {
            self.files.remove(number)?;
        }
        // Where there is no room for one it is tried again when the next one is due.
        self.is_index_due.store(false, Ordering::Relaxed);
        let unindexed: Vec<_> = {
            let layout = self.layout();
            let sealed = layout.sealed.iter();
            sealed
                .filter_map(|s| match &s.index {
                    Index::Unwritten(tables) => Some((s.number, s.seed, Arc::clone(tables))),
                    Index::Written(_) => None,
                })
                .collect()
        };
        for (number, seed, tables) in unindexed {
            match lookup::write_index(&self.files, (number, seed), &tables) {
                Ok(()) => {}
                Err(Refused::Full) => return Ok(()),
                Err(refused) => return Err(refused),
            }
            let mut layout = self.layout_mut();
            let sealed = layout.sealed.iter_mut().find(|s| s.number == number);
            match sealed {
                Some(sealed) => sealed.index = Index::Written(Arc::default()),
                // It was taken out of the log meanwhile.
                None => layout.dead.push(number),
            }
        }
        let mut slot = self.spares.lock();
        let (number, is_half_full) = {
            let active = &self.layout().active;
            (active.number + 1, active.end > active.bytes / 2)
        };
        match is_half_full {
            true => {
                let bytes = self.options.segments.bytes_of(number);
                self.spares.fill(&mut slot, self.files.medium(), bytes)
            }
            false => Ok(()),
        }
    }
}

/// What a sync reports is a failure, whatever it is.
pub(super) fn synced(result: io::Result<()>) -> Result<(), Refused> {
    result.map_err(|error| Refused::Failed(error.to_string()))
}

/// The hard state as it is stored.
pub(super) fn json(hard_state: &HardState) -> Vec<u8> {
    serde_json::to_vec(hard_state).expect("a hard state is always JSON")
}
