//! The entries of a segment that had rotted and were written again: in a file beside the segment, one after the other.
//!
//! ```text
//!   magic | checksum | bytes of the text | seq | epoch | text, padded
//! ```

use std::io;

use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Epoch, MasterId, Seq};
use uuid::Uuid;

use super::error::Refused;
use super::files::Files;
use super::frame::{ALIGN, checksum, get_u32, get_u64, padded, put_u32, put_u64};
use super::segment::Kind;
use super::store::synced;

const MAGIC: [u8; 8] = *b"\xffRepair\xff";
const HEADER_BYTES: usize = 48;

/// An entry that was written again.
#[derive(Debug)]
pub(super) struct Repaired<'a> {
    seq: Seq,
    epoch: Epoch,
    /// The JSON of the entry.
    pub(super) json: &'a [u8],
}

/// Appends the entries of a batch to `out`.
fn encode(batch: &EntryBatch, seed: u32, out: &mut Vec<u8>) {
    for entry in batch.iter() {
        let begin = out.len();
        out.extend_from_slice(&MAGIC);
        put_u32(out, 0);
        put_u32(out, u32::try_from(entry.json.len()).unwrap_or(u32::MAX));
        put_u64(out, entry.seq.0);
        put_u64(out, batch.epoch().n);
        out.extend_from_slice(batch.epoch().master.0.as_bytes());
        out.extend_from_slice(entry.json.as_bytes());
        let sum = checksum(seed, &[&out[begin + 12..]]);
        out[begin + 8..begin + 12].copy_from_slice(&sum.to_le_bytes());
        out.resize(out.len().next_multiple_of(ALIGN), 0xff);
    }
}

/// Writes the entries of a batch beside the segment that has that number and that seed.
pub(super) fn write(
    files: &Files,
    (number, seed): (u64, u32),
    batch: &EntryBatch,
    is_synced: bool,
) -> Result<(), Refused> {
    let (name, medium) = (Kind::Repairs.name(number), files.medium());
    let (file, is_new) = match medium.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (medium.create(&name)?, true),
        file => (file?, false),
    };
    let mut records = Vec::new();
    encode(batch, seed, &mut records);
    let at = padded(file.len()?);
    if let Err(error) = file.write_at(at, &records) {
        file.cut(at).ok();
        return Err(error.into());
    }
    if is_synced {
        synced(file.sync())?;
    }
    if is_new {
        synced(medium.sync_names())?;
    }
    files.close(Kind::Repairs, number);
    Ok(())
}

/// The good ones in the file; what was torn off, or has rotted again, is passed over.
fn decode(bytes: &[u8], seed: u32) -> impl Iterator<Item = Repaired<'_>> {
    let starts = (0..bytes.len()).step_by(ALIGN);
    starts.filter_map(move |at| decode_at(&bytes[at..], seed))
}

fn decode_at(bytes: &[u8], seed: u32) -> Option<Repaired<'_>> {
    bytes.starts_with(&MAGIC).then_some(())?;
    let end = HEADER_BYTES + get_u32(bytes, 12)? as usize;
    let is_good = get_u32(bytes, 8)? == checksum(seed, &[bytes.get(12..end)?]);
    let master = Uuid::from_slice(bytes.get(32..48)?).ok()?;
    is_good.then_some(Repaired {
        seq: Seq(get_u64(bytes, 16)?),
        epoch: Epoch {
            n: get_u64(bytes, 24)?,
            master: MasterId(master),
        },
        json: &bytes[HEADER_BYTES..end],
    })
}

/// The entry at `seq` as that epoch placed it, if it is in the file; the one that was written last.
pub(super) fn find(bytes: &[u8], seed: u32, seq: Seq, epoch: Epoch) -> Option<Repaired<'_>> {
    let is_it = |r: &Repaired<'_>| (r.seq, r.epoch) == (seq, epoch);
    decode(bytes, seed).filter(is_it).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{entry, epoch_of, others};

    #[test]
    fn the_last_good_one_of_the_epoch_is_found_whatever_lies_before_it() {
        let mut bytes = Vec::new();
        encode(&entry(7, "first"), 1, &mut bytes);
        let first = bytes.len();
        encode(&entry(7, "second"), 1, &mut bytes);
        encode(&others(7, 8).0, 1, &mut bytes);
        let found = |bytes: &[u8], seq, epoch| {
            let found = find(bytes, 1, Seq(seq), epoch);
            found.map(|r| String::from_utf8(r.json.to_vec()).unwrap())
        };
        let json = |batch: EntryBatch| String::from_utf8(batch.text().to_vec()).unwrap();
        let mine = epoch_of(7);
        assert_eq!(found(&bytes, 7, mine), Some(json(entry(7, "second"))));
        assert_eq!(found(&bytes, 8, mine), None);
        assert!(found(&bytes, 8, others(7, 8).0.epoch()).is_some());
        bytes[first + 60] ^= 1;
        assert_eq!(found(&bytes, 7, mine), Some(json(entry(7, "first"))));
        assert!(found(&bytes, 8, others(7, 8).0.epoch()).is_some());
        assert_eq!(found(&bytes[..50], 7, mine), None, "cut off");
    }
}
