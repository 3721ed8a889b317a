//! Where a key is in a long list of keys: in about 24 bytes a key, and in none for keys that count up.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use uuid::Uuid;

use runs::Runs;

mod runs;

/// Up to so many keys it is quicker to look at each than to hash one.
const SCANNED: usize = 16;
/// After so many keys that count up, those that go on counting are a run.
const COUNTED: u32 = 4;

/// Keys in the order in which they came, found again by their value. Two of these are equal if they have the same keys in
/// the same order.
///
/// Keys of which each is the one before plus one, as a master makes them, are kept as runs. The others lie one after the
/// other, in chunks of `SIZE`, so that the list grows without being copied. Where they are many, the hash table of their
/// indexes is split into `SIZE` tables, so that none takes long to grow.
#[derive(Clone, Default)]
pub(super) struct Keys<const SIZE: usize = 2048> {
    runs: Runs,
    /// The keys that are in no run.
    list: List<SIZE>,
    /// Where each key of the list is; `None` while the list is short.
    indexes: Option<Box<Indexes>>,
    /// So many of the last keys count up, and are in the list.
    counted: u32,
}

impl Keys {
    /// So many keys have different offsets of 32 bits.
    pub(super) const MOST: usize = u32::MAX as usize;
}

impl<const SIZE: usize> Keys<SIZE> {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.runs.len() as usize + self.list.len()
    }

    /// How many keys came before the last one that is equal to `key`.
    pub(super) fn find(&self, key: Uuid) -> Option<u32> {
        let listed = match &self.indexes {
            Some(indexes) => indexes.find(&self.list, key),
            None => self.list.indexes().rfind(|i| self.list.get(*i) == key),
        };
        let listed = listed.map(|index| self.runs.offset_of_listed(index));
        listed.max(self.runs.find(key))
    }

    /// Adds a key, to at most [`Keys::MOST`].
    pub(super) fn push(&mut self, key: Uuid) {
        let listed = self.list.len() as u32;
        if self.runs.extend(key, listed) {
            return;
        }
        let is_counted = (self.list.last()).is_some_and(|last| {
            self.runs.ends_before(listed) && last.as_u128().checked_add(1) == Some(key.as_u128())
        });
        if is_counted && self.counted >= COUNTED && self.runs.begin(key, listed) {
            self.counted = 0;
            return;
        }
        self.counted = if is_counted { self.counted + 1 } else { 1 };
        self.push_listed(key);
    }

    fn push_listed(&mut self, key: Uuid) {
        let index = self.list.indexes().end;
        self.list.push(key);
        let tables = match self.list.len() {
            len if len <= SCANNED => return,
            len if len <= 4 * SIZE => 1,
            _ => SIZE,
        };
        match &mut self.indexes {
            Some(indexes) if indexes.tables.len() >= tables => indexes.insert(&self.list, index),
            _ => self.indexes = Some(Box::new(Indexes::of(&self.list, tables))),
        }
    }

    /// Removes the keys after the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        // Fewer than 2^32 keys, all of them.
        self.runs.truncate(len as u32);
        let listed = len - self.runs.len() as usize;
        if listed <= SCANNED {
            self.indexes = None;
        }
        if let Some(indexes) = &mut self.indexes {
            for index in self.list.indexes().skip(listed).rev() {
                indexes.remove_last(&self.list, index);
            }
        }
        self.list.truncate(listed);
        self.counted = 0;
    }

    /// Every key, in order.
    fn iter(&self) -> impl Iterator<Item = Uuid> {
        let listed = self.list.indexes().map(|i| {
            let offset = self.runs.offset_of_listed(i);
            (offset, self.list.get(i))
        });
        let mut all: Vec<(u32, Uuid)> = listed.chain(self.runs.iter()).collect();
        all.sort_unstable_by_key(|(offset, _)| *offset);
        all.into_iter().map(|(_, key)| key)
    }
}

impl<const SIZE: usize> PartialEq for Keys<SIZE> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<const SIZE: usize> Eq for Keys<SIZE> {}

impl<const SIZE: usize> Hash for Keys<SIZE> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|key| key.hash(state));
    }
}

