//! How one chunk gets into a JetStream stream and is known to be there: the real [`ChunkWriter`]s of two masters, and a stream as a
//! value that behaves as nats-server does. It compares what is expected with what its leader has *proposed*; its leader may die with
//! what it has proposed; answers are lost, copies come late and twice, and a replica that is read may lag.
//!
//! The first master leads and writes; the second claims the position after the last chunk that it has read, whenever it likes.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use replog_model::cluster::fingerprint;
use replog_model::cluster::moments::{MARK, hash_relative};
use replog_protocol::chunk::{ChunkHead, ChunkId, ChunkKind, ChunkSeq};
use replog_protocol::chunk_writer::{ChunkWriter, Fate, Refusal, Todo};
use replog_protocol::ids::{MasterId, Time};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use uuid::Uuid;

const RETRY: Duration = Duration::from_secs(1);
const BEFORE: u64 = 1_000;
/// Chunks that each master wants in the stream, one after the other.
const WANTED: [u64; 2] = [2, 1];
/// Copies of each chunk of a master that are sent, at most.
const MOST_COPIES: [u32; 2] = [2, 1];

/// A copy of a chunk, and the last position that it expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Copy {
    id: ChunkId,
    number: u32,
    expected: u64,
}

/// What the stream says to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Said {
    Acknowledged(u64),
    WrongLast(u64),
}

/// A master, as far as its chunks go.
#[derive(Clone, Debug)]
struct Master {
    id: MasterId,
    now: Time,
    /// It has carried out everything up to here, and what it writes comes after that.
    position: u64,
    made: u64,
    writer: Option<ChunkWriter>,
    stored: BTreeSet<(u64, ChunkId)>,
    taken: BTreeSet<ChunkId>,
    lost: bool,
}

impl Master {
    fn content(&self) -> impl Hash + '_ {
        let Self {
            id,
            now: _,
            position,
            made,
            writer,
            stored,
            taken,
            lost,
        } = self;
        (id, position, made, writer, stored, taken, lost)
    }
}

#[derive(Clone, Debug)]
struct World {
    masters: [Master; 2],
    committed: Vec<ChunkId>,
    proposed: Vec<(ChunkId, u32)>,
    under_way: BTreeSet<Copy>,
    answers: BTreeSet<(ChunkId, u32, Said)>,
    /// The copies that were refused once: another refusal tells nothing new.
    refused: BTreeSet<(ChunkId, u32)>,
    deaths: u8,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, into: &mut H) {
        for master in &self.masters {
            hash_relative(&master.content(), master.now, RETRY, into);
        }
        (&self.committed, &self.proposed).hash(into);
        (&self.under_way, &self.answers, &self.refused, self.deaths).hash(into);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The master hands out its next chunk.
    Write(usize),
    /// The time until the next try passes, and it is made.
    Pass(usize),
    /// A copy reaches the leader of the stream; it stays under way, and may come again.
    Arrive(Copy),
    /// The first proposed chunk is committed.
    Commit,
    /// The leader dies, and what it has proposed with it.
    Die,
    /// An answer arrives.
    Answer(ChunkId, u32, Said),
    /// A replica is asked for the chunk's own position: one that is up to date, or one that lags.
    Read(usize, bool),
    /// The second master reads the next chunk.
    Follow(usize),
}

#[derive(Clone, Debug)]
struct Chunks;

fn id(master: usize, n: u64) -> ChunkId {
    ChunkId {
        master: MasterId(Uuid::from_u128(master as u128 + 1)),
        n,
    }
}

impl World {
    fn end(&self) -> u64 {
        BEFORE + self.committed.len() as u64
    }

    fn master_of(&self, chunk: ChunkId) -> usize {
        usize::from(chunk.master == self.masters[1].id)
    }

    fn at(&self, seq: u64) -> Option<ChunkId> {
        let place = usize::try_from(seq.checked_sub(BEFORE + 1)?).ok()?;
        self.committed.get(place).copied()
    }

