//! Where a message is, in the indexes of the segments.

use std::io;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use replog_protocol::ids::Seq;

use super::error::Refused;
use super::files::Files;
use super::index::{self, Filter, HEADER_BYTES, Header, OnPage, PAGE_BYTES, Which, look_up};
use super::layout::{Index, Layout, Sealed};
use super::segment::Kind;
use super::store::synced;
use super::tables::{FrameRef, Key, Tables};

/// Which message is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    pub(super) id: Key,
    /// Where contents are deduplicated.
    pub(super) content: Option<Key>,
}

/// Why an index says nothing.
#[derive(Debug)]
pub(super) enum IndexError {
    /// It is missing, or not what was written: it has to be made anew.
    Wrong,
    Io(io::Error),
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Wrong,
            _ => Self::Io(error),
        }
    }
}

/// Where a message is: the first one of that content, or else the one with that id. An error comes with the number and the seed
/// of the segment whose index it is about.
pub(super) fn find(
    files: &Files,
    layout: &RwLock<Layout>,
    sought: Sought,
) -> Result<Option<Seq>, ((u64, u32), IndexError)> {
    if let Some(content) = sought.content {
        let found = find_key(files, layout, Which::Contents, content)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    find_key(files, layout, Which::Ids, sought.id)
}

fn find_key(
    files: &Files,
    layout: &RwLock<Layout>,
    which: Which,
    key: Key,
) -> Result<Option<Seq>, ((u64, u32), IndexError)> {
    // What is in memory is looked at while nobody writes there; pages are read after that.
    let (in_active, candidates) = {
        let layout = layout.read().unwrap_or_else(PoisonError::into_inner);
        let candidates = layout.sealed.iter().filter(|s| may_have(s, key));
        let candidates: Vec<Sealed> = candidates.cloned().collect();
        (in_tables(&layout.active.tables, which, key), candidates)
    };
    for sealed in candidates {
        let found = match &sealed.index {
            Index::Unwritten(tables) => Ok(in_tables(tables, which, key)),
            Index::Written(read) => on_disk(files, &sealed, read, which, key),
        };
        let found = found.map_err(|error| ((sealed.number, sealed.seed), error))?;
        // What was taken out of the log since the index was written is there still.
        if let Some(seq) = found.filter(|seq| (sealed.first..=sealed.last).contains(seq)) {
            return Ok(Some(seq));
        }
    }
    Ok(in_active)
}

fn may_have(sealed: &Sealed, key: Key) -> bool {
    match &sealed.index {
        Index::Unwritten(_) => true,
        Index::Written(read) => read.get().is_none_or(|(_, filter)| filter.may_have(key)),
    }
}

fn in_tables(tables: &Tables, which: Which, key: Key) -> Option<Seq> {
    match which {
        Which::Ids => tables.ids.get(&key).copied(),
        Which::Contents => tables.contents.as_ref()?.get(&key).copied(),
    }
}

fn on_disk(
    files: &Files,
    sealed: &Sealed,
    read: &OnceLock<(Header, Filter)>,
    which: Which,
    key: Key,
) -> Result<Option<Seq>, IndexError> {
    let (header, filter) = match read.get() {
        Some(read) => read,
        None => {
            let header = header(files, sealed.number, sealed.seed)?;
            let (at, bytes) = header.filter_at();
            let bytes = files.read(Kind::Index, sealed.number, at, bytes)?;
            let filter = header.filter(bytes, sealed.seed);
            let filter = filter.ok_or(IndexError::Wrong)?;
            read.get_or_init(|| (header, filter))
        }
    };
    search(files, sealed, (*header, filter), which, key)
}

fn search(
    files: &Files,
    sealed: &Sealed,
    (header, filter): (Header, &Filter),
    which: Which,
    key: Key,
) -> Result<Option<Seq>, IndexError> {
    if !filter.may_have(key) {
        return Ok(None);
    }
    let (mut low, mut high) = (0, header.pages(which));
    while low < high {
        let mid = low + (high - low) / 2;
        let at = header.page_at(which, mid);
        let page = files.read(Kind::Index, sealed.number, at, PAGE_BYTES)?;
        let on_page = look_up(&page, header.keys_on(which, mid), key, sealed.seed);
        match on_page.ok_or(IndexError::Wrong)? {
            OnPage::Here(seq) => return Ok(Some(seq)),
            OnPage::Nowhere => return Ok(None),
            OnPage::Before => high = mid,
            OnPage::After => low = mid + 1,
        }
    }
    Ok(None)
}

/// The header of the index of a segment.
pub(super) fn header(files: &Files, number: u64, seed: u32) -> Result<Header, IndexError> {
    let bytes = files.read(Kind::Index, number, 0, HEADER_BYTES)?;
    Header::decode(&bytes, seed).ok_or(IndexError::Wrong)
}

/// Where the frames of a sealed segment are.
pub(super) fn frame_refs(files: &Files, sealed: &Sealed) -> Result<Vec<FrameRef>, IndexError> {
    let header = header(files, sealed.number, sealed.seed)?;
    let (at, bytes) = header.frame_refs_at();
    let bytes = files.read(Kind::Index, sealed.number, at, bytes)?;
    header
        .frame_refs(&bytes, sealed.seed)
        .ok_or(IndexError::Wrong)
}

/// Writes the index of a segment: durable before it has its name.
pub(super) fn write_index(
    files: &Files,
    (number, seed): (u64, u32),
    tables: &Arc<Tables>,
) -> Result<(), Refused> {
    let name = Kind::Index.name(number);
    let unfinished = format!("{name}.new");
    let medium = files.medium();
    let written = (|| {
        let file = medium.create(&unfinished)?;
        file.write_at(0, &index::encode(tables, seed))?;
        synced(file.sync())?;
        medium.rename(&unfinished, &name)?;
        synced(medium.sync_names())
    })();
    if written.is_err() {
        medium.remove(&unfinished).ok();
    }
    files.close(Kind::Index, number);
    written
}
