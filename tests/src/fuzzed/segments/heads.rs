//! Numbers in the heads of frames that are not what they were, with checksums that fit: what no disk does by itself.

use crc32fast::Hasher;

const FRONT: &[u8; 8] = b"\xffFront\xff\xff";
const BACK: &[u8; 8] = b"\xffBack\xff\xff\xff";
/// Where the seed of the checksums is in the header of a segment.
const SEED_AT: usize = 12;
/// Where the checksum of a head is, from its beginning; what it is of begins after it.
const SUM_AT: usize = 8;
/// Where each number of a head is, and its bytes: its length, where it begins, where the log ended, what the entries follow, the
/// cuts, where the state is; the bytes of the text, how many entries, how many references, the bytes of the state.
const FIELDS: [(usize, usize); 12] = [
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 4),
    (60, 4),
    (64, 4),
    (68, 4),
    (72, 4),
    (76, 4),
];

/// Changes the `field`-th number in both heads of the `frame`-th frame of a segment.
pub(super) fn change(file: &mut [u8], frame: usize, field: usize, value: u64) {
    let Some(seed) = file.get(SEED_AT..SEED_AT + 4) else {
        return;
    };
    let seed = u32::from_le_bytes(seed.try_into().expect("four bytes"));
    let (at, bytes) = FIELDS[field % FIELDS.len()];
    for magic in [FRONT, BACK] {
        let heads: Vec<usize> = memchr::memmem::find_iter(file, magic).collect();
        let Some(head) = heads.get(frame % heads.len().max(1)) else {
            continue;
        };
        let end = head + length(file, *head);
        if at + bytes <= end - head && end <= file.len() {
            file[head + at..head + at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
            // The length may be another one now.
            let end = (head + length(file, *head)).clamp(head + SUM_AT + 4, file.len());
            let mut hasher = Hasher::new_with_initial(seed);
            hasher.update(&file[head + SUM_AT + 4..end]);
            let sum = hasher.finalize().to_le_bytes();
            file[head + SUM_AT..head + SUM_AT + 4].copy_from_slice(&sum);
        }
    }
}

/// Bytes of the head that begins there, as it says.
fn length(file: &[u8], head: usize) -> usize {
    let said = file
        .get(head + 12..head + 16)
        .and_then(|b| b.try_into().ok());
    said.map_or(0, |bytes| u32::from_le_bytes(bytes) as usize)
}
