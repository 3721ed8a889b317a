//! The tables of a log's file, and one transaction over them.

use bytes::Bytes;
use redb::{Database, Error, ReadableDatabase, ReadableTable, Table, TableDefinition};
use replog_protocol::entry::{Content, Entry, EntryBatch};
use replog_protocol::epochs::EpochTable;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, MessageId, Seq};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::record::{opened, sealed};

/// An entry's JSON, by its seq.
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// A seq, by the message's id.
const IDS: TableDefinition<'_, u128, u64> = TableDefinition::new("message_ids");
/// A seq, by the fingerprint of the content; kept where contents are deduplicated.
const CONTENTS: TableDefinition<'_, u128, u64> = TableDefinition::new("contents");
/// JSON, by its name.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// The fact that says whose log it is, and in which format.
pub(super) const OWNER: &str = "owner";
/// The fact that is the hard state.
pub(super) const HARD_STATE: &str = "hard_state";
/// The fact that says up to where [`CONTENTS`] goes.
const CONTENTS_UPTO: &str = "contents_upto";

/// The table of facts while it is written.
pub(super) type Facts<'t> = Table<'t, &'static str, &'static [u8]>;
type Entries<'t> = Table<'t, u64, &'static [u8]>;
type Index<'t> = Table<'t, u128, u64>;

/// What one transaction writes, in the order of the fields.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// Everything after it goes out.
    pub(super) truncate_after: Option<Seq>,
    /// The epochs of what is there before.
    pub(super) epochs: &'a EpochTable,
    /// Follow what is left.
    pub(super) entries: &'a [EntryBatch],
    /// The new hard state.
    pub(super) hard_state: Option<&'a HardState>,
    /// Entries that are in the log: written where what is stored cannot be read.
    pub(super) repairs: &'a [EntryBatch],
    /// Whether the index of contents is kept.
    pub(super) indexes_contents: bool,
}

/// Makes the tables of a new log, and writes whose it is.
pub(super) fn create(db: &Database, owner: &impl Serialize) -> Result<(), Error> {
    let mut tx = db.begin_write()?;
    tx.set_quick_repair(true);
    tx.open_table(ENTRIES)?;
    tx.open_table(IDS)?;
    tx.open_table(CONTENTS)?;
    put_fact(&mut tx.open_table(FACTS)?, OWNER, owner)?;
    Ok(tx.commit()?)
}

/// Changes facts in a transaction of its own.
pub(super) fn change_facts(
    db: &Database,
    change: impl FnOnce(&mut Facts<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut tx = db.begin_write()?;
    tx.set_quick_repair(true);
    change(&mut tx.open_table(FACTS)?)?;
    Ok(tx.commit()?)
}

/// One transaction, synced when it returns. The state of the allocator is stored with it, so that opening after a crash does
/// not read the whole file.
pub(super) fn write(db: &Database, change: &Change<'_>) -> Result<(), Error> {
    let mut tx = db.begin_write()?;
    tx.set_quick_repair(true);
    if change.truncate_after == Some(Seq::ZERO) {
        tx.delete_table(ENTRIES)?;
        tx.delete_table(IDS)?;
        tx.delete_table(CONTENTS)?;
    }
    {
        let mut log = LogTables {
            entries: tx.open_table(ENTRIES)?,
            ids: tx.open_table(IDS)?,
            contents: match change.indexes_contents {
                true => Some(tx.open_table(CONTENTS)?),
                false => None,
            },
        };
        if let Some(after) = change.truncate_after {
            log.truncate_after(after, change.epochs)?;
        }
        for entry in change.entries.iter().flat_map(EntryBatch::iter) {
            log.put(&entry)?;
        }
        for batch in change.repairs {
            for entry in batch.iter() {
                if !log.is_readable(entry.seq, batch.epoch())? {
                    log.put(&entry)?;
                }
            }
        }
        let mut facts = tx.open_table(FACTS)?;
        if let Some(hard_state) = change.hard_state {
            put_fact(&mut facts, HARD_STATE, hard_state)?;
        }
        if change.indexes_contents || change.truncate_after.is_some() {
            let indexed: Seq = get_fact(&facts, CONTENTS_UPTO)?.unwrap_or_default();
            let kept = change.truncate_after.map_or(indexed, |s| indexed.min(s));
            let last = change.entries.last().map_or(kept, |b| kept.max(b.last()));
            // An index that is not kept is made anew when it is needed.
            let upto = if change.indexes_contents {
                last
            } else {
                Seq::ZERO
            };
            put_fact(&mut facts, CONTENTS_UPTO, &upto)?;
        }
    }
    Ok(tx.commit()?)
}

/// The tables of the entries while they are written.
struct LogTables<'t> {
    entries: Entries<'t>,
    ids: Index<'t>,
    contents: Option<Index<'t>>,
}

