//! Masters that share a journal: who stands by, who claims, and what becomes of the one that has lost its turn.

use replog_protocol::chunk::{ChunkKind, ChunkSeq, MAX_CHUNK_BATCHES};
use replog_protocol::entry::EntryBatch;
use replog_protocol::event::Event;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::leader::command::{Answer, AppendError, Command, Unavailable, WaitEnd};
use replog_protocol::leader::phase::Phase;
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{End, Input, LinkState, Node, StreamEvent, WriteJob, WriteResult};
use replog_protocol::node_url::NodeUrl;
use replog_protocol::wire::{Ack, HeartbeatNumber, MasterState, Message};

use crate::support::journal::Journal;
use crate::support::{
    Client, MAX_PAYLOAD, at, cleared, epoch, hello, leader_config, leadership, log, master, ms,
    request,
};

/// The chunks of a stream. What several masters write comes to this.
#[derive(Debug, Default)]
struct Stream(Vec<WriteJob>);

/// The position before the first chunk.
const BEFORE: ChunkSeq = ChunkSeq(1_000_000);

impl Stream {
    fn last(&self) -> ChunkSeq {
        ChunkSeq(BEFORE.0 + self.0.len() as u64)
    }

    /// Takes a chunk that is for the position after the last one.
    fn take(&mut self, job: &WriteJob) -> bool {
        let head = job.chunk.as_ref().expect("a chunk");
        let fits = head.after == self.last();
        if fits {
            self.0.push(job.clone());
        }
        fits
    }

    fn after(&self, position: ChunkSeq) -> Option<WriteJob> {
        let place = usize::try_from(position.0 - BEFORE.0).expect("few");
        self.0.get(place).cloned()
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kind = |job: &WriteJob| match job.chunk.as_ref().expect("a chunk").kind {
            ChunkKind::Claim { .. } => "claim",
            ChunkKind::Write => "write",
            ChunkKind::MoveIn { .. } => "move_in",
        };
        self.0.iter().map(kind).collect()
    }
}

/// One master, its own storage, and what it has handed to the stream.
struct Process {
    node: Leader<Client>,
    own: Journal,
    chunk: Option<WriteJob>,
    replies: Vec<(Client, Answer)>,
    sent: Vec<Message>,
    events: Vec<Event>,
    follows: Option<ChunkSeq>,
    end: Option<End>,
}

fn config(n: u128) -> LeaderConfig {
    LeaderConfig {
        shares_journal: true,
        url: NodeUrl::new(&format!("http://m{n}:8000")),
        ..leader_config(n, None)
    }
}

impl Process {
    fn start(n: u128, own: Journal, stream: &Stream, now: Time) -> Self {
        Self::with(config(n), own, stream, now)
    }

    fn with(config: LeaderConfig, own: Journal, stream: &Stream, now: Time) -> Self {
        let mut process = Self {
            node: Leader::new(config, own.restored()),
            own,
            chunk: None,
            replies: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            follows: None,
            end: None,
        };
        let max_payload = MAX_PAYLOAD;
        process.step(Input::Link(LinkState::Up { max_payload }), now);
        let opened = StreamEvent::Opened {
            before: BEFORE,
            last: stream.last(),
        };
        process.step(Input::Stream(opened), now);
        process
    }

    fn step(&mut self, input: Input<Command<Client>>, now: Time) {
        self.node.step(input, now);
        for _ in 0..1000 {
            let ready = self.node.ready(now);
            if ready.is_empty() {
                return;
            }
            if let Some(after) = ready.follow {
                assert_eq!(self.follows.replace(after), None, "told once");
            }
            self.replies
                .extend(ready.replies.into_iter().map(|r| (r.waiter, r.answer)));
            self.sent
                .extend(ready.messages.into_iter().map(|o| o.message));
            self.events.extend(ready.events);
            self.end = self.end.take().or(ready.end);
            match ready.write {
                Some(job) if job.chunk.is_some() => {
                    assert!(self.chunk.is_none(), "one chunk at a time");
                    self.chunk = Some(job);
                }
                Some(job) => {
                    let result = self.own.write(job);
                    self.node.step(Input::Written(result), now);
                }
                None => {}
            }
            for read in ready.reads {
                let entries = self.own.read(&read.query);
                let purpose = read.purpose;
                let page = replog_protocol::node::Page { purpose, entries };
                self.node.step(Input::Page(page), now);
            }
            if self.end.is_some() {
                return;
            }
        }
        panic!("it always wants something done");
    }

    /// The chunk on its way reaches the stream, and the answer comes back: whether it was taken.
    fn write(&mut self, stream: &mut Stream, now: Time) -> bool {
        let job = self.chunk.take().expect("a chunk is on its way");
        let is_taken = stream.take(&job);
        let result = match is_taken {
            true => self.own.write(job),
            false => WriteResult::Conflict,
        };
        self.step(Input::Written(result), now);
        is_taken
    }

    /// All that is on its way is written.
    fn write_all(&mut self, stream: &mut Stream, now: Time) {
        for _ in 0..100 {
            if self.chunk.is_none() {
                return;
            }
            self.write(stream, now);
        }
        panic!("there is always one more chunk: {:?}", self.chunk);
    }

