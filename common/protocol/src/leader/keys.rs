//! Where a key is in a long list of keys, in about 24 bytes a key.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use uuid::Uuid;

/// Up to so many keys it is quicker to look at each than to hash one.
const SCANNED: usize = 16;

/// Keys in the order in which they came, found again by their value. Two of these are equal if they have the same keys in
/// the same order.
///
/// The keys lie one after the other, in chunks of `SIZE`, so that the list grows without being copied. Where they are
/// many, the hash table of their offsets is split into `SIZE` tables, so that none takes long to grow.
#[derive(Clone, Default)]
pub(super) struct Keys<const SIZE: usize = 2048> {
    list: List<SIZE>,
    /// Where each key of the list is; `None` while the list is short.
    offsets: Option<Box<Offsets>>,
}

impl Keys {
    /// So many keys have different offsets of 32 bits.
    pub(super) const MOST: usize = u32::MAX as usize;
}

impl<const SIZE: usize> Keys<SIZE> {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many keys came before the last one that is equal to `key`.
    pub(super) fn find(&self, key: Uuid) -> Option<u32> {
        match &self.offsets {
            Some(offsets) => offsets.find(&self.list, key),
            None => self.list.offsets().rfind(|o| self.list.get(*o) == key),
        }
    }

    /// Adds a key, to at most [`Keys::MOST`].
    pub(super) fn push(&mut self, key: Uuid) {
        let offset = self.list.offsets().end;
        self.list.push(key);
        let tables = match self.len() {
            len if len <= SCANNED => return,
            len if len <= 4 * SIZE => 1,
            _ => SIZE,
        };
        match &mut self.offsets {
            Some(offsets) if offsets.tables.len() >= tables => offsets.insert(&self.list, offset),
            _ => self.offsets = Some(Box::new(Offsets::of(&self.list, tables))),
        }
    }

    /// Removes the keys after the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        if len <= SCANNED {
            self.offsets = None;
        }
        if let Some(offsets) = &mut self.offsets {
            for offset in self.list.offsets().skip(len).rev() {
                offsets.remove_last(&self.list, offset);
            }
        }
        self.list.truncate(len);
    }
}

impl<const SIZE: usize> PartialEq for Keys<SIZE> {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl<const SIZE: usize> Eq for Keys<SIZE> {}

impl<const SIZE: usize> Hash for Keys<SIZE> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.list.hash(state);
    }
}

impl<const SIZE: usize> fmt::Debug for Keys<SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.list.offsets().map(|o| self.list.get(o));
        f.debug_list().entries(keys).finish()
    }
}

/// Keys one after the other.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct List<const SIZE: usize> {
    /// `SIZE` keys each.
    chunks: Vec<Box<[Uuid]>>,
    /// The keys that follow, fewer than `SIZE`.
    tail: Vec<Uuid>,
}

impl<const SIZE: usize> List<SIZE> {
    fn len(&self) -> usize {
        self.chunks.len() * SIZE + self.tail.len()
    }

    /// Of all keys, in order.
    fn offsets(&self) -> std::ops::Range<u32> {
        0..self.len() as u32
    }

    fn get(&self, offset: u32) -> Uuid {
        let offset = offset as usize;
        let chunk = self.chunks.get(offset / SIZE);
        chunk.map_or(&self.tail[..], |chunk| chunk)[offset % SIZE]
    }

    fn push(&mut self, key: Uuid) {
        if self.tail.is_empty() && !self.chunks.is_empty() {
            self.tail.reserve_exact(SIZE);
        }
        self.tail.push(key);
        if self.tail.len() == SIZE {
            let chunk = std::mem::take(&mut self.tail);
            self.chunks.push(chunk.into_boxed_slice());
        }
    }

    fn truncate(&mut self, len: usize) {
        while len < self.chunks.len() * SIZE {
            self.tail = self.chunks.pop().unwrap_or_default().into_vec();
        }
        self.tail.truncate(len - self.chunks.len() * SIZE);
    }
}

