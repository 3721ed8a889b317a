//! A stored value: its checksum, then its text.

use crc32fast::Hasher;

const CHECKSUM_BYTES: usize = 4;

/// The checksum covers the key too: a value that turns up under another one is as wrong as a changed one.
fn checksum(key: &[u8], text: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Hasher::new();
    hasher.update(key);
    hasher.update(text);
    hasher.finalize().to_le_bytes()
}

/// What is stored under `key`.
pub(super) fn sealed(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(CHECKSUM_BYTES + text.len());
    record.extend_from_slice(&checksum(key, text));
    record.extend_from_slice(text);
    record
}

/// The text again; `None` if it is not what was stored there.
pub(super) fn opened<'a>(key: &[u8], record: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, text) = record.split_at_checked(CHECKSUM_BYTES)?;
    (sum == checksum(key, text)).then_some(text)
}