    /// Time passes, and what is to be written is.
    fn pass(&mut self, stream: &mut Stream, from: Time, millis: u64) -> Time {
        let mut now = from;
        for _ in 0..millis.div_ceil(100) {
            now = now + ms(100);
            self.step(Input::Tick, now);
            self.write_all(stream, now);
        }
        now
    }

    /// What stands in the stream is told, to its end.
    fn follow(&mut self, stream: &Stream, now: Time) {
        while self.end.is_none()
            && self.chunk.is_none()
            && let Some(job) = stream.after(self.position())
        {
            self.step(Input::Stream(StreamEvent::Chunk(Box::new(job))), now);
        }
        if self.chunk.is_none() && self.end.is_none() {
            self.step(Input::Stream(StreamEvent::AtEnd), now);
        }
    }

    fn position(&self) -> ChunkSeq {
        let shared = self.node.shared_journal().expect("it shares its journal");
        shared.position().expect("the stream is open")
    }

    fn post(&mut self, client: u32, w: u64, now: Time) {
        let append = request(client.into(), w, client);
        self.step(Input::Client(Command::Append(append)), now);
    }

    fn answer(&self, client: u32) -> Option<&Answer> {
        let mut all = self.replies.iter().rev();
        all.find(|(c, _)| *c == Client(client)).map(|(_, a)| a)
    }

    fn is_standby(&self) -> bool {
        matches!(self.node.phase(), Phase::Standby(_))
    }

    fn serves(&self) -> bool {
        matches!(self.node.phase(), Phase::Serving)
    }

    fn announced(&mut self) -> Vec<MasterState> {
        let sent = std::mem::take(&mut self.sent).into_iter();
        sent.filter_map(|m| match m {
            Message::Announcement(a) => Some(a.state),
            _ => None,
        })
        .collect()
    }
}

/// A master that has claimed an empty stream and serves, with nobody else there, since `now`.
fn active(n: u128, stream: &mut Stream, now: Time) -> Process {
    let mut process = Process::start(n, Journal::default(), stream, now);
    process.follow(stream, now);
    process.write_all(stream, now);
    process.pass(stream, now, 3100); // an empty history: it waits for others as ever
    assert!(process.serves(), "{:?}", process.node.phase());
    process
}

/// It hears nothing for so long that it claims the journal.
fn suspects(process: &mut Process, stream: &Stream, now: Time) -> Time {
    let mut t = now;
    for _ in 0..120 {
        t = t + ms(50);
        process.step(Input::Tick, t);
        process.follow(stream, t);
        if process.chunk.is_some() {
            return t;
        }
    }
    panic!("it claims nothing");
}

#[test]
fn the_first_master_claims_an_empty_stream_and_serves() {
    let mut stream = Stream::default();
    let mut first = Process::start(1, Journal::default(), &stream, at(0));
    assert_eq!(first.follows, Some(BEFORE));
    assert!(first.is_standby());
    first.post(9, 1, at(0));
    assert_eq!(
        first.answer(9),
        Some(&Answer::Refused(AppendError::Standby { active: None }))
    );
    first.follow(&stream, at(10));
    assert!(first.write(&mut stream, at(11)));
    first.pass(&mut stream, at(11), 3100);
    assert!(first.serves());
    assert_eq!(
        stream.kinds(),
        ["claim", "write"],
        "the second begins the history"
    );
    first.post(1, 1, at(3300));
    assert_eq!(
        first.answer(1),
        None,
        "nothing is answered before it is in the stream"
    );
    assert_eq!(first.node.log().durable(), Seq::ZERO);
    assert!(first.write(&mut stream, at(3301)));
    assert!(matches!(first.answer(1), Some(Answer::Replicated { .. })));
}

#[test]
fn of_two_that_claim_at_once_one_gets_it_and_the_other_stands_by() {
    let mut stream = Stream::default();
    let mut one = Process::start(1, Journal::default(), &stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(0));
    one.follow(&stream, at(1));
    two.follow(&stream, at(1));
    assert!(one.chunk.is_some() && two.chunk.is_some(), "both claim");
    assert!(two.write(&mut stream, at(2)));
    assert!(!one.write(&mut stream, at(3)));
    assert!(one.is_standby() && !two.is_standby());
    one.follow(&stream, at(4));
    one.post(1, 1, at(5));
    let active = NodeUrl::new("http://m2:8000");
    assert_eq!(
        one.answer(1),
        Some(&Answer::Refused(AppendError::Standby { active }))
    );
}

#[test]
fn a_standby_follows_and_shows_and_takes_over_with_all_of_it() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    for client in 1..=3 {
        one.post(client, 1, at(3300));
    }
    one.write_all(&mut stream, at(3301));
    two.follow(&stream, at(3302));
    assert_eq!(two.node.log().durable(), Seq(3));
    assert_eq!(two.own.entries, one.own.entries);
    assert_eq!(two.node.leadership(), one.node.leadership());
    assert!(two.chunk.is_none(), "somebody leads");

    let now = suspects(&mut two, &stream, at(3302));
    assert!(
        now >= at(3302) + ms(1000),
        "two heartbeats, at least: {now:?}"
    );
    assert!(now <= at(3302) + ms(1500), "not much longer: {now:?}");
    assert!(two.write(&mut stream, now));
    two.pass(&mut stream, now, 600);
    assert!(two.serves());
    assert!(two.node.leadership().epoch > one.node.leadership().epoch);
    // A client's retry meets what the former master has acknowledged.
    let retry = request(2, 1, 7);
    two.step(Input::Client(Command::Append(retry)), now + ms(601));
    let Some(Answer::Replicated { appended, .. }) = two.answer(7) else {
        panic!("{:?}", two.answer(7));
    };
    assert!(
        appended.duplicate && appended.first == Seq(2),
        "{appended:?}"
    );
}