impl LogTables<'_> {
    fn put(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let key = entry.seq.0;
        let record = sealed(&key.to_be_bytes(), entry.json.as_bytes());
        self.entries.insert(key, &*record)?;
        self.ids.insert(entry.message_id.0.as_u128(), key)?;
        match &mut self.contents {
            Some(contents) => index_content(contents, entry),
            None => Ok(()),
        }
    }

    fn is_readable(&self, seq: Seq, epoch: Epoch) -> Result<bool, Error> {
        let stored = self.entries.get(seq.0)?;
        Ok(stored.is_some_and(|record| parsed(seq, record.value(), epoch).is_some()))
    }

    /// Takes out what lies after `keep`, and what names it.
    fn truncate_after(&mut self, keep: Seq, epochs: &EpochTable) -> Result<(), Error> {
        let remove = |index: &mut Index<'_>, key: u128, seq: u64| -> Result<(), Error> {
            if index.get(key)?.is_some_and(|at| at.value() == seq) {
                index.remove(key)?;
            }
            Ok(())
        };
        let mut is_damaged = false;
        for removed in self.entries.extract_from_if(keep.0 + 1.., |_, _| true)? {
            let (key, record) = removed?;
            let seq = Seq(key.value());
            let epoch = epochs.at(seq).map(|p| p.epoch);
            let batch = epoch.and_then(|epoch| parsed(seq, record.value(), epoch));
            let Some(entry) = batch.as_ref().and_then(|batch| batch.get(seq)) else {
                is_damaged = true;
                continue;
            };
            remove(&mut self.ids, entry.message_id.0.as_u128(), seq.0)?;
            if let Some(contents) = &mut self.contents {
                remove(contents, fingerprint(&entry.text()).as_u128(), seq.0)?;
            }
        }
        if is_damaged {
            // Which id and which content a damaged entry had cannot be read any more.
            self.ids.retain(|_, seq| seq <= keep.0)?;
            if let Some(contents) = &mut self.contents {
                contents.retain(|_, seq| seq <= keep.0)?;
            }
        }
        Ok(())
    }
}

/// Of several entries with the same content the first one is found.
fn index_content(contents: &mut Index<'_>, entry: &Entry<'_>) -> Result<(), Error> {
    let content = fingerprint(&entry.text()).as_u128();
    let known = contents.get(content)?.map(|seq| seq.value());
    if known.is_none_or(|seq| seq > entry.seq.0) {
        contents.insert(content, entry.seq.0)?;
    }
    Ok(())
}

/// Makes the index of contents complete, where the log was written without it.
pub(super) fn complete_contents(db: &Database, epochs: &EpochTable) -> Result<(), Error> {
    let upto: Seq = fact(db, CONTENTS_UPTO)?.unwrap_or_default();
    let last = epochs.last().seq;
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
            let seq = Seq(key.value());
            let epoch = epochs.at(seq).map(|p| p.epoch);
            let batch = epoch.and_then(|epoch| parsed(seq, record.value(), epoch));
            if let Some(entry) = batch.as_ref().and_then(|batch| batch.get(seq)) {
                index_content(&mut contents, &entry)?;
            }
        }
        put_fact(&mut tx.open_table(FACTS)?, CONTENTS_UPTO, &last)?;
    }
    Ok(tx.commit()?)
}