impl<const SIZE: usize> fmt::Debug for Keys<SIZE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Keys one after the other.
#[derive(Clone, Default)]
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
    fn indexes(&self) -> std::ops::Range<u32> {
        0..self.len() as u32
    }

    fn get(&self, index: u32) -> Uuid {
        let index = index as usize;
        let chunk = self.chunks.get(index / SIZE);
        chunk.map_or(&self.tail[..], |chunk| chunk)[index % SIZE]
    }

    fn last(&self) -> Option<Uuid> {
        let last = self.indexes().last();
        last.map(|index| self.get(index))
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

/// Where each key of a list is, by a hash of the key. The keys themselves are in the list only.
#[derive(Clone)]
struct Indexes {
    /// A random one: clients choose keys, and must not know which of them collide. Nothing seen from outside depends on it.
    hasher: RandomState,
    /// The last index of each key.
    tables: Vec<HashTable<u32>>,
    /// The index before that one, of those keys that are there more than once.
    earlier: BTreeMap<u32, u32>,
}

impl Indexes {
    fn of<const SIZE: usize>(list: &List<SIZE>, tables: usize) -> Self {
        let mut indexes = Self {
            hasher: RandomState::new(),
            tables: vec![HashTable::new(); tables],
            earlier: BTreeMap::new(),
        };
        list.indexes().for_each(|o| indexes.insert(list, o));
        indexes
    }

    fn find<const SIZE: usize>(&self, list: &List<SIZE>, key: Uuid) -> Option<u32> {
        let hash = hash(&self.hasher, key);
        let table = &self.tables[table_of(hash, self.tables.len())];
        table.find(hash, |o| list.get(*o) == key).copied()
    }

    /// Adds an index that is higher than all that are there.
    fn insert<const SIZE: usize>(&mut self, list: &List<SIZE>, index: u32) {
        let key = list.get(index);
        let hash_of = |index: &u32| hash(&self.hasher, list.get(*index));
        let hash = hash_of(&index);
        let count = self.tables.len();
        let table = &mut self.tables[table_of(hash, count)];
        if table.len() == table.capacity() {
            // It is going to grow, and will hash each of its keys. Fetched at once they come sooner than one by one.
            let touch = |all, o: &u32| all ^ list.get(*o).as_u128();
            std::hint::black_box(table.iter().fold(0, touch));
        }
        match table.entry(hash, |o| list.get(*o) == key, hash_of) {
            Entry::Vacant(place) => {
                place.insert(index);
            }
            Entry::Occupied(mut place) => {
                let before = std::mem::replace(place.get_mut(), index);
                self.earlier.insert(index, before);
            }
        }
    }

    /// Removes the highest index that is there.
    fn remove_last<const SIZE: usize>(&mut self, list: &List<SIZE>, index: u32) {
        let hash = hash(&self.hasher, list.get(index));
        let count = self.tables.len();
        let table = &mut self.tables[table_of(hash, count)];
        if let Ok(mut place) = table.find_entry(hash, |o| *o == index) {
            match self.earlier.remove(&index) {
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
            bursts in vec((0..50usize, 0..9usize, weighted(0.05, 0..120usize)), 0..80),
        ) {
            let steps: Vec<_> = bursts.into_iter().flat_map(|(first, more, cut)| {
                let counted = (first..first + more).map(|n| (n, None));
                counted.chain([(first + more, cut)])
            }).collect();
            run::<1>(&steps);
            run::<3>(&steps);
            run::<8>(&steps);
            run::<64>(&steps);
        }
    }

    #[test]
    fn many_keys_are_found_and_forgotten() {
        let (most, kept) = (20_000, 9_001);
        let spread = |n: usize| key(n * 3);
        let mut keys: Keys = of(&(0..most).map(|n| n * 3).collect::<Vec<_>>());
        let found = |keys: &Keys, n: usize| keys.find(spread(n)).map(|o| o as usize);
        assert!((0..most).all(|n| found(&keys, n) == Some(n)));
        assert!((most..2 * most).all(|n| found(&keys, n).is_none()));
        keys.truncate(kept);
        assert!((0..most).all(|n| found(&keys, n) == Some(n).filter(|n| *n < kept)));
        (kept..most).for_each(|n| keys.push(spread(n)));
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
            keys.push(key(n * 3));
            if n >= 200_000 && n % 20_000 == 0 {
                let offsets = keys.indexes.as_ref().unwrap();
                let tables = offsets.tables.iter().map(HashTable::allocation_size);
                let bytes = tables.sum::<usize>() + 16 * keys.len();
                assert!(bytes < keys.len() * 25, "{bytes} bytes for {n} keys");
            }
        }
    }

    #[test]
    fn keys_that_count_up_take_no_memory() {
        let mut keys: Keys = Keys::default();
        // Several series, as of several lives of a master, and single keys between them.
        for series in 0..10 {
            (0..50_000).for_each(|n| keys.push(key(series << 32 | n)));
            keys.push(key(series << 32 | 1 << 31));
        }
        assert_eq!((keys.len(), keys.list.len()), (500_010, 10 * 5));
        assert_eq!(keys.find(key(7 << 32 | 49_999)), Some(7 * 50_001 + 49_999));
        assert_eq!(keys.find(key(7 << 32 | 50_000)), None);
        assert_eq!(keys.find(key(7 << 32 | 1 << 31)), Some(8 * 50_001 - 1));
        keys.truncate(7 * 50_001 + 10);
        assert_eq!(keys.find(key(7 << 32 | 10)), None);
        assert_eq!(keys.find(key(7 << 32 | 9)), Some(7 * 50_001 + 9));
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
        let anew = || hash(&Indexes::of(&List::<1>::default(), 1).hasher, key(1));
        assert_ne!(anew(), anew());
    }
}