#[test]
fn a_sign_of_life_keeps_the_others_from_claiming_and_a_farewell_invites_them() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    one.announced();
    let mut now = at(3200);
    for _ in 0..40 {
        now = now + ms(100);
        one.step(Input::Tick, now);
        for message in std::mem::take(&mut one.sent) {
            if matches!(message, Message::Announcement(_)) {
                two.step(Input::Message(message), now);
            }
        }
        two.step(Input::Tick, now);
        two.follow(&stream, now);
        assert!(two.chunk.is_none(), "somebody leads and lives");
    }
    one.step(Input::Stop, now);
    let farewell = one.sent.pop().expect("its last message");
    let is_farewell =
        |m: &Message| matches!(m, Message::Announcement(a) if a.state == MasterState::Stopping);
    assert!(is_farewell(&farewell), "{farewell:?}");
    assert_eq!(one.end, Some(End::Stopped));
    two.step(Input::Message(farewell), now);
    assert!(two.chunk.is_some(), "at once");
    assert!(two.write(&mut stream, now));
}

#[test]
fn a_farewell_of_somebody_else_invites_nobody() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    let mut three = Process::start(3, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    three.follow(&stream, at(3200));
    three.step(Input::Stop, at(3250));
    assert!(
        three.announced().is_empty(),
        "one that stands by has nothing to hand over"
    );
    one.step(Input::Stop, at(3260));
    let Some(Message::Announcement(mut farewell)) = one.sent.pop() else {
        panic!("its last message");
    };
    farewell.leader.epoch.master = master(3);
    two.step(Input::Message(Message::Announcement(farewell)), at(3261));
    assert!(two.chunk.is_none());
}

#[test]
fn a_master_that_was_overtaken_says_exactly_what_it_has_not_appended() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    one.post(1, 2, at(3250)); // in the stream, and waits for a second node
    one.write_all(&mut stream, at(3251));
    two.follow(&stream, at(3252));
    let now = suspects(&mut two, &stream, at(3252));
    assert!(two.write(&mut stream, now));

    one.post(2, 1, now); // in a chunk that is refused
    one.post(3, 1, now); // in the queue
    assert!(!one.write(&mut stream, now));
    let fenced = Answer::Refused(AppendError::Unavailable(Unavailable::Fenced));
    assert_eq!(one.answer(2), Some(&fenced));
    assert_eq!(one.answer(3), Some(&fenced));
    let because = WaitEnd::Fenced;
    assert!(
        matches!(one.answer(1), Some(Answer::NotReplicated { because: b, .. }) if *b == because),
        "it is in the log: {:?}",
        one.answer(1)
    );
    assert!(one.is_standby());
    assert_eq!(one.node.log().last().seq, Seq(1));
    one.follow(&stream, now);
    assert_eq!(one.own.entries, two.own.entries);
    assert!(one.events.iter().any(|e| matches!(e, Event::Fenced { .. })));
    // Its turn may come again, with another epoch.
    let again = suspects(&mut one, &stream, now);
    assert!(one.write(&mut stream, again));
    one.pass(&mut stream, again, 600);
    assert!(one.serves());
    one.post(4, 1, again + ms(700));
    one.write_all(&mut stream, again + ms(700));
    assert!(matches!(one.answer(4), Some(Answer::Replicated { .. })));
}

#[test]
fn an_idle_master_sees_that_it_was_overtaken() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    let now = suspects(&mut two, &stream, at(3200));
    assert!(two.write(&mut stream, now));
    one.follow(&stream, now);
    assert!(one.is_standby());
    assert_eq!(one.node.leadership().epoch.master, master(2));
}

#[test]
fn a_clearing_that_was_not_taken_has_not_happened() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    let now = suspects(&mut two, &stream, at(3200));
    assert!(two.write(&mut stream, now));
    let before = one.node.leadership().log_id;
    let waiter = Client(5);
    let log_id = log(77);
    one.step(Input::Client(Command::Clear { log_id, waiter }), now);
    assert_eq!(one.answer(5), None);
    assert!(!one.write(&mut stream, now));
    let fenced = Answer::Refused(AppendError::Unavailable(Unavailable::Fenced));
    assert_eq!(one.answer(5), Some(&fenced));
    one.follow(&stream, now);
    assert_eq!(one.node.leadership().log_id, before);
    assert_eq!(one.node.log().last().seq, Seq(1));
    // What was in the log before is known to be there again.
    let again = suspects(&mut one, &stream, now);
    assert!(one.write(&mut stream, again));
    one.pass(&mut stream, again, 600);
    one.step(
        Input::Client(Command::Append(request(1, 1, 8))),
        again + ms(700),
    );
    one.write_all(&mut stream, again + ms(700));
    let Some(Answer::Replicated { appended, .. }) = one.answer(8) else {
        panic!("{:?}", one.answer(8));
    };
    assert!(appended.duplicate, "{appended:?}");
}