/// The entries from `first` up to `last` and up to the first damaged one, as many as fit in `max_bytes`, but one at least.
/// All of them are of that epoch.
///
/// `Err` with the first one if that is damaged.
pub(super) fn read(
    db: &Database,
    (first, last): (Seq, Seq),
    max_bytes: usize,
    epoch: Epoch,
) -> Result<Result<EntryBatch, Seq>, Error> {
    let tx = db.begin_read()?;
    let entries = tx.open_table(ENTRIES)?;
    let (mut text, mut next) = (Vec::new(), first);
    for stored in entries.range(first.0..=last.0)? {
        let (key, record) = stored?;
        let json = match opened(&key.value().to_be_bytes(), record.value()) {
            Some(json) if key.value() == next.0 => json,
            _ => break,
        };
        if next > first {
            if text.len() + 1 + json.len() > max_bytes {
                break;
            }
            text.push(b',');
        }
        text.extend_from_slice(json);
        next = next.next();
    }
    let whole = EntryBatch::parse(text.into(), epoch).ok();
    let is_whole = |b: &EntryBatch| b.first() == first && b.last().next() == next;
    if let Some(batch) = whole.filter(is_whole) {
        return Ok(Ok(batch));
    }
    // The first one is damaged; or one after it has the right checksum, and is no entry of that epoch all the same.
    let mut good = Vec::new();
    for seq in (first.0..next.0).map(Seq) {
        let record = entries.get(seq.0)?;
        match record.and_then(|record| parsed(seq, record.value(), epoch)) {
            Some(entry) => good.push(entry),
            None => break,
        }
    }
    Ok(EntryBatch::concat(&good).ok_or(first))
}

/// Whether the entry at `seq` is what was stored there once, of whatever epoch.
pub(super) fn has_checksum(db: &Database, seq: Seq) -> Result<bool, Error> {
    let tx = db.begin_read()?;
    let stored = tx.open_table(ENTRIES)?.get(seq.0)?;
    let key = seq.0.to_be_bytes();
    Ok(stored.is_some_and(|record| opened(&key, record.value()).is_some()))
}

/// The position of the last entry, whether or not it can be read.
pub(super) fn last(db: &Database) -> Result<Seq, Error> {
    let tx = db.begin_read()?;
    let entries = tx.open_table(ENTRIES)?;
    let last = entries.last()?;
    Ok(last.map_or(Seq::ZERO, |(key, _)| Seq(key.value())))
}

/// Where the message with that id is, or with that content, if a content is asked for.
pub(super) fn find(
    db: &Database,
    id: MessageId,
    content: Option<&Content>,
) -> Result<Option<Seq>, Error> {
    let tx = db.begin_read()?;
    if let Some(content) = content {
        let contents = tx.open_table(CONTENTS)?;
        if let Some(seq) = contents.get(fingerprint(&content.text()).as_u128())? {
            return Ok(Some(Seq(seq.value())));
        }
    }
    let found = tx.open_table(IDS)?.get(id.0.as_u128())?;
    Ok(found.map(|seq| Seq(seq.value())))
}

/// Names an entry for a message, whatever it is.
#[cfg(test)]
pub(super) fn misindex(db: &Database, id: MessageId, seq: Seq) -> Result<(), Error> {
    let tx = db.begin_write()?;
    tx.open_table(IDS)?.insert(id.0.as_u128(), seq.0)?;
    Ok(tx.commit()?)
}

/// A JSON fact; `None` if it was never written.
pub(super) fn fact<T: DeserializeOwned>(
    db: &Database,
    name: &'static str,
) -> Result<Option<T>, Error> {
    let tx = db.begin_read()?;
    match tx.open_table(FACTS) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        facts => get_fact(&facts?, name),
    }
}

fn get_fact<T: DeserializeOwned>(
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

pub(super) fn put_fact(
    facts: &mut Facts<'_>,
    name: &'static str,
    fact: &impl Serialize,
) -> Result<(), Error> {
    let text = serde_json::to_vec(fact).expect("a fact is always JSON");
    facts.insert(name, &*sealed(name.as_bytes(), &text))?;
    Ok(())
}

/// The entry of a record, as a batch of one; `None` if it is damaged, or none of that epoch.
fn parsed(seq: Seq, record: &[u8], epoch: Epoch) -> Option<EntryBatch> {
    let json = opened(&seq.0.to_be_bytes(), record)?;
    let batch = EntryBatch::parse(Bytes::copy_from_slice(json), epoch).ok()?;
    ((batch.first(), batch.count()) == (seq, 1)).then_some(batch)
}

/// What stands for a content: 122 bits of a SHA-1. Two different contents with one fingerprint do not happen by chance.
fn fingerprint(text: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())
}
