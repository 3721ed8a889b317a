//! What is looked at when a log is opened: its last segment, and whether the others are there.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use replog_protocol::epochs::EpochTable;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, Seq};

use super::damage::Damage;
use super::error::Refused;
use super::files::Files;
use super::frame::{FIXED_BYTES, FRONT, FrameBuilder, Head, size};
use super::layout::{Active, Index, Layout, Sealed};
use super::medium::{Medium, MediumFile};
use super::pages::Wanted;
use super::scan::{Part, Scanned, scan};
use super::segment::{HEADER_BYTES, Header, Kind, SPARE};
use super::spares::make_file;
use super::store::{Store, json};
use super::tables::{FrameRef, Tables};
use super::{DiskOptions, OpenError, lookup};

/// What a log holds when it is opened.
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) hard_state: HardState,
    /// Who placed which entries.
    pub(super) epochs: EpochTable,
    /// What is wrong with older segments, one line each.
    pub(super) flaws: Vec<String>,
}

/// Opens the log that lies on `medium`, or begins an empty one there.
pub(super) fn open(
    medium: Box<dyn Medium>,
    options: &DiskOptions,
    damage: &Damage,
) -> Result<Opened, OpenError> {
    let files = Files::new(medium);
    let names = files.medium().list()?;
    // What a start that was killed has left without a name.
    for name in names.iter().filter(|name| name.ends_with(".new")) {
        files.medium().remove(name)?;
    }
    let known: BTreeSet<(u64, Kind)> = (names.iter())
        .filter_map(|name| Kind::parse(name).map(|(kind, number)| (number, kind)))
        .collect();
    let segments = known.iter().filter(|(_, kind)| *kind == Kind::Segment);
    let mut opened = match segments.map(|(number, _)| *number).next_back() {
        Some(last) => open_last(files, last, options)?,
        None => begin(files, options)?,
    };
    let Opened { store, epochs, .. } = &opened;
    tidy_up(store, &known, epochs)?;
    look_at_the_end(store, epochs, damage)?;
    opened.flaws = look_at_sealed(store, epochs, damage)?;
    Ok(opened)
}

/// An empty log.
fn begin(files: Files, options: &DiskOptions) -> Result<Opened, OpenError> {
    let header = Header::new(1, &options.owner);
    let hard_state = HardState::default();
    let (bytes, head) = first_segment(&header, &hard_state);
    let segment_bytes = options.segments.bytes_of(1).max(bytes.len() as u64);
    let medium = files.medium();
    let file = make_file(medium, segment_bytes)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    medium.rename(SPARE, &Kind::Segment.name(1))?;
    medium.sync_names()?;
    let layout = Layout {
        sealed: Vec::new(),
        active: Active {
            number: 1,
            seed: header.seed,
            file: Arc::from(file),
            bytes: segment_bytes,
            end: head.end(),
            state_at: head.at,
            tables: Tables::new(options.deduplicate_contents),
        },
        dead: Vec::new(),
        last: Seq::ZERO,
        cuts: 0,
    };
    Ok(Opened {
        store: Store::new(files, options.clone(), layout),
        hard_state,
        epochs: EpochTable::default(),
        flaws: Vec::new(),
    })
}

/// What the first segment of a log begins with, and the head of its first frame.
fn first_segment(header: &Header, hard_state: &HardState) -> (Vec<u8>, Head) {
    let state = json(hard_state);
    let beginning = FrameBuilder {
        prior: Seq::ZERO,
        after: Seq::ZERO,
        cuts: 0,
        entries: &[],
        segment_refs: &[],
        state: &state,
    };
    let mut bytes = header.encode();
    let place = (HEADER_BYTES, HEADER_BYTES, header.seed);
    let head = beginning.encode(place, &mut bytes, &mut |_| ());
    (bytes, head)
}