#[test]
fn a_clearing_that_was_taken_is_told_and_followed() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    let waiter = Client(5);
    let log_id = log(77);
    one.step(Input::Client(Command::Clear { log_id, waiter }), at(3300));
    one.write_all(&mut stream, at(3300));
    assert!(matches!(one.answer(5), Some(Answer::Cleared(_))));
    two.follow(&stream, at(3301));
    assert_eq!(two.node.leadership().log_id, log(77));
    assert!(two.own.entries.is_empty());
    assert!(two.chunk.is_none() && two.is_standby());
}

#[test]
fn the_word_of_a_secondary_makes_a_master_claim_again_above_it() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let leadership = one.node.leadership();
    let promised = Ack {
        log_id: Some(leadership.log_id),
        epoch: epoch(leadership.epoch.n + 5, 9),
        ..hello("a", 1)
    };
    one.step(Input::Message(Message::Ack(promised.clone())), at(3300));
    assert!(one.is_standby(), "the stream decides");
    one.follow(&stream, at(3301));
    assert!(one.chunk.is_some(), "at once");
    assert!(one.write(&mut stream, at(3302)));
    assert!(one.node.leadership().epoch > promised.epoch);
    // The secondary speaks up, is asked, and promises; then it serves, without waiting for anybody else.
    one.step(Input::Message(Message::Ack(promised.clone())), at(3303));
    let promise = Ack {
        epoch: one.node.leadership().epoch,
        ..promised
    };
    one.step(Input::Message(Message::Ack(promise)), at(3304));
    one.write_all(&mut stream, at(3304));
    assert!(one.serves(), "{:?}", one.node.phase());
}

#[test]
fn a_journal_that_says_nothing_is_told_to_clients() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut timed = request(1, 1, 1);
    timed.timeout = Some(ms(100));
    one.step(Input::Client(Command::Append(timed)), at(3200));
    for millis in [3400, 3800, 4100] {
        one.step(Input::Tick, at(millis));
        assert_eq!(one.answer(1), None, "a moment's grace for the truth");
    }
    one.step(Input::Tick, at(4201));
    let unknown = one.answer(1);
    assert!(
        matches!(
            unknown,
            Some(Answer::NotKnown {
                because: Unavailable::Journal,
                ..
            })
        ),
        "{unknown:?}"
    );
    one.post(2, 1, at(4300));
    let journal = Answer::Refused(AppendError::Unavailable(Unavailable::Journal));
    assert_eq!(one.answer(2), Some(&journal));
    // It was in the stream after all: the retry is a duplicate.
    for millis in (4400..9000).step_by(400) {
        one.step(Input::Tick, at(millis));
    }
    assert!(one.write(&mut stream, at(9000)));
    one.step(Input::Client(Command::Append(request(1, 1, 3))), at(9001));
    one.write_all(&mut stream, at(9001));
    let again = one.answer(3);
    assert!(
        matches!(again, Some(Answer::Replicated { appended, .. }) if appended.duplicate),
        "{again:?}"
    );
}

#[test]
fn a_directory_is_moved_into_an_empty_stream_and_only_its_owner_may_go_on() {
    let mut stream = Stream::default();
    let own = Journal::of(log(7), &[(3, epoch(1, 50)), (4, epoch(4, 51))]);
    let mut small = config(1);
    small.replication.batch_bytes = 300; // two or three entries a chunk
    let mut one = Process::with(small.clone(), own.clone(), &stream, at(0));
    one.follow(&stream, at(1));
    assert!(
        one.write(&mut stream, at(2)),
        "the claim that begins the move"
    );
    assert!(one.write(&mut stream, at(3)), "the first entries");
    assert!(one.chunk.is_some());
    // It ends in the middle of it. Somebody with nothing follows, and waits.
    let half = one.own.clone();
    drop(one);
    let mut two = Process::start(2, Journal::default(), &stream, at(10));
    two.follow(&stream, at(11));
    let seen = two.node.log().durable();
    assert!(seen > Seq::ZERO && seen < Seq(7), "{seen}");
    for k in 0..60 {
        two.step(Input::Tick, at(100 + 100 * k));
        two.follow(&stream, at(100 + 100 * k));
        assert!(two.chunk.is_none(), "the rest is elsewhere");
    }
    // The directory comes back: with the claim stored, or with what it was before.
    for own in [half, own] {
        let mut stream = Stream(stream.0.clone());
        let next_life = LeaderConfig {
            replication: small.replication.clone(),
            ..config(4)
        };
        let mut one = Process::with(next_life, own, &stream, at(6100));
        one.follow(&stream, at(6100));
        assert_eq!(one.end, None);
        let now = suspects(&mut one, &stream, at(6100));
        one.write_all(&mut stream, now);
        one.pass(&mut stream, now, 600);
        assert!(one.serves(), "{:?}", one.node.phase());
        let streamed =
            stream
                .0
                .iter()
                .flat_map(|job| match &job.chunk.as_ref().expect("a chunk").kind {
                    ChunkKind::MoveIn {
                        entries: Some(batch),
                        ..
                    } => batch.iter().map(|e| e.seq.0).collect(),
                    _ => Vec::new(),
                });
        assert_eq!(streamed.collect::<Vec<u64>>(), [1, 2, 3, 4, 5, 6, 7]);
        // Whoever reads the stream from its beginning has all of it.
        let mut three = Process::start(3, Journal::default(), &stream, now + ms(700));
        three.follow(&stream, now + ms(700));
        assert_eq!(three.own.entries, one.own.entries);
        assert_eq!(three.own.hard_state.epochs, one.own.hard_state.epochs);
        // The next start of the directory goes on where it is.
        let again = Process::with(small.clone(), one.own.clone(), &stream, now + ms(800));
        assert_eq!(again.follows, Some(stream.last().prev()));
        assert_eq!(again.end, None);
    }
}

