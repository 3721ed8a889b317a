//! The running digest of a log, through appends, truncations, clearings, repairs and restarts, against the digest of all its
//! entries, computed anew each time.

use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::digest::Digest;
use replog_protocol::digests::{Digests, STRIDE};
use replog_protocol::entry::{BatchBuilder, Content, EntryBatch};
use replog_protocol::epochs::EpochTable;
use replog_protocol::ids::{Epoch, Seq};
use replog_protocol::node::ReadError;

use crate::support::journal::{Journal, single};
use crate::support::{epoch, log, message_id};

#[derive(Clone, Debug)]
enum Call {
    /// So many entries become durable, as batches of at most that many.
    Append {
        count: u64,
        batch: u64,
    },
    Truncate {
        back: u64,
    },
    Clear,
    Restart,
    /// Somebody wants to know it at a place in the log, in thousandths.
    Want {
        permille: u64,
    },
    /// The next read is answered.
    Read,
    /// A read that was begun is answered after something else has happened.
    ReadLate(Vec<Call>),
    /// An entry at that place rots, in thousandths, and is written again.
    Repair {
        permille: u64,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let simple = prop_oneof![
        6 => (1..3_000u64, 1..700u64).prop_map(|(count, batch)| Call::Append { count, batch }),
        3 => (1..9u64, 1..40u64).prop_map(|(count, batch)| Call::Append { count, batch }),
        2 => (0..30u64).prop_map(|back| Call::Truncate { back }),
        2 => (0..9_000u64).prop_map(|back| Call::Truncate { back }),
        1 => Just(Call::Clear),
        2 => Just(Call::Restart),
        4 => (0..=1000u64).prop_map(|permille| Call::Want { permille }),
        1 => (0..=1000u64).prop_map(|permille| Call::Repair { permille }),
        5 => Just(Call::Read),
    ];
    simple.prop_recursive(1, 8, 4, |inner| vec(inner, 1..5).prop_map(Call::ReadLate))
}

/// The digests, the journal that they are of, and those of every position.
struct World {
    digests: Digests,
    journal: Journal,
    epochs: EpochTable,
    twin: Vec<Digest>,
    epoch: Epoch,
    ids: u64,
}

impl World {
    fn new() -> Self {
        Self {
            digests: Digests::default(),
            journal: Journal::default(),
            epochs: EpochTable::default(),
            twin: vec![Digest::EMPTY],
            epoch: epoch(1, 1),
            ids: 0,
        }
    }

    fn last(&self) -> Seq {
        self.journal.last()
    }

    fn at(&self, permille: u64) -> Seq {
        Seq(self.last().0 * permille / 1000)
    }

    fn append(&mut self, mut count: u64, batch: u64) {
        while count > 0 {
            let mut builder = BatchBuilder::new(self.last().next(), self.epoch);
            for _ in 0..count.min(batch) {
                self.ids += 1;
                let content = Content::from_text(&"x".repeat((self.ids % 7) as usize));
                builder.push(message_id(self.ids.into()), &content);
            }
            count = count.saturating_sub(batch);
            let batch = builder.finish().unwrap();
            self.epochs.append(self.epoch, batch.last());
            self.journal.entries.extend(single(&batch));
            for object in batch.objects() {
                let before = *self.twin.last().unwrap();
                self.twin.push(before.then(object.as_bytes()));
            }
            self.digests.extend(&batch);
        }
    }

    fn truncate(&mut self, keep: Seq) {
        let keep_entries = usize::try_from(keep.0).unwrap();
        self.journal.entries.truncate(keep_entries);
        self.twin.truncate(keep_entries + 1);
        self.epochs.truncate_after(keep);
        self.digests.truncate_after(keep);
        self.epoch.n += 1;
    }

    /// What is to be read now, as the journal has it now.
    fn begin_read(&mut self) -> Option<(u64, Result<Option<EntryBatch>, ReadError>)> {
        let (last, epochs) = (self.last(), &self.epochs);
        let (number, query) = (self.digests).next_read(last, |seq| epochs.end_of_epoch(seq))?;
        Some((number, self.journal.read(&query)))
    }

    /// Whether there was anything to read.
    fn read(&mut self) -> bool {
        match self.begin_read() {
            Some((number, page)) => {
                self.digests.page(number, page);
                true
            }
            None => false,
        }
    }

