//! The index beside a sealed segment: written once, from what was in memory; made anew from the segment where it is missing or
//! wrong.
//!
//! ```text
//!   ┌────────┬────────┬────────┬──────────────┬───────────────────┐
//!   │ header │ frames │ filter │ pages of ids │ pages of contents │
//!   └────────┴────────┴────────┴──────────────┴───────────────────┘
//!   header:    how many of each; checksums of itself, of the frames, of the filter
//!   frames:    where some of the frames begin, one for each 16 KiB or so; a frame follows the one before up to the next
//!   filter:    bits that are set for every key (Bloom): most of what is not here is known not to be without reading a page
//!   page:      keys in ascending order, each with its position in the log; a checksum
//! ```

use replog_protocol::ids::Seq;

use super::frame::{checksum, get_u32, get_u64, put_u32, put_u64, size};
use super::tables::{FrameRef, Key, Tables};

const MAGIC: [u8; 8] = *b"\xffIndex1\xff";
/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 56;
const FRAME_REF_BYTES: usize = 24;
const KEY_BYTES: usize = 24;
/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 4096;
const KEYS_PER_PAGE: u64 = (PAGE_BYTES as u64 - 4) / KEY_BYTES as u64;
/// Frames that follow one another need no reference of their own within so many bytes.
const FRAME_REF_STRIDE: u64 = 16 << 10;
/// Bits of the filter for each key, and how many of them a key sets: one in a hundred strange keys is not recognised as such.
const FILTER_BITS_PER_KEY: u64 = 10;
const FILTER_BITS_SET: u64 = 7;

/// What an index consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    frame_refs: u64,
    filter_bytes: u64,
    ids: u64,
    contents: u64,
    /// Whether contents are in it.
    pub(super) has_contents: bool,
    frame_refs_sum: u32,
    filter_sum: u32,
}

/// Which pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Ids,
    Contents,
}

/// The index of a segment with that seed.
pub(super) fn encode(tables: &Tables, seed: u32) -> Vec<u8> {
    let sorted = |keys: &std::collections::HashMap<Key, Seq>| {
        let mut keys: Vec<(Key, Seq)> = keys.iter().map(|(k, s)| (*k, *s)).collect();
        keys.sort_unstable();
        keys
    };
    let ids = sorted(&tables.ids);
    let contents = tables.contents.as_ref().map(sorted);
    let mut frame_refs = Vec::new();
    let sparse = sparse(&tables.frame_refs);
    for frame in &sparse {
        [frame.after.0, frame.at, frame.cuts]
            .iter()
            .for_each(|n| put_u64(&mut frame_refs, *n));
    }
    let both = || ids.iter().chain(contents.iter().flatten());
    let filter = Filter::of(both().map(|(key, _)| *key), both().count() as u64);
    let header = Header {
        frame_refs: sparse.len() as u64,
        filter_bytes: filter.0.len() as u64,
        ids: ids.len() as u64,
        contents: contents.as_ref().map_or(0, |c| c.len() as u64),
        has_contents: contents.is_some(),
        frame_refs_sum: checksum(seed, &[&frame_refs]),
        filter_sum: checksum(seed, &[&filter.0]),
    };
    let mut out = header.encode(seed);
    out.append(&mut frame_refs);
    out.extend_from_slice(&filter.0);
    for keys in [&ids, &contents.unwrap_or_default()] {
        for page in keys.chunks(size(KEYS_PER_PAGE)) {
            put_page(&mut out, page, seed);
        }
    }
    out
}

/// Those from which the others are found by going from frame to frame: where nothing was taken out in between.
fn sparse(frame_refs: &[FrameRef]) -> Vec<FrameRef> {
    let mut sparse: Vec<FrameRef> = Vec::new();
    for frame in frame_refs {
        let is_near =
            |last: &FrameRef| frame.cuts == last.cuts && frame.at - last.at < FRAME_REF_STRIDE;
        if !sparse.last().is_some_and(is_near) {
            sparse.push(*frame);
        }
    }
    sparse
}

fn put_page(out: &mut Vec<u8>, keys: &[(Key, Seq)], seed: u32) {
    let begin = out.len();
    for (key, seq) in keys {
        out.extend_from_slice(&key.to_be_bytes());
        put_u64(out, seq.0);
    }
    out.resize(begin + PAGE_BYTES - 4, 0xff);
    let sum = checksum(seed, &[&out[begin..]]);
    put_u32(out, sum);
}