#[test]
fn a_directory_of_another_history_is_refused() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let other = Journal::of(log(7), &[(3, epoch(1, 50))]);
    let mut two = Process::start(2, other, &stream, at(3200));
    two.follow(&stream, at(3200));
    assert!(
        matches!(&two.end, Some(End::ForeignStream(why)) if why.contains("a log already")),
        "{:?}",
        two.end
    );
}

/// A program that was started with `--store disk` before has an epoch of its own there, and nothing that could be lost.
#[test]
fn an_empty_directory_takes_what_the_stream_holds_whatever_its_epoch() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let mut own = Journal::of(log(7), &[]);
    own.hard_state.epoch = epoch(9, 50);
    own.hard_state.cleared = cleared(&[leadership(6, 8, 50)]);
    let mut two = Process::start(2, own, &stream, at(3200));
    two.follow(&stream, at(3200));
    assert_eq!(two.end, None);
    assert_eq!(two.own.entries, one.own.entries);
    assert_eq!(two.node.leadership(), one.node.leadership());
    let now = suspects(&mut two, &stream, at(3200));
    two.write_all(&mut stream, now);
    two.pass(&mut stream, now, 3100);
    assert!(two.serves());
    assert!(two.node.leadership().epoch > one.node.leadership().epoch);
}

/// What was cleared in a directory does not come back from a stream.
#[test]
fn a_directory_whose_log_was_cleared_does_not_take_that_log_from_a_stream() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let old = one.node.leadership();
    let mut own = Journal::of(log(7), &[]);
    own.hard_state.epoch = epoch(9, 50);
    own.hard_state.cleared = cleared(&[old]);
    let mut two = Process::start(2, own, &stream, at(3200));
    two.follow(&stream, at(3200));
    assert!(
        matches!(&two.end, Some(End::ForeignStream(why)) if why.contains("was cleared")),
        "{:?}",
        two.end
    );
}

/// The servers have lost power, and so many chunks at the end of the stream: those entries are on one master's disk alone.
fn lose_end(stream: &mut Stream, chunks: usize) {
    stream.0.truncate(stream.0.len() - chunks);
}

/// A master that has appended so many entries, a chunk each.
fn with_entries(stream: &mut Stream, entries: u32) -> Process {
    let mut one = active(1, stream, at(0));
    for client in 1..=entries {
        one.post(client, 1, at(3200));
        one.write_all(stream, at(3200));
    }
    one
}

#[test]
fn what_the_stream_has_lost_at_its_end_is_written_there_again() {
    // The chunks are a claim, the new log, and five entries.
    for chunks in 0..=6 {
        let mut stream = Stream::default();
        let one = with_entries(&mut stream, 5);
        let own = one.own.clone();
        lose_end(&mut stream, chunks);
        let mut two = Process::start(2, own.clone(), &stream, at(3300));
        two.follow(&stream, at(3300));
        assert_eq!(two.end, None);
        let told = two.events.iter().find_map(|e| match e {
            Event::JournalLostEnd {
                after_seq,
                last_seq,
            } => Some((after_seq.0, last_seq.0)),
            _ => None,
        });
        let left = 5u64.saturating_sub(chunks as u64);
        assert_eq!(told, (chunks > 0).then_some((left, 5)), "{chunks} lost");
        assert_eq!(two.own.entries, own.entries, "nothing of it is cut");
        let now = match two.chunk {
            Some(_) => at(3300),
            None => suspects(&mut two, &stream, at(3300)),
        };
        two.write_all(&mut stream, now);
        let now = two.pass(&mut stream, now, 3100);
        assert!(two.serves(), "{:?}", two.node.phase());
        assert!(two.node.leadership().epoch > one.node.leadership().epoch);
        assert_eq!(two.node.leadership().log_id, one.node.leadership().log_id);
        two.post(6, 1, now);
        two.write_all(&mut stream, now);
        assert!(matches!(two.answer(6), Some(Answer::Replicated { .. })));
        // Whoever reads the stream from its beginning has all of it, and so has the directory when it comes back.
        let mut three = Process::start(3, Journal::default(), &stream, now);
        three.follow(&stream, now);
        assert_eq!(three.own.entries, two.own.entries);
        assert_eq!(three.own.entries.len(), 6);
        let again = Process::start(4, two.own.clone(), &stream, now);
        assert_eq!(
            (again.follows, again.end),
            (Some(stream.last().prev()), None)
        );
    }
}