    fn want(&mut self, seq: Seq) {
        let damaged = self.journal.damaged.clone();
        self.digests.want(seq, |seq| damaged.contains(&seq));
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Append { count, batch } => self.append(count, batch),
            Call::Truncate { back } => self.truncate(Seq(self.last().0.saturating_sub(back))),
            Call::Clear => self.truncate(Seq::ZERO),
            Call::Restart => self.digests = Digests::default(),
            Call::Want { permille } => self.want(self.at(permille)),
            Call::Read => {
                self.read();
            }
            Call::ReadLate(calls) => {
                let page = self.begin_read();
                calls.into_iter().for_each(|call| self.call(call));
                // The next one may have begun by then.
                let next = self.begin_read();
                for (number, page) in page.into_iter().chain(next) {
                    self.digests.page(number, page);
                }
            }
            Call::Repair { permille } => {
                let seq = self.at(permille).max(Seq(1));
                if seq <= self.last() {
                    self.journal.damaged.insert(seq);
                    self.read();
                    self.journal.damaged.clear();
                    self.digests.truncate_after(seq.prev());
                }
            }
        }
    }

    /// What is known is right, and as much is known as is kept.
    fn check(&self) {
        let end = self.digests.end();
        assert!(end <= self.last());
        for seq in (0..=end.0).map(Seq) {
            let known = self.digests.at(seq);
            assert!(
                known.is_none_or(|d| d == self.twin[seq.0 as usize]),
                "{seq}"
            );
            assert!(known.is_some() || seq.0 % STRIDE != 0, "{seq}");
        }
        assert!(self.digests.at(end).is_some());
        assert_eq!(self.digests.at(end.next()), None);
    }

    /// After a few reads all of it is known.
    fn check_all(&mut self, permille: u64) {
        let seq = self.at(permille);
        let most = 10 + 2 * self.last().0 / 1_000 + self.epochs.starts().len() as u64;
        // What was known when it was wanted may be beyond the newest positions once the rest is.
        for _ in 0..2 {
            self.want(seq);
            let reads = (0..=most).take_while(|_| self.read()).count() as u64;
            assert!(reads <= most, "it reads for ever");
        }
        assert_eq!(self.digests.end(), self.last());
        for seq in [seq, self.last()] {
            let expected = self.twin[seq.0 as usize];
            assert_eq!(self.digests.at(seq), Some(expected), "{seq}");
        }
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_the_digest_of_all_entries(calls in vec(call(), 1..30), permille in 0..=1000u64) {
        let mut world = World::new();
        for call in calls {
            world.call(call);
            world.check();
        }
        world.check_all(permille);
    }
}

/// What a node with a long log has of it in memory.
#[test]
fn the_newest_positions_and_every_mark_are_known_without_reading() {
    let mut world = World::new();
    world.append(5 * STRIDE + 17, 1);
    world.check();
    let end = world.last();
    let known = (0..=end.0).filter(|seq| world.digests.at(Seq(*seq)).is_some());
    let before_newest = 4 * STRIDE;
    let expected = (0..=end.0).filter(|seq| *seq >= before_newest || seq % STRIDE == 0);
    assert!(known.eq(expected), "each of the newest, and the marks");
    // One in between is computed from the entries between its marks, once for all of them.
    world.want(Seq(2 * STRIDE - 1));
    let mut reads = 0;
    while world.read() {
        reads += 1;
    }
    assert!((1..=3).contains(&reads), "{reads}");
    for seq in [STRIDE + 1, STRIDE + 5, 2 * STRIDE - 1] {
        assert_eq!(world.digests.at(Seq(seq)), Some(world.twin[seq as usize]));
        world.want(Seq(seq));
        assert!(!world.read(), "{seq} is known");
    }
}

/// Nothing is read as long as nobody asks; and where an entry cannot be read, not again before that is repaired.
#[test]
fn it_is_read_when_somebody_asks_and_stops_at_a_damaged_entry() {
    let mut world = World::new();
    world.journal = Journal::of(log(1), &[(50, world.epoch)]);
    world.epochs.append(world.epoch, Seq(50));
    for entry in &world.journal.entries {
        let before = *world.twin.last().unwrap();
        world.twin.push(before.then(entry.text()));
    }
    assert!(!world.read(), "nobody asks");
    world.journal.damaged.insert(Seq(20));
    world.want(Seq(50));
    while world.read() {}
    assert_eq!(world.digests.end(), Seq(19));
    world.check();
    world.want(Seq(50));
    assert!(!world.read(), "it is known to be damaged");
    world.journal.damaged.clear();
    world.want(Seq(50));
    while world.read() {}
    world.check_all(1000);
}
