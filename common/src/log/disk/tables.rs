//! The tables of a log's file, and one transaction over them.

use std::ops::RangeInclusive;

use redb::{Database, Error, ReadableDatabase, ReadableTable, Table, TableDefinition};

use super::record::{opened, sealed};
use crate::entry::{Chunk, Content, Entry};
use crate::log::{Batch, Standing, StoreError};
use crate::protocol::dedup::{DeduplicateBy, fingerprint};
use crate::types::{MessageId, Seq};

/// An entry's JSON, by its seq.
pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// A seq, by the message's id.
const IDS: TableDefinition<'_, u128, u64> = TableDefinition::new("message_ids");
/// A seq, by the fingerprint of the content; kept where contents are deduplicated.
const CONTENTS: TableDefinition<'_, u128, u64> = TableDefinition::new("contents");
/// JSON, by its name.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// Facts: whose log it is, and where its owner stands.
pub(super) const OWNER: &str = "owner";
pub(super) const STANDING: &str = "standing";
/// Up to where [`CONTENTS`] goes.
const CONTENTS_UPTO: &str = "contents_upto";

/// A JSON fact; `None` if it was never written.
pub(super) fn fact<T: serde::de::DeserializeOwned>(
    db: &Database,
    name: &'static str,
) -> Result<Option<T>, Error> {
    let tx = db.begin_read()?;
    match tx.open_table(FACTS) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        facts => get_fact(&facts?, name),
    }
}

fn get_fact<T: serde::de::DeserializeOwned>(
    facts: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
) -> Result<Option<T>, Error> {
    let Some(record) = facts.get(name)? else {
        return Ok(None);
    };
    let damaged = || Error::Corrupted(format!("what is stored as {name} is damaged"));
    let text = opened(name.as_bytes(), record.value()).ok_or_else(damaged)?;
    serde_json::from_slice(text)
        .map(Some)
        .map_err(|_| damaged())
}

/// Makes the tables of a new log, and says whose it is.
pub(super) fn create<T: serde::Serialize>(db: &Database, owner: &T) -> Result<(), Error> {
    let mut tx = db.begin_write()?;
    tx.set_quick_repair(true);
    tx.open_table(ENTRIES)?;
    tx.open_table(IDS)?;
    tx.open_table(CONTENTS)?;
    put_fact(&mut tx.open_table(FACTS)?, OWNER, owner)?;
    Ok(tx.commit()?)
}

fn put_fact<T: serde::Serialize>(
    facts: &mut Table<'_, &'static str, &'static [u8]>,
    name: &'static str,
    fact: &T,
) -> Result<(), Error> {
    let text = serde_json::to_vec(fact).expect("a fact is always JSON");
    facts.insert(name, &*sealed(name.as_bytes(), &text))?;
    Ok(())
}

/// One transaction, synced when it returns; an entry that was there before is written again. With it the state of the allocator is stored, so that opening after a crash
/// does not read the whole file.
pub(super) fn write(db: &Database, batch: &Batch<'_>, by: DeduplicateBy) -> Result<(), Error> {
    let mut tx = db.begin_write()?;
    tx.set_quick_repair(true);
    if batch.keep.is_some_and(|keep| keep.seq == Seq::ZERO) {
        tx.delete_table(ENTRIES)?;
        tx.delete_table(IDS)?;
        tx.delete_table(CONTENTS)?;
    }
    {
        let mut entries = tx.open_table(ENTRIES)?;
        let mut ids = tx.open_table(IDS)?;
        let mut contents = match by {
            DeduplicateBy::Content => Some(tx.open_table(CONTENTS)?),
            DeduplicateBy::MessageId => None,
        };
        let mut facts = tx.open_table(FACTS)?;
        if let Some(keep) = batch.keep {
            cut(&mut entries, &mut ids, contents.as_mut(), keep.seq)?;
        }
        for entry in batch.entries {
            put(&mut entries, &mut ids, contents.as_mut(), entry)?;
        }
        if let Some(standing) = batch.standing {
            put_fact(&mut facts, STANDING, standing)?;
        }
        if contents.is_some() || batch.keep.is_some() {
            let indexed: Seq = get_fact(&facts, CONTENTS_UPTO)?.unwrap_or_default();
            let kept = batch.keep.map_or(indexed, |keep| indexed.min(keep.seq));
            let last = batch.entries.last().map_or(kept, |e| kept.max(e.seq));
            // An index that is not kept is made anew when it is needed.
            let upto = contents.as_ref().map_or(Seq::ZERO, |_| last);
            put_fact(&mut facts, CONTENTS_UPTO, &upto)?;
        }
    }
    Ok(tx.commit()?)
}

type Entries<'t> = Table<'t, u64, &'static [u8]>;
type Index<'t> = Table<'t, u128, u64>;

fn put(
    entries: &mut Entries<'_>,
    ids: &mut Index<'_>,
    contents: Option<&mut Index<'_>>,
    entry: &Entry,
) -> Result<(), Error> {
    let key = entry.seq.0;
    entries.insert(key, &*sealed(&key.to_be_bytes(), entry.json()))?;
    ids.insert(entry.message_id.0.as_u128(), key)?;
    contents.map_or(Ok(()), |contents| index(contents, entry))
}