/// Two directories are ahead of the stream, one further than the other.
#[test]
fn the_longer_of_two_directories_brings_back_more_and_the_shorter_one_follows() {
    let mut stream = Stream::default();
    let mut one = with_entries(&mut stream, 5);
    let shorter = one.own.clone();
    for client in 6..=8 {
        one.post(client, 1, at(3250));
        one.write_all(&mut stream, at(3250));
    }
    let longer = one.own.clone();
    lose_end(&mut stream, 5);

    let whole = stream.0.clone();
    let mut two = Process::start(2, longer.clone(), &stream, at(3300));
    let mut three = Process::start(3, shorter.clone(), &stream, at(3300));
    two.follow(&stream, at(3300));
    three.follow(&stream, at(3300));
    let now = suspects(&mut two, &stream, at(3300));
    two.write_all(&mut stream, now);
    three.follow(&stream, now);
    assert_eq!(three.end, None);
    assert_eq!(three.own.entries.len(), 8, "it had five, and got three");
    assert_eq!(three.node.leadership(), two.node.leadership());

    // The shorter one was faster: the longer one does not go on without what only it has.
    let mut stream = Stream(whole);
    let mut two = Process::start(2, longer.clone(), &stream, at(3300));
    let mut three = Process::start(3, shorter, &stream, at(3300));
    two.follow(&stream, at(3300));
    three.follow(&stream, at(3300));
    let now = suspects(&mut three, &stream, at(3300));
    three.write_all(&mut stream, now);
    two.follow(&stream, now);
    assert!(
        matches!(&two.end, Some(End::ForeignStream(why) | End::StorageFailed(why)) if why.contains("entry 8")),
        "{:?}",
        two.end
    );
    assert_eq!(two.own.entries, longer.entries);
}

/// A start that has compared its directory with the stream and ends before it has claimed the journal.
#[test]
fn a_directory_that_is_ahead_is_compared_again_until_it_has_claimed() {
    let mut stream = Stream::default();
    let mut one = with_entries(&mut stream, 2);
    let mut two = Process::start(2, Journal::default(), &stream, at(3300));
    two.follow(&stream, at(3300));
    let now = suspects(&mut two, &stream, at(3300));
    assert!(two.write(&mut stream, now), "a claim, which is lost");
    one.follow(&stream, now);
    let own = one.own.clone();
    drop((one, two));
    lose_end(&mut stream, 2);
    let mut three = Process::start(3, own, &stream, now);
    three.follow(&stream, now);
    let half = three.own.clone();
    drop(three);
    let mut four = Process::start(4, half, &stream, now);
    four.follow(&stream, now);
    assert_eq!(four.end, None);
    let now = suspects(&mut four, &stream, now);
    four.write_all(&mut stream, now);
    four.pass(&mut stream, now, 3100);
    assert!(four.serves());
    assert_eq!(four.own.entries.len(), 2);
}

/// Each batch is named in the head of its chunk, and a head has a bound.
#[test]
fn a_chunk_has_no_more_batches_than_its_head_has_room_for() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    for client in 1..=200 {
        one.post(client, 1, at(3200));
        // A retry looks into what waits to be written, and ends its batch.
        let retry = request(client.into(), 1, client + 1000);
        one.step(Input::Client(Command::Append(retry)), at(3200));
    }
    one.write_all(&mut stream, at(3201));
    let batches = stream.0.iter().map(|job| job.entries.len());
    let most = batches.max().expect("chunks");
    assert_eq!(most, MAX_CHUNK_BATCHES);
    assert_eq!(one.node.log().durable(), Seq(200));
}

/// What cannot be written for longer than any election takes may have its cause here: others may try.
#[test]
fn a_master_whose_chunk_does_not_get_into_the_stream_shows_no_life_in_the_end() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.announced();
    one.post(1, 1, at(3200));
    let mut last_shown = at(3200);
    for k in 1..=400 {
        let now = at(3200 + 100 * k);
        one.step(Input::Tick, now);
        assert!(
            one.node.deadline(now).is_some_and(|due| due > now),
            "at {now:?}"
        );
        if !one.announced().is_empty() {
            last_shown = now;
        }
    }
    assert!(
        last_shown > at(13_000) && last_shown < at(19_500),
        "{last_shown:?}"
    );
    one.write_all(&mut stream, at(43_300));
    one.step(Input::Tick, at(43_900));
    assert_eq!(one.announced(), [MasterState::Serving]);
}

#[test]
fn a_directory_whose_stream_is_empty_is_refused() {
    let mut stream = Stream::default();
    let own = with_entries(&mut stream, 5).own;
    let two = Process::start(2, own, &Stream::default(), at(3300));
    assert!(
        matches!(&two.end, Some(End::ForeignStream(why)) if why.contains("made anew")),
        "{:?}",
        two.end
    );
}

#[test]
fn a_directory_whose_stream_went_on_without_its_end_is_refused() {
    for lost in 1..=3 {
        for more in 0..=3 {
            let mut stream = Stream::default();
            let own = with_entries(&mut stream, 5).own;
            lose_end(&mut stream, lost);
            // Somebody without that directory has claimed it meanwhile, and appended others in their place.
            let mut three = Process::start(3, Journal::default(), &stream, at(3300));
            three.follow(&stream, at(3300));
            let now = suspects(&mut three, &stream, at(3300));
            three.write_all(&mut stream, now);
            let now = three.pass(&mut stream, now, 3100);
            for client in 0..more {
                three.post(100 + client, 1, now);
                three.write_all(&mut stream, now);
            }
            let mut two = Process::start(2, own.clone(), &stream, now);
            two.follow(&stream, now);
            match (more, two.end.clone()) {
                // Nothing is there in their place: they are written there.
                (0, None) => {
                    let now = suspects(&mut two, &stream, now);
                    two.write_all(&mut stream, now);
                    two.pass(&mut stream, now, 3100);
                    assert!(two.serves());
                    three.follow(&stream, now);
                    assert_eq!(three.own.entries, own.entries);
                }
                (_, Some(End::ForeignStream(why) | End::StorageFailed(why))) => {
                    assert!(why.contains("lost its end"), "{why}");
                }
                (_, end) => panic!("{lost} lost, {more} others: {end:?}"),
            }
            assert_eq!(two.own.entries, own.entries, "nothing of it is lost");
        }
    }
}