    /// Whatever the writer wants done by now.
    fn work(&mut self, m: usize) {
        let master = &mut self.masters[m];
        let Some(writer) = &mut master.writer else {
            return;
        };
        while let Some(todo) = writer.todo(master.now) {
            if let Todo::Publish(number) = todo {
                let copy = Copy {
                    id: id(m, master.made),
                    number,
                    expected: writer.seq().0 - 1,
                };
                if number <= MOST_COPIES[m] {
                    self.under_way.insert(copy);
                }
            }
        }
    }

    fn settle(&mut self, m: usize, fate: Fate) {
        let master = &mut self.masters[m];
        let Some(writer) = master.writer.take() else {
            return;
        };
        let chunk = id(m, master.made);
        // What else is said to it is not looked at any more, but for an acknowledgement, which may be taken for that of another.
        let is_of_use = |(of, _, said): &(ChunkId, u32, Said)| {
            *of != chunk || matches!(said, Said::Acknowledged(_))
        };
        self.answers.retain(is_of_use);
        match fate {
            Fate::Stored => {
                master.position = writer.seq().0;
                master.stored.insert((writer.seq().0, chunk));
            }
            Fate::Taken => drop(master.taken.insert(chunk)),
            Fate::Full | Fate::Lost(_) => master.lost = true,
        }
    }
}