/// The log whose last segment has that number.
fn open_last(files: Files, number: u64, options: &DiskOptions) -> Result<Opened, OpenError> {
    let file: Arc<dyn MediumFile> = Arc::from(files.medium().open(&Kind::Segment.name(number))?);
    let bytes = Bytes::from(files.read_all(Kind::Segment, number)?);
    let header = Header::decode(&bytes)?;
    if header.owner != options.owner {
        return Err(OpenError::OtherOwner {
            found: header.owner,
            expected: options.owner.clone(),
        });
    }
    if header.number != number {
        let why = format!("segment {number} is segment {}", header.number);
        return Err(OpenError::Damaged(why));
    }
    let scanned = scan(&bytes, HEADER_BYTES, header.seed, Part::Last);
    let scanned = scanned.map_err(OpenError::Damaged)?;
    let hard_state = hard_state(&scanned)?;
    // What was torn is zeros again before anything is written there.
    if scanned.torn_end > scanned.end {
        let torn = vec![0; size(scanned.torn_end - scanned.end)];
        file.write_at(scanned.end, &torn)?;
        file.sync()?;
    }
    let beginning = &scanned.frames[0];
    let mut layout = Layout {
        sealed: sealed(beginning),
        active: Active {
            number,
            seed: header.seed,
            file,
            bytes: bytes.len() as u64,
            end: HEADER_BYTES,
            state_at: HEADER_BYTES,
            tables: Tables::new(options.deduplicate_contents),
        },
        dead: Vec::new(),
        last: beginning.prior,
        cuts: beginning.cuts,
    };
    let log_last = scanned.frames.last().map_or(Seq::ZERO, Head::last);
    let epochs = EpochTable::new(hard_state.epochs.clone(), log_last);
    let entries = scanned.frames.iter().map(|head| head.entries.len()).sum();
    layout.active.tables.ids.reserve(entries);
    for head in &scanned.frames {
        let tables = &mut layout.active.tables;
        note_lost(tables, layout.last, layout.cuts, layout.active.end, head);
        tables.replay(head, &bytes, header.seed, &epochs);
        layout.advance(head);
    }
    layout.active.end = scanned.end;
    Ok(Opened {
        store: Store::new(files, options.clone(), layout),
        hard_state,
        epochs,
        flaws: Vec::new(),
    })
}

/// Entries that lie before `head` and after `last` were in a frame that cannot be read: they are looked for where it was.
fn note_lost(tables: &mut Tables, last: Seq, cuts: u64, at: u64, head: &Head) {
    if head.prior > last {
        tables.frame_refs.push(FrameRef {
            after: last,
            at,
            cuts,
        });
    }
}

/// The hard state that holds after the last write.
fn hard_state(scanned: &Scanned) -> Result<HardState, OpenError> {
    let damaged = |what: &str| OpenError::Damaged(format!("{what} cannot be read"));
    let is_beginning = |head: &&Head| head.at == HEADER_BYTES && !head.state.is_empty();
    let frames = &scanned.frames;
    let beginning = frames.first().filter(is_beginning);
    beginning.ok_or_else(|| damaged("the beginning of its last segment"))?;
    let state_at = frames.last().map(|head| head.state_at);
    let with_state = frames.iter().find(|head| Some(head.at) == state_at);
    let state = with_state.map(|head| serde_json::from_slice(&head.state));
    match state {
        Some(Ok(state)) => Ok(state),
        _ => Err(damaged("what the node promised last")),
    }
}

/// The older segments, as the beginning of the last one names them.
fn sealed(beginning: &Head) -> Vec<Sealed> {
    let ends = beginning
        .segment_refs
        .iter()
        .skip(1)
        .map(|next| next.first.prev());
    let ends = ends.chain([beginning.prior]);
    let sealed = beginning
        .segment_refs
        .iter()
        .zip(ends)
        .map(|(segment, last)| Sealed {
            number: segment.number,
            seed: segment.seed,
            first: segment.first,
            last,
            index: Index::Written(Arc::default()),
        });
    sealed.collect()
}

/// Looks whether all segments are there, takes away those that the log has no entries in, and makes the indexes that are
/// missing.
fn tidy_up(
    store: &Store,
    known: &BTreeSet<(u64, Kind)>,
    epochs: &EpochTable,
) -> Result<(), OpenError> {
    let (sealed, active) = {
        let mut layout = store.layout_mut();
        layout.dead.clear();
        (layout.sealed.clone(), layout.active.number)
    };
    let mut live: BTreeSet<u64> = sealed.iter().map(|s| s.number).collect();
    if let Some(missing) = live.iter().find(|n| !known.contains(&(**n, Kind::Segment))) {
        let why = format!("{} is missing", Kind::Segment.name(*missing));
        return Err(OpenError::Damaged(why));
    }
    live.insert(active);
    let all: BTreeSet<u64> = known.iter().map(|(number, _)| *number).collect();
    for number in all.difference(&live) {
        store.files.remove(*number)?;
    }
    let indexes_contents = store.options.deduplicate_contents;
    for Sealed { number, seed, .. } in sealed {
        let is_there = known.contains(&(number, Kind::Index));
        // What is in it is proved when it is read.
        let is_complete = is_there
            && (!indexes_contents
                || lookup::header(&store.files, number, seed).is_ok_and(|h| h.has_contents));
        if is_complete {
            continue;
        }
        let id = (number, seed);
        let tables = tables_of_sealed(&store.files, id, epochs, indexes_contents);
        let tables = Arc::new(tables.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => OpenError::Damaged(error.to_string()),
            _ => OpenError::Io(error),
        })?);
        match lookup::write_index(&store.files, id, &tables) {
            Ok(()) => {}
            Err(Refused::Full) => {
                let mut layout = store.layout_mut();
                let sealed = layout.sealed.iter_mut().find(|s| s.number == number);
                if let Some(sealed) = sealed {
                    sealed.index = Index::Unwritten(tables);
                }
            }
            Err(Refused::Failed(why)) => return Err(io::Error::other(why).into()),
        }
    }
    Ok(())
}