/// The stream has come back older, and others have written there up to where a standby had read: what follows is not carried out.
#[test]
fn a_chunk_that_follows_another_one_ends_whoever_reads_it() {
    let mut stream = Stream::default();
    let mut one = with_entries(&mut stream, 3);
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    let shown = two.own.entries.clone();
    let end = stream.last();
    lose_end(&mut stream, 2);
    one.own = Journal::default();
    let mut three = Process::start(3, Journal::default(), &stream, at(3300));
    three.follow(&stream, at(3300));
    let now = suspects(&mut three, &stream, at(3300));
    three.write_all(&mut stream, now);
    let now = three.pass(&mut stream, now, 3100);
    let mut client = 100;
    while stream.last() <= end {
        three.post(client, 1, now);
        three.write_all(&mut stream, now);
        client += 1;
    }
    two.follow(&stream, now);
    assert!(
        matches!(&two.end, Some(End::StorageFailed(why)) if why.contains("follows another one")),
        "{:?}",
        two.end
    );
    assert_eq!(two.own.entries, shown);
}

#[test]
fn a_chunk_of_a_master_that_has_not_claimed_ends_whoever_reads_it() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    one.post(1, 1, at(3200));
    let mut chunk = one.chunk.take().expect("a chunk");
    chunk.chunk.as_mut().expect("a chunk").id.master = master(9);
    two.step(Input::Stream(StreamEvent::Chunk(Box::new(chunk))), at(3201));
    assert!(
        matches!(&two.end, Some(End::StorageFailed(why)) if why.contains("not claimed")),
        "{:?}",
        two.end
    );
}

#[test]
fn a_full_stream_refuses_what_it_has_not_taken() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.chunk = None;
    one.step(Input::Written(WriteResult::DiskFull), at(3201));
    let full = Answer::Refused(AppendError::Unavailable(Unavailable::DiskFull));
    assert_eq!(one.answer(1), Some(&full));
    assert_eq!(one.node.log().last().seq, Seq::ZERO);
    one.pass(&mut stream, at(3201), 1100);
    one.post(2, 1, at(4301));
    one.write_all(&mut stream, at(4301));
    assert!(matches!(one.answer(2), Some(Answer::Replicated { .. })));
    let ids: Vec<u64> = stream
        .0
        .iter()
        .map(|job| job.chunk.as_ref().expect("a chunk").id.n)
        .collect();
    assert!(
        ids.is_sorted_by(|a, b| a < b),
        "no two chunks are the same: {ids:?}"
    );
}

/// What is in the stream waits for the own disk: that is told as what it is, and not as a stream that says nothing.
#[test]
fn a_copy_without_room_is_told_as_a_full_disk() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    let chunk = one.chunk.take().expect("a chunk");
    assert!(stream.take(&chunk));
    one.step(Input::Stream(StreamEvent::NoRoom), at(3201));
    one.post(2, 1, at(3202));
    let full = Answer::Refused(AppendError::Unavailable(Unavailable::DiskFull));
    assert_eq!(one.answer(2), Some(&full));
    // Longer than the journal may be silent.
    one.step(Input::Tick, at(6000));
    assert_eq!(one.node.unavailable(at(6000)), Some(Unavailable::DiskFull));
    let result = one.own.write(chunk);
    one.step(Input::Written(result), at(6100));
    assert!(matches!(one.answer(1), Some(Answer::Replicated { .. })));
    assert_eq!(one.node.unavailable(at(6100)), None);
}

#[test]
fn a_batch_is_one_chunk_or_refused() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.step(Input::Stream(StreamEvent::Room(7_232)), at(3200));
    let batch = |first: u128, count: u128, client: u32| {
        let mut append = request(first, 1, client);
        append.requests = (first..first + count)
            .map(crate::support::message)
            .collect();
        append
    };
    one.step(Input::Client(Command::Append(batch(100, 60, 1))), at(3201));
    assert!(
        matches!(
            one.answer(1),
            Some(Answer::Refused(AppendError::BatchTooLarge { .. }))
        ),
        "{:?}",
        one.answer(1)
    );
    // Two that do not fit together are a chunk each; the first is on its way when they come.
    one.post(1, 1, at(3202));
    one.step(Input::Client(Command::Append(batch(200, 25, 2))), at(3203));
    one.step(Input::Client(Command::Append(batch(300, 25, 3))), at(3203));
    one.write_all(&mut stream, at(3204));
    let counts: Vec<u64> = stream
        .0
        .iter()
        .map(|job| job.entries.iter().map(EntryBatch::count).sum())
        .collect();
    assert_eq!(counts[counts.len() - 3..], [1, 25, 25]);
}