/// The offsets of the keys of a list, by a hash of the key. The keys themselves are in the list only.
#[derive(Clone)]
struct Offsets {
    /// A random one: clients choose keys, and must not know which of them collide. Nothing seen from outside depends on it.
    hasher: RandomState,
    /// The last offset of each key.
    tables: Vec<HashTable<u32>>,
    /// The offset before that one, of those keys that are there more than once.
    earlier: BTreeMap<u32, u32>,
}

impl Offsets {
    fn of<const SIZE: usize>(list: &List<SIZE>, tables: usize) -> Self {
        let mut offsets = Self {
            hasher: RandomState::new(),
            tables: vec![HashTable::new(); tables],
            earlier: BTreeMap::new(),
        };
        list.offsets().for_each(|o| offsets.insert(list, o));
        offsets
    }

    fn find<const SIZE: usize>(&self, list: &List<SIZE>, key: Uuid) -> Option<u32> {
        let hash = hash(&self.hasher, key);
        let table = &self.tables[table_of(hash, self.tables.len())];
        table.find(hash, |o| list.get(*o) == key).copied()
    }

    /// Adds an offset that is higher than all that are there.
    fn insert<const SIZE: usize>(&mut self, list: &List<SIZE>, offset: u32) {
        let key = list.get(offset);
        let hash_of = |offset: &u32| hash(&self.hasher, list.get(*offset));
        let hash = hash_of(&offset);
        let count = self.tables.len();
        let table = &mut self.tables[table_of(hash, count)];
        if table.len() == table.capacity() {
            // It is going to grow, and will hash each of its keys. Fetched at once they come sooner than one by one.
            let touch = |all, o: &u32| all ^ list.get(*o).as_u128();
            std::hint::black_box(table.iter().fold(0, touch));
        }
        match table.entry(hash, |o| list.get(*o) == key, hash_of) {
            Entry::Vacant(place) => {
                place.insert(offset);
            }
            Entry::Occupied(mut place) => {
                let before = std::mem::replace(place.get_mut(), offset);
                self.earlier.insert(offset, before);
            }
        }
    }

    /// Removes the highest offset that is there.
    fn remove_last<const SIZE: usize>(&mut self, list: &List<SIZE>, offset: u32) {
        let hash = hash(&self.hasher, list.get(offset));
        let count = self.tables.len();
        let table = &mut self.tables[table_of(hash, count)];
        if let Ok(mut place) = table.find_entry(hash, |o| *o == offset) {
            match self.earlier.remove(&offset) {
                Some(before) => *place.get_mut() = before,
                None => drop(place.remove()),
            }
        }
    }
}

fn hash(hasher: &RandomState, key: Uuid) -> u64 {
    hasher.hash_one(key.as_u128())
}