impl Model for Chunks {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let master = |m| Master {
            id: id(m, 0).master,
            now: Time(MARK),
            position: BEFORE,
            made: 0,
            writer: None,
            stored: BTreeSet::new(),
            taken: BTreeSet::new(),
            lost: false,
        };
        vec![World {
            masters: [master(0), master(1)],
            committed: Vec::new(),
            proposed: Vec::new(),
            under_way: BTreeSet::new(),
            answers: BTreeSet::new(),
            refused: BTreeSet::new(),
            deaths: 0,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (m, master) in world.masters.iter().enumerate() {
            match &master.writer {
                None => {
                    // Who has lost its turn does not write any more.
                    if master.made < WANTED[m] && master.taken.is_empty() && !master.lost {
                        steps.push(Step::Write(m));
                    }
                    // The one that claims first reads what is there.
                    if m == 1 && master.made == 0 && world.at(master.position + 1).is_some() {
                        steps.push(Step::Follow(m));
                    }
                }
                Some(_) => {
                    let sent = world
                        .under_way
                        .iter()
                        .filter(|c| c.id == id(m, master.made));
                    if sent.count() < MOST_COPIES[m] as usize {
                        steps.push(Step::Pass(m));
                    }
                    steps.extend([true, false].map(|is_fresh| Step::Read(m, is_fresh)));
                }
            }
        }
        steps.extend(world.under_way.iter().copied().map(Step::Arrive));
        if !world.proposed.is_empty() {
            steps.push(Step::Commit);
            if world.deaths < 1 {
                steps.push(Step::Die);
            }
        }
        let answers = world.answers.iter();
        steps.extend(answers.map(|(chunk, number, said)| Step::Answer(*chunk, *number, *said)));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Write(m) => {
                let master = &mut world.masters[m];
                master.made += 1;
                let head = ChunkHead {
                    after: ChunkSeq(master.position),
                    id: id(m, master.made),
                    prev: None,
                    kind: ChunkKind::Write,
                };
                let writer = ChunkWriter::new(&head, RETRY, master.now);
                master.writer = Some(writer);
                world.work(m);
            }
            Step::Pass(m) => {
                world.masters[m].now = world.masters[m].now + RETRY;
                world.work(m);
            }
            Step::Arrive(copy) => {
                let last = world.end() + world.proposed.len() as u64;
                let said = match copy.expected == last {
                    true => {
                        world.proposed.push((copy.id, copy.number));
                        None
                    }
                    false => Some(Said::WrongLast(last)),
                };
                if let Some(said) = said
                    && world.refused.insert((copy.id, copy.number))
                {
                    world.answers.insert((copy.id, copy.number, said));
                }
            }
            Step::Commit => {
                let (chunk, number) = world.proposed.remove(0);
                world.committed.push(chunk);
                let said = Said::Acknowledged(world.end());
                world.answers.insert((chunk, number, said));
            }
            Step::Die => {
                world.deaths += 1;
                world.proposed.clear();
            }
            Step::Answer(chunk, number, said) => {
                world.answers.remove(&(chunk, number, said));
                let m = world.master_of(chunk);
                let master = &mut world.masters[m];
                // The answer to another chunk is none to this one.
                let is_current = chunk == id(m, master.made);
                let writer = master.writer.as_mut().filter(|_| is_current)?;
                let fate = match said {
                    Said::Acknowledged(seq) => Some(writer.acknowledged(ChunkSeq(seq))),
                    Said::WrongLast(last) => {
                        let why = Refusal::WrongLast(Some(ChunkSeq(last)));
                        writer.refused(why, master.now)
                    }
                };
                match fate {
                    Some(fate) => world.settle(m, fate),
                    None => world.work(m),
                }
            }
            Step::Read(m, is_fresh) => {
                let seq = world.masters[m].writer.as_ref()?.seq();
                let found = world.at(seq.0).filter(|_| is_fresh)?;
                let writer = world.masters[m].writer.as_mut()?;
                let fate = writer.read_back(seq, Some(found));
                world.settle(m, fate);
            }
            Step::Follow(m) => world.masters[m].position += 1,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is known to be stored is", |_, w: &World| {
                let mut all = w.masters.iter().flat_map(|m| &m.stored);
                all.all(|(seq, chunk)| w.at(*seq) == Some(*chunk))
            }),
            Property::always("what was refused never is", |_, w: &World| {
                let mut all = w.masters.iter().flat_map(|m| &m.taken);
                all.all(|chunk| !w.committed.contains(chunk))
            }),
            Property::always("each chunk is there once", |_, w: &World| {
                let all: BTreeSet<&ChunkId> = w.committed.iter().collect();
                all.len() == w.committed.len()
            }),
            Property::always(
                "nothing of the former master follows a claim",
                |_, w: &World| {
                    let claimed = w.committed.iter().position(|c| *c == id(1, 1));
                    let after = claimed.map_or(&[][..], |at| &w.committed[at..]);
                    after.iter().all(|c| c.master == w.masters[1].id)
                },
            ),
            Property::always("nobody takes the stream for another one", |_, w: &World| {
                w.masters.iter().all(|m| !m.lost)
            }),
            Property::sometimes("everything is stored", |_, w: &World| {
                w.masters
                    .iter()
                    .zip(WANTED)
                    .all(|(m, wanted)| m.stored.len() as u64 == wanted)
            }),
            Property::sometimes("the former master is refused", |_, w: &World| {
                !w.masters[0].taken.is_empty()
            }),
            Property::sometimes("a claim is refused", |_, w: &World| {
                w.masters[1].taken.contains(&id(1, 1))
            }),
            Property::sometimes(
                "a proposed chunk is lost, and stored after all",
                |_, w: &World| {
                    w.deaths > 0 && w.masters[0].stored.contains(&(BEFORE + 1, id(0, 1)))
                },
            ),
        ]
    }
}

#[test]
fn what_a_master_believes_of_its_chunks_is_so() {
    let checker = Chunks.checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_dfs().join();
    println!("{} states", checker.unique_state_count());
    for property in Chunks.properties() {
        let found = checker.discoveries().remove(property.name);
        match (property.expectation, found) {
            (Expectation::Sometimes, None) => panic!("{:?} never happens", property.name),
            (Expectation::Always, Some(path)) => {
                let steps = path.into_actions();
                panic!("{:?} is broken by {steps:#?}", property.name);
            }
            _ => {}
        }
    }
    assert!(checker.is_done(), "cut short");
    assert_eq!(
        checker.unique_state_count(),
        389_265,
        "the number of states has changed"
    );
}