#[test]
fn nothing_is_sent_before_it_is_in_the_stream() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.step(Input::Message(Message::Ack(hello("a", 1))), at(3200));
    let heartbeat = |m: &Message| match m {
        Message::Append(append) if append.storage.is_some() => Some(append.clone()),
        _ => None,
    };
    let asks = one.sent.iter().find_map(heartbeat).expect("it is asked");
    let answer = Ack {
        log_id: Some(asks.leader.log_id),
        epoch: asks.leader.epoch,
        answers: HeartbeatNumber {
            master: asks.leader.epoch.master,
            round: asks.round,
        },
        ..hello("a", 1)
    };
    one.step(Input::Message(Message::Ack(answer)), at(3201));
    one.sent.clear();
    one.post(1, 2, at(3202));
    let carries =
        |m: &Message| matches!(m, Message::Append(a) if a.entries.is_some() || a.tail > Seq::ZERO);
    assert!(!one.sent.iter().any(carries), "{:?}", one.sent);
    one.write_all(&mut stream, at(3203));
    assert!(one.sent.iter().any(carries), "now it is sent");
}

#[test]
fn what_is_on_its_way_when_a_master_is_superseded_is_told_when_it_is_known() {
    for is_taken in [true, false] {
        let mut stream = Stream::default();
        let mut one = active(1, &mut stream, at(0));
        one.post(1, 1, at(3200)); // on its way
        one.post(2, 1, at(3200)); // behind it
        let leadership = one.node.leadership();
        let word = Ack {
            log_id: Some(leadership.log_id),
            epoch: epoch(leadership.epoch.n + 1, 9),
            ..hello("a", 1)
        };
        one.step(Input::Message(Message::Ack(word)), at(3201));
        assert!(one.is_standby());
        let fenced = Answer::Refused(AppendError::Unavailable(Unavailable::Fenced));
        assert_eq!(one.answer(2), Some(&fenced), "it never left");
        assert_eq!(one.answer(1), None, "nobody knows yet");
        if !is_taken {
            let mut two = Process::start(2, Journal::default(), &stream, at(3201));
            two.follow(&stream, at(3201));
            let now = suspects(&mut two, &stream, at(3201));
            assert!(two.write(&mut stream, now));
        }
        assert_eq!(one.write(&mut stream, at(3202)), is_taken);
        match is_taken {
            true => assert!(matches!(one.answer(1), Some(Answer::Replicated { .. }))),
            false => assert_eq!(one.answer(1), Some(&fenced)),
        }
    }
}

#[test]
fn who_has_just_lost_its_turn_waits_longer() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    let mut two = Process::start(2, Journal::default(), &stream, at(3200));
    two.follow(&stream, at(3200));
    let now = suspects(&mut two, &stream, at(3200));
    assert!(two.write(&mut stream, now));
    one.follow(&stream, now);
    let again = suspects(&mut one, &stream, now);
    assert!(
        again >= now + ms(2000),
        "it waits twice as long: {again:?} after {now:?}"
    );
    // Once another one has led for a while, the next silence is one like any other.
    assert!(one.write(&mut stream, again));
    let lost = again + ms(100);
    let mut three = Process::start(3, Journal::default(), &stream, lost);
    let now = suspects(&mut three, &stream, lost);
    assert!(three.write(&mut stream, now));
    one.follow(&stream, now);
    three.pass(&mut stream, now, 10_000);
    one.follow(&stream, now + ms(10_000));
    let silent = suspects(&mut one, &stream, now + ms(10_000));
    assert!(
        silent < now + ms(11_500),
        "it waits as long as others: {silent:?} after {now:?}"
    );
}

/// Its new log was never in the stream: it has not begun to serve, and must not say so of the turn of another one.
#[test]
fn a_turn_that_was_lost_before_it_was_in_the_stream_is_not_told() {
    let mut stream = Stream::default();
    let mut one = Process::start(1, Journal::default(), &stream, at(0));
    one.follow(&stream, at(0));
    assert!(one.write(&mut stream, at(0)), "its claim");
    let mut now = at(0);
    while one.chunk.is_none() {
        now = now + ms(100);
        one.step(Input::Tick, now);
    }
    let mut two = Process::start(2, Journal::default(), &stream, now);
    let claimed = suspects(&mut two, &stream, now);
    two.write_all(&mut stream, claimed);
    two.pass(&mut stream, claimed, 3100);
    assert!(two.serves());
    one.announced();
    let now = claimed + ms(3200);
    assert!(!one.write(&mut stream, now));
    one.follow(&stream, now);
    assert_eq!(one.node.leadership(), two.node.leadership());
    assert_eq!(one.announced(), []);
    let serves = |e: &&Event| matches!(e, Event::Serving { .. });
    assert_eq!(one.events.iter().find(serves), None);
}

#[test]
fn a_restart_from_its_own_storage_goes_on_where_it_was() {
    let mut stream = Stream::default();
    let mut one = active(1, &mut stream, at(0));
    one.post(1, 1, at(3200));
    one.write_all(&mut stream, at(3200));
    let mut two = Process::start(2, one.own.clone(), &stream, at(3300));
    assert_eq!(
        two.follows,
        Some(stream.last().prev()),
        "the last one is seen again"
    );
    let now = suspects(&mut two, &stream, at(3300));
    assert!(two.write(&mut stream, now));
    two.pass(&mut stream, now, 600);
    assert!(two.serves());
    assert_eq!(two.own.restored().last, one.own.restored().last);
}