/// Which of `count` tables a hash belongs to. The first table is to have 3/4 of an equal share, the last one 3/2, as the
/// inverse of u(4 - u)/3 grows from 3/4 to 3/2: a table doubles when it is full, and if all of them were of one size, all
/// would do so at nearly the same time, and be half empty after it.
///
/// A table takes the lowest and the seven highest bits of a hash itself; this takes 16 bits between those.
fn table_of(hash: u64, count: usize) -> usize {
    let u = hash >> 32 & 0xffff;
    let share = u * ((4 << 16) - u) / 3;
    ((share * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use proptest::collection::vec;
    use proptest::option::weighted;
    use proptest::prelude::*;

    use super::*;

    fn key(n: usize) -> Uuid {
        Uuid::from_u128(n as u128)
    }

    fn of<const SIZE: usize>(numbers: &[usize]) -> Keys<SIZE> {
        let mut keys = Keys::default();
        numbers.iter().for_each(|n| keys.push(key(*n)));
        keys
    }

    fn hash_of(value: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    }

    fn compare<const SIZE: usize>(keys: &Keys<SIZE>, twin: &[usize]) {
        assert_eq!(keys.len(), twin.len());
        let last: BTreeMap<usize, u32> = twin.iter().copied().zip(0..).collect();
        for n in 0..60 {
            assert_eq!(keys.find(key(n)), last.get(&n).copied(), "{n} in {twin:?}");
        }
    }

    /// Keys come, the same ones again too, and the last ones go.
    fn run<const SIZE: usize>(steps: &[(usize, Option<usize>)]) {
        let (mut keys, mut twin) = (Keys::<SIZE>::default(), Vec::new());
        for (n, cut) in steps {
            keys.push(key(*n));
            twin.push(*n);
            compare(&keys, &twin);
            if let Some(cut) = cut {
                keys.truncate(*cut);
                twin.truncate(*cut);
                compare(&keys, &twin);
            }
        }
        let anew = of::<SIZE>(&twin);
        assert!(keys == anew && hash_of(&keys) == hash_of(&anew));
        assert_eq!(format!("{keys:?}"), format!("{anew:?}"));
        let before = keys.clone();
        compare(&before, &twin);
        keys.push(key(7));
        assert!(keys != before);
        compare(&before, &twin);
    }

    proptest! {
        #[test]
        fn the_last_offset_of_each_key_is_found(
            steps in vec((0..50usize, weighted(0.03, 0..120usize)), 0..250),
        ) {
            run::<1>(&steps);
            run::<3>(&steps);
            run::<8>(&steps);
            run::<64>(&steps);
        }
    }

    #[test]
    fn many_keys_are_found_and_forgotten() {
        let (most, kept) = (20_000, 9_001);
        let mut keys: Keys = of(&(0..most).collect::<Vec<_>>());
        let found = |keys: &Keys, n: usize| keys.find(key(n)).map(|o| o as usize);
        assert!((0..most).all(|n| found(&keys, n) == Some(n)));
        assert!((most..2 * most).all(|n| found(&keys, n).is_none()));
        keys.truncate(kept);
        assert!((0..most).all(|n| found(&keys, n) == Some(n).filter(|n| *n < kept)));
        (kept..most).for_each(|n| keys.push(key(n)));
        assert!((0..most).all(|n| found(&keys, n) == Some(n)));
    }

    #[test]
    fn one_key_that_comes_again_and_again_is_where_it_was_last() {
        let mut keys: Keys = of(&vec![5; 100_000]);
        assert_eq!(keys.find(key(5)), Some(99_999));
        keys.truncate(50_000);
        assert_eq!(keys.find(key(5)), Some(49_999));
    }

    #[test]
    fn a_key_takes_24_bytes_however_many_there_are() {
        let mut keys: Keys = Keys::default();
        for n in 0..400_000 {
            keys.push(key(n));
            if n >= 200_000 && n % 20_000 == 0 {
                let offsets = keys.offsets.as_ref().unwrap();
                let tables = offsets.tables.iter().map(HashTable::allocation_size);
                let bytes = tables.sum::<usize>() + 16 * keys.len();
                assert!(bytes < keys.len() * 25, "{bytes} bytes for {n} keys");
            }
        }
    }

    #[test]
    fn the_last_table_gets_twice_as_much_as_the_first_one() {
        let mut shares = [0; 2048];
        (0..1 << 16).for_each(|u| shares[table_of(u << 32, 2048)] += 1);
        // 32 would be equal shares; a share is cut to a whole number.
        assert!((23..=25).contains(&shares[0]), "{shares:?}");
        assert!((47..=49).contains(&shares[2047]), "{shares:?}");
        assert!(shares.is_sorted_by(|a, b| *a <= b + 1), "{shares:?}");
        assert!((0..1 << 16).all(|u| table_of(u << 32, 1) == 0));
    }

    #[test]
    fn clients_do_not_know_where_a_key_goes() {
        let anew = || hash(&Offsets::of(&List::<1>::default(), 1).hasher, key(1));
        assert_ne!(anew(), anew());
    }
}