/// Of several with the same content the first one is found.
fn index(contents: &mut Index<'_>, entry: &Entry) -> Result<(), Error> {
    let content = fingerprint(&entry.content()).as_u128();
    let known = contents.get(content)?.map(|seq| seq.value());
    if known.is_none_or(|seq| seq > entry.seq.0) {
        contents.insert(content, entry.seq.0)?;
    }
    Ok(())
}

/// Takes out what lies behind `keep`, and what names it.
fn cut(
    entries: &mut Entries<'_>,
    ids: &mut Index<'_>,
    mut contents: Option<&mut Index<'_>>,
    keep: Seq,
) -> Result<(), Error> {
    let remove = |index: &mut Index<'_>, key: u128, seq: u64| -> Result<(), Error> {
        if index.get(key)?.is_some_and(|at| at.value() == seq) {
            index.remove(key)?;
        }
        Ok(())
    };
    let mut is_damaged = false;
    for removed in entries.extract_from_if(keep.0 + 1.., |_, _| true)? {
        let (key, record) = removed?;
        let (key, record) = (key.value(), record.value());
        let Some(entry) = parsed(key, record) else {
            is_damaged = true;
            continue;
        };
        remove(ids, entry.message_id.0.as_u128(), key)?;
        if let Some(contents) = &mut contents {
            remove(contents, fingerprint(&entry.content()).as_u128(), key)?;
        }
    }
    if is_damaged {
        // Which names were its own cannot be read any more.
        ids.retain(|_, seq| seq <= keep.0)?;
        if let Some(contents) = contents {
            contents.retain(|_, seq| seq <= keep.0)?;
        }
    }
    Ok(())
}

/// The entry of a record, unless it is damaged.
pub(super) fn parsed(key: u64, record: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(opened(&key.to_be_bytes(), record)?).ok()?;
    Entry::parse(text).ok().filter(|e| e.seq.0 == key)
}

/// Where that message is.
pub(super) fn find(
    db: &Database,
    id: MessageId,
    content: Option<&Content>,
) -> Result<Option<Seq>, Error> {
    let tx = db.begin_read()?;
    if let Some(content) = content {
        let found = tx.open_table(CONTENTS)?;
        let found = found.get(fingerprint(content).as_u128())?;
        if let Some(seq) = found {
            return Ok(Some(Seq(seq.value())));
        }
    }
    let found = tx.open_table(IDS)?.get(id.0.as_u128())?;
    Ok(found.map(|seq| Seq(seq.value())))
}

/// The entries of a range up to the first damaged one, as many as fit in `max_bytes`, but one at least.
pub(super) fn read(
    db: &Database,
    range: RangeInclusive<Seq>,
    max_bytes: usize,
) -> Result<Result<Chunk, StoreError>, Error> {
    let tx = db.begin_read()?;
    let entries = tx.open_table(ENTRIES)?;
    let (first, last) = range.into_inner();
    let (mut text, mut next) = (Vec::new(), first);
    for stored in entries.range(first.0..=last.0)? {
        let (key, record) = stored?;
        let entry = parsed(key.value(), record.value()).filter(|e| e.seq == next);
        let Some(entry) = entry else { break };
        let json = entry.json();
        if next > first {
            if text.len() + 1 + json.len() > max_bytes {
                break;
            }
            text.push(b',');
        }
        text.extend_from_slice(json);
        next = next.next();
    }
    let count = next.0 - first.0;
    let text = text.into();
    Ok(match count {
        0 => Err(StoreError::Damaged { seq: first }),
        _ => Ok(Chunk { first, count, text }),
    })
}

/// The last entry, if there is any; where it is, if it is damaged.
pub(super) fn last(db: &Database) -> Result<Result<Option<Entry>, Seq>, Error> {
    let tx = db.begin_read()?;
    let entries = tx.open_table(ENTRIES)?;
    let Some((key, record)) = entries.last()? else {
        return Ok(Ok(None));
    };
    let key = key.value();
    Ok(parsed(key, record.value()).map(Some).ok_or(Seq(key)))
}

/// Makes the index of contents complete, where the log was written without it.
pub(super) fn index_contents(db: &Database, last: Seq) -> Result<(), Error> {
    let upto: Seq = fact(db, CONTENTS_UPTO)?.unwrap_or_default();
    if upto >= last {
        return Ok(());
    }
    let mut tx = db.begin_write()?;
    tx.set_quick_repair(true);
    if upto == Seq::ZERO {
        tx.delete_table(CONTENTS)?;
    }
    {
        let entries = tx.open_table(ENTRIES)?;
        let mut contents = tx.open_table(CONTENTS)?;
        for stored in entries.range(upto.0 + 1..)? {
            let (key, record) = stored?;
            if let Some(entry) = parsed(key.value(), record.value()) {
                index(&mut contents, &entry)?;
            }
        }
        put_fact(&mut tx.open_table(FACTS)?, CONTENTS_UPTO, &last)?;
    }
    Ok(tx.commit()?)
}

/// Where a node stands, as it was stored last.
pub(super) fn standing(db: &Database) -> Result<Standing, Error> {
    Ok(fact(db, STANDING)?.unwrap_or_default())
}