impl Header {
    fn encode(&self, seed: u32) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for n in [self.frame_refs, self.filter_bytes, self.ids, self.contents] {
            put_u64(&mut out, n);
        }
        put_u32(&mut out, self.frame_refs_sum);
        put_u32(&mut out, self.filter_sum);
        put_u32(&mut out, u32::from(self.has_contents));
        let sum = checksum(seed, &[&out]);
        put_u32(&mut out, sum);
        out
    }

    /// `None` if it is not that of the index of a segment with that seed.
    pub(super) fn decode(bytes: &[u8], seed: u32) -> Option<Self> {
        let (said, sum) = bytes.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 4);
        let is_one = said.starts_with(&MAGIC) && get_u32(sum, 0)? == checksum(seed, &[said]);
        let header = Self {
            frame_refs: get_u64(said, 8)?,
            filter_bytes: get_u64(said, 16)?,
            ids: get_u64(said, 24)?,
            contents: get_u64(said, 32)?,
            frame_refs_sum: get_u32(said, 40)?,
            filter_sum: get_u32(said, 44)?,
            has_contents: get_u32(said, 48)? == 1,
        };
        is_one.then_some(header)
    }

    /// Where the references to frames are, and how many bytes.
    pub(super) fn frame_refs_at(&self) -> (u64, usize) {
        let bytes = size(self.frame_refs) * FRAME_REF_BYTES;
        (HEADER_BYTES as u64, bytes)
    }

    /// Where the filter is, and how many bytes.
    pub(super) fn filter_at(&self) -> (u64, usize) {
        let (at, bytes) = self.frame_refs_at();
        (at + bytes as u64, size(self.filter_bytes))
    }

    /// How many pages there are.
    pub(super) fn pages(&self, which: Which) -> u64 {
        match which {
            Which::Ids => self.ids.div_ceil(KEYS_PER_PAGE),
            Which::Contents => self.contents.div_ceil(KEYS_PER_PAGE),
        }
    }

    /// How many keys a page has.
    pub(super) fn keys_on(&self, which: Which, page: u64) -> u64 {
        let keys = match which {
            Which::Ids => self.ids,
            Which::Contents => self.contents,
        };
        (keys - page * KEYS_PER_PAGE).min(KEYS_PER_PAGE)
    }

    /// Where that page is.
    pub(super) fn page_at(&self, which: Which, page: u64) -> u64 {
        let (at, bytes) = self.filter_at();
        let before = match which {
            Which::Ids => 0,
            Which::Contents => self.pages(Which::Ids),
        };
        at + bytes as u64 + (before + page) * PAGE_BYTES as u64
    }

    /// The references to frames in `bytes`; `None` if they have rotted.
    pub(super) fn frame_refs(&self, bytes: &[u8], seed: u32) -> Option<Vec<FrameRef>> {
        (checksum(seed, &[bytes]) == self.frame_refs_sum).then_some(())?;
        let frame_ref = |bytes: &[u8]| {
            let (after, at) = (Seq(get_u64(bytes, 0)?), get_u64(bytes, 8)?);
            let cuts = get_u64(bytes, 16)?;
            Some(FrameRef { after, at, cuts })
        };
        bytes.chunks_exact(FRAME_REF_BYTES).map(frame_ref).collect()
    }

    /// The filter in `bytes`; `None` if it has rotted.
    pub(super) fn filter(&self, bytes: Vec<u8>, seed: u32) -> Option<Filter> {
        (checksum(seed, &[&bytes]) == self.filter_sum).then_some(Filter(bytes))
    }
}

/// What a page says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnPage {
    Here(Seq),
    /// If anywhere, on a page before.
    Before,
    /// If anywhere, on a page after.
    After,
    Nowhere,
}

/// Looks for a key on a page; `None` if that has rotted.
pub(super) fn look_up(page: &[u8], keys_on_page: u64, key: Key, seed: u32) -> Option<OnPage> {
    let (said, sum) = page.split_at_checked(PAGE_BYTES - 4)?;
    (get_u32(sum, 0)? == checksum(seed, &[said])).then_some(())?;
    let keys: Vec<&[u8]> = said
        .chunks_exact(KEY_BYTES)
        .take(size(keys_on_page))
        .collect();
    let wanted = key.to_be_bytes();
    let at = keys.partition_point(|k| k[..16] < wanted[..]);
    Some(match keys.get(at) {
        Some(found) if found[..16] == wanted[..] => OnPage::Here(Seq(get_u64(found, 16)?)),
        Some(_) if at == 0 => OnPage::Before,
        Some(_) => OnPage::Nowhere,
        None => OnPage::After,
    })
}

/// Bits that are set for every key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<u8>);

impl Filter {
    fn of(keys: impl Iterator<Item = Key>, count: u64) -> Self {
        let mut filter = Self(vec![0; size((count * FILTER_BITS_PER_KEY).div_ceil(8))]);
        for key in keys {
            for (byte, bit) in filter.bits(key) {
                filter.0[byte] |= bit;
            }
        }
        filter
    }