/// What the index of a sealed segment is made of, from the segment itself.
pub(super) fn tables_of_sealed(
    files: &Files,
    (number, seed): (u64, u32),
    epochs: &EpochTable,
    indexes_contents: bool,
) -> io::Result<Tables> {
    let len = files.get(Kind::Segment, number)?.len()?;
    let bytes = Bytes::from(files.read(Kind::Segment, number, 0, size(len))?);
    let scanned = scan(&bytes, HEADER_BYTES, seed, Part::Sealed);
    let scanned = scanned.map_err(|why| {
        let why = format!("segment {number}: {why}");
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    let mut tables = Tables::new(indexes_contents);
    let (mut last, mut cuts, mut end) = (None, 0, HEADER_BYTES);
    for head in &scanned.frames {
        if let Some(last) = last {
            note_lost(&mut tables, last, cuts, end, head);
        }
        tables.replay(head, &bytes, seed, epochs);
        (last, cuts, end) = (Some(head.last()), head.cuts, head.end());
    }
    Ok(tables)
}

/// What the log ends with must be an entry of an epoch that the hard state knows.
fn look_at_the_end(store: &Store, epochs: &EpochTable, damage: &Damage) -> Result<(), OpenError> {
    let last = epochs.last();
    if last.seq == Seq::ZERO {
        return Ok(());
    }
    let wanted = Wanted {
        first: last.seq,
        last: last.seq,
        max_bytes: 0,
        epoch: last.epoch,
    };
    let read = store.read(wanted, &|| epochs.clone())?;
    if last.epoch == Epoch::ZERO {
        let why = "its last entry is of an epoch of which it knows nothing".to_owned();
        return Err(OpenError::Damaged(why));
    }
    if read.is_err() {
        // A write that was torn is undone already: this is as any other entry that cannot be read.
        let around = store.damaged_around(last.seq, epochs)?;
        around.into_iter().for_each(|seq| damage.found(seq));
    }
    Ok(())
}

/// Looks at the header and at the last entry of each older segment. What is wrong there is no reason to refuse the log: what
/// can be read is read, and the rest is asked for from other nodes, as any damaged entry. Says what was found, one line each.
fn look_at_sealed(
    store: &Store,
    epochs: &EpochTable,
    damage: &Damage,
) -> Result<Vec<String>, OpenError> {
    let mut flaws = Vec::new();
    let sealed = store.layout().sealed.clone();
    for Sealed {
        number, seed, last, ..
    } in sealed
    {
        let name = Kind::Segment.name(number);
        let len = store.files.get(Kind::Segment, number)?.len()?;
        let header_bytes = size(len.min(HEADER_BYTES));
        let header = (store.files).read(Kind::Segment, number, 0, header_bytes)?;
        let is_its_own =
            |h: &Header| (h.number, h.seed, &h.owner) == (number, seed, &store.options.owner);
        match Header::decode(&header) {
            Ok(header) if is_its_own(&header) => {}
            Ok(header) => flaws.push(format!(
                "{name} is another file: segment {} of {}",
                header.number, header.owner
            )),
            Err(OpenError::Format { found, .. }) => {
                flaws.push(format!("{name} has format {found}"))
            }
            Err(_) => flaws.push(format!("the header of {name} is damaged")),
        }
        let wanted = Wanted {
            first: last,
            last,
            max_bytes: 0,
            epoch: epochs.at(last).unwrap_or_default().epoch,
        };
        if store.read(wanted, &|| epochs.clone())?.is_ok() {
            continue;
        }
        let around = store.damaged_around(last, epochs)?;
        if is_cut_off(&store.files.read_all(Kind::Segment, number)?, seed, last) {
            let first = around.first().copied().unwrap_or(last);
            flaws.push(format!(
                "{name} is cut off after {len} bytes: entries up to {last} are lost, from {first} on or before"
            ));
        }
        around.into_iter().for_each(|seq| damage.found(seq));
    }
    Ok(flaws)
}

/// Whether a sealed segment ends before the frame does that has the entry at `last`.
fn is_cut_off(bytes: &[u8], seed: u32, last: Seq) -> bool {
    let Ok(scanned) = scan(bytes, HEADER_BYTES, seed, Part::Sealed) else {
        return false;
    };
    let is_there = scanned.frames.last().is_some_and(|h| h.last() >= last);
    let left = bytes.get(size(scanned.end)..).unwrap_or_default();
    let does_not_end = || match Head::bytes_wanted(FRONT, left) {
        Some(wanted) if wanted <= left.len() => {
            let head = Head::decode(FRONT, seed, left);
            head.is_some_and(|head| head.end() > bytes.len() as u64)
        }
        Some(_) => true,
        None => left.len() < FIXED_BYTES,
    };
    !is_there && does_not_end()
}