    /// Whether the key may be among those that it was made of; if not, it is not.
    pub(super) fn may_have(&self, key: Key) -> bool {
        let mut bits = self.bits(key);
        !self.0.is_empty() && bits.all(|(byte, bit)| self.0[byte] & bit != 0)
    }

    fn bits(&self, key: Key) -> impl Iterator<Item = (usize, u8)> + use<> {
        let mixed = |n: u64| {
            let n = (n ^ (n >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            let n = (n ^ (n >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
            n ^ (n >> 33)
        };
        let (low, high) = (key as u64, (key >> 64) as u64);
        let (first, step) = (
            mixed(low ^ mixed(high)),
            mixed(high ^ low.rotate_left(32)) | 1,
        );
        let bits = (self.0.len() as u64 * 8).max(1);
        (0..FILTER_BITS_SET).map(move |i| {
            let bit = first.wrapping_add(step.wrapping_mul(i)) % bits;
            (size(bit / 8), 1 << (bit % 8))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(n: u64) -> Key {
        (u128::from(n) << 64) | (3 * u128::from(n))
    }

    fn tables(ids: u64) -> Tables {
        let mut tables = Tables::new(true);
        for n in 0..ids {
            tables.ids.insert(key_of(n), Seq(n + 1));
        }
        let contents = tables.contents.as_mut().unwrap();
        contents.insert(77, Seq(5));
        tables.frame_refs = (0..50)
            .map(|n| FrameRef {
                after: Seq(n),
                at: n * 1_000,
                cuts: u64::from(n >= 20),
            })
            .collect();
        tables
    }

    fn find(encoded: &[u8], which: Which, key: Key) -> Option<Seq> {
        let header = Header::decode(encoded, 9).unwrap();
        let (mut low, mut high) = (0, header.pages(which));
        while low < high {
            let mid = low + (high - low) / 2;
            let at = size(header.page_at(which, mid));
            let page = &encoded[at..at + PAGE_BYTES];
            match look_up(page, header.keys_on(which, mid), key, 9).unwrap() {
                OnPage::Here(seq) => return Some(seq),
                OnPage::Nowhere => return None,
                OnPage::Before => high = mid,
                OnPage::After => low = mid + 1,
            }
        }
        None
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        for ids in [0, 1, 169, 170, 171, 1_000] {
            let tables = tables(ids);
            let encoded = encode(&tables, 9);
            let header = Header::decode(&encoded, 9).unwrap();
            let (at, bytes) = header.filter_at();
            let filter = encoded[size(at)..size(at) + bytes].to_vec();
            let filter = header.filter(filter, 9).unwrap();
            for n in 0..ids {
                let key = key_of(n);
                assert_eq!(find(&encoded, Which::Ids, key), Some(Seq(n + 1)));
                assert!(filter.may_have(key));
                assert_eq!(find(&encoded, Which::Ids, key + 1), None);
            }
            assert_eq!(find(&encoded, Which::Contents, 77), Some(Seq(5)));
            assert_eq!(find(&encoded, Which::Contents, 78), None);
            let strange = (0..1_000_u64).filter(|n| filter.may_have((u128::from(*n) << 70) | 1));
            assert!(strange.count() < 60);
        }
    }

    #[test]
    fn frames_are_kept_where_something_was_taken_out_before() {
        let encoded = encode(&tables(3), 9);
        let header = Header::decode(&encoded, 9).unwrap();
        let (at, bytes) = header.frame_refs_at();
        let frame_refs = header.frame_refs(&encoded[size(at)..size(at) + bytes], 9);
        let at: Vec<u64> = frame_refs.unwrap().iter().map(|f| f.at / 1_000).collect();
        assert_eq!(at, [0, 17, 20, 37]);
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let good = encode(&tables(200), 9);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 4;
            let noticed = Header::decode(&bytes, 9).is_none_or(|header| {
                let (frame_refs, len) = header.frame_refs_at();
                let frame_refs = header.frame_refs(&bytes[size(frame_refs)..][..len], 9);
                let (filter, len) = header.filter_at();
                let filter = header.filter(bytes[size(filter)..][..len].to_vec(), 9);
                let is_rotten = |which, page| {
                    let at = size(header.page_at(which, page));
                    let keys = header.keys_on(which, page);
                    look_up(&bytes[at..at + PAGE_BYTES], keys, 1, 9).is_none()
                };
                frame_refs.is_none()
                    || filter.is_none()
                    || (0..header.pages(Which::Ids)).any(|p| is_rotten(Which::Ids, p))
                    || is_rotten(Which::Contents, 0)
            });
            assert!(noticed, "byte {at}");
        }
        assert_eq!(Header::decode(&good, 8), None, "another segment's");
    }
}
