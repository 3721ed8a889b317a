//! Messages that are in the log already: in memory, in flight, on the disk, or where they cannot be read.

use std::cell::Cell;
use std::rc::Rc;

use replog_protocol::entry::Content;
use replog_protocol::ids::Seq;
use replog_protocol::leader::command::{
    Answer, Append, AppendError, AppendRequest, Appended, Command, Load, Unavailable, Waiter,
};
use replog_protocol::leader::dedup::DeduplicateBy;
use replog_protocol::leader::{Leader, LeaderConfig};
use replog_protocol::node::{Input, LinkState, Node, Page, Query, ReadError};
use replog_protocol::write_concern::WriteConcern;

use crate::support::hand::{Master, at_once, refused, serving, serving_by};
use crate::support::journal::Journal;
use crate::support::process::Disk;
use crate::support::{
    Client, MAX_PAYLOAD, at, epoch, leader_config, log, message, message_id, post, request,
};

fn appended(master: &Master, client: u32) -> Appended {
    match master.answer(client) {
        Some(Answer::Replicated { appended, .. }) => *appended,
        other => panic!("client {client} is told {other:?}"),
    }
}

/// Where the message of that client is, and whether it was there before.
fn place(master: &Master, client: u32) -> (u64, bool) {
    let appended = appended(master, client);
    (appended.first.0, appended.duplicate)
}

fn error(master: &Master, client: u32) -> &AppendError {
    match master.answer(client) {
        Some(Answer::Refused(error)) => error,
        other => panic!("client {client} is told {other:?}"),
    }
}

/// Entries 1001, 1002, 1003 on the disk, of which nothing is in memory; two ids are kept there, and up to two more.
fn on_disk(by: DeduplicateBy) -> Master {
    let config = LeaderConfig {
        remember_ids: Some(2),
        deduplicate_by: by,
        ..leader_config(2, None)
    };
    serving_by(config, Journal::of(log(1), &[(3, epoch(1, 1))]))
}

/// Messages with ids that were just made: nobody can have used them before.
fn append_new(master: &mut Master, ids: std::ops::RangeInclusive<u32>) {
    for id in ids {
        let mut append = request(id.into(), 1, id);
        append.requests[0].is_new_id = true;
        master.command(Command::Append(append), at(2));
        assert!(!appended(master, id).duplicate);
    }
}

fn batch(ids: &[u128], client: u32) -> Command<Client> {
    Command::Append(Append {
        requests: ids.iter().map(|id| message(*id)).collect(),
        ..request(1, 1, client)
    })
}

#[test]
fn one_that_is_being_written_is_joined_and_both_are_told_when_it_is() {
    let mut master = serving(None);
    master.disk = Disk::Slow;
    master.post(7, 1, at(1));
    master.command(post(7, 1, 8), at(2));
    assert!(master.replies.is_empty());
    assert_eq!(master.node.log().last().seq, Seq(1));
    master.write_done(at(3));
    assert_eq!(place(&master, 7), (1, false));
    assert_eq!(place(&master, 8), (1, true));
}

#[test]
fn one_on_the_disk_is_found_there() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.command(post(1_002, 1, 1), at(1));
    assert_eq!(place(&master, 1), (2, true));
    assert_eq!(appended(&master, 1).epoch, 1, "the epoch of the entry");
    // One that is not there is appended, and known from then on.
    master.command(post(50, 1, 2), at(2));
    assert_eq!(place(&master, 2), (4, false));
    master.command(post(50, 1, 3), at(3));
    assert_eq!(place(&master, 3), (4, true));
    // However many came since.
    append_new(&mut master, 100..=120);
    master.command(post(50, 1, 4), at(4));
    assert_eq!(place(&master, 4), (4, true));
    assert_eq!(master.journal.last(), Seq(25));
}

#[test]
fn of_one_that_is_known_only_the_entry_is_read() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.post(50, 1, at(1));
    master.reads_wait = true;
    master.command(post(50, 1, 2), at(2));
    let query = master.reads.front().map(|read| read.query.clone());
    let expected = Query::Range {
        first: Seq(4),
        last: Seq(4),
        max_bytes: 1,
    };
    assert_eq!(query, Some(expected));
    // Meanwhile others go on.
    append_new(&mut master, 100..=101);
    assert_eq!(master.answer(2), None);
    master.read(at(3));
    assert_eq!(place(&master, 2), (4, true));
}

#[test]
fn an_id_with_another_content_is_refused() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.post(50, 1, at(1));
    for (client, id, seq) in [(1, 50, 4), (2, 1_003, 3)] {
        let other = AppendRequest {
            content: Content::from_text("another"),
            ..message(id)
        };
        let append = Append {
            requests: vec![other],
            ..request(id, 1, client)
        };
        master.command(Command::Append(append), at(2));
        let message_id = message_id(id);
        let seq = Seq(seq);
        assert_eq!(
            error(&master, client),
            &AppendError::OtherContent { seq, message_id }
        );
    }
    assert_eq!(master.journal.last(), Seq(4));
}

#[test]
fn equal_contents_are_one_message_where_that_is_the_rule() {
    let mut master = on_disk(DeduplicateBy::Content);
    let says = |text: &str, id, client| {
        let request = AppendRequest {
            content: Content::from_text(text),
            ..message(id)
        };
        Command::Append(Append {
            requests: vec![request],
            ..crate::support::request(id, 1, client)
        })
    };
    master.command(says("1002", 70, 1), at(1));
    assert_eq!(place(&master, 1), (2, true));
    assert_eq!(
        appended(&master, 1).message_id,
        message_id(1_002),
        "the first one's"
    );
    master.command(says("new", 71, 2), at(1));
    master.command(says("new", 72, 3), at(1));
    assert_eq!(
        (place(&master, 2), place(&master, 3)),
        ((4, false), (4, true))
    );
    // A new id is no reason not to look: the content may be there.
    let mut append = request(1_001, 1, 4);
    append.requests[0].message_id = message_id(99);
    append.requests[0].is_new_id = true;
    master.command(Command::Append(append), at(1));
    assert_eq!(place(&master, 4), (1, true));
}

/// Whether it is the same message cannot be told: to append it might be to append it twice.
#[test]
fn one_that_cannot_be_read_is_refused() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.rot(2, at(1));
    master.command(post(1_002, 1, 1), at(1));
    assert_eq!(error(&master, 1), &AppendError::Unreadable { seq: Seq(2) });
    // Of which the position is known, too.
    master.post(50, 1, at(2));
    master.rot(4, at(2));
    master.command(post(50, 1, 2), at(2));
    assert_eq!(error(&master, 2), &AppendError::Unreadable { seq: Seq(4) });
    assert_eq!(master.journal.last(), Seq(4));
    // Nor can it be told when the disk refuses to read.
    master.reads_wait = true;
    master.command(post(60, 1, 3), at(3));
    let read = master.reads.pop_front().expect("it looks");
    let page = Page {
        purpose: read.purpose,
        entries: Err(ReadError::Failed("no".into())),
    };
    master.step(Input::Page(page), at(3));
    assert_eq!(master.answer(3), Some(&refused(Unavailable::DiskFailed)));
    assert_eq!(master.journal.last(), Seq(4));
}

/// A page of a log that has been cleared since says nothing of the new one.
#[test]
fn a_look_at_a_log_that_was_cleared_meanwhile_does_not_count() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.reads_wait = true;
    master.command(post(1_002, 1, 1), at(1));
    let read = master.reads.pop_front().expect("it looks");
    let early = Page {
        entries: master.journal.read(&read.query),
        purpose: read.purpose,
    };
    let (log_id, waiter) = (log(77), Client(9));
    master.command(Command::Clear { log_id, waiter }, at(2));
    master.step(Input::Page(early), at(3));
    while !master.reads.is_empty() {
        master.read(at(4));
    }
    assert_eq!(place(&master, 1), (1, false));
    assert_eq!(appended(&master, 1).log_id, log_id);
}

/// What came after the look, and is not in memory any more, is looked for again.
#[test]
fn a_look_that_is_too_old_is_repeated() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.reads_wait = true;
    master.command(post(50, 1, 1), at(1));
    master.command(post(50, 1, 2), at(1));
    let reads = [master.reads.pop_front(), master.reads.pop_front()];
    let [first, second] = reads.map(|read| {
        let read = read.expect("both look");
        Page {
            entries: master.journal.read(&read.query),
            purpose: read.purpose,
        }
    });
    master.step(Input::Page(first), at(2));
    assert_eq!(place(&master, 1), (4, false));
    append_new(&mut master, 100..=110);
    master.step(Input::Page(second), at(3));
    while !master.reads.is_empty() {
        master.read(at(4));
    }
    assert_eq!(place(&master, 2), (4, true));
    assert_eq!(master.journal.last(), Seq(15));
}

#[test]
fn a_batch_is_appended_as_a_whole_or_not_at_all() {
    let mut master = serving(None);
    master.command(batch(&[1, 2, 3], 1), at(1));
    let first = appended(&master, 1);
    assert_eq!(
        (first.first, first.last, first.duplicate),
        (Seq(1), Seq(3), false)
    );
    // Again, all of it and in its order: a duplicate.
    master.command(batch(&[1, 2, 3], 2), at(2));
    let again = appended(&master, 2);
    assert_eq!(
        (again.first, again.last, again.duplicate),
        (Seq(1), Seq(3), true)
    );
    master.command(batch(&[2, 3], 3), at(2));
    assert_eq!(
        (appended(&master, 3).first, appended(&master, 3).duplicate),
        (Seq(2), true)
    );
    // In part, in another order, or with one id twice: nothing.
    for (client, ids, named) in [
        (4, &[3, 4][..], 3),
        (5, &[4, 3], 3),
        (6, &[3, 2], 2),
        (7, &[1, 3], 3),
    ] {
        master.command(batch(ids, client), at(3));
        let message_id = message_id(named);
        assert_eq!(
            error(&master, client),
            &AppendError::PartlyThere { message_id },
            "{ids:?}"
        );
    }
    assert_eq!(master.journal.last(), Seq(3));
}

#[test]
fn a_batch_that_has_one_message_twice_is_refused() {
    let mut master = serving(None);
    let twice = |master: &mut Master, requests, client, id| {
        let append = Append {
            requests,
            ..request(1, 1, client)
        };
        master.command(Command::Append(append), at(1));
        let message_id = message_id(id);
        assert_eq!(error(master, client), &AppendError::Twice { message_id });
        assert_eq!(master.node.log().last().seq, Seq::ZERO);
    };
    twice(&mut master, [4, 5, 4].map(message).into(), 1, 4);
    // By the other rule, whatever their ids are.
    let mut by_content = at_once(leader_config(2, None));
    by_content.deduplicate_by = DeduplicateBy::Content;
    let mut master = serving_by(by_content, Journal::default());
    let same = AppendRequest {
        is_new_id: true,
        message_id: message_id(6),
        ..message(4)
    };
    twice(&mut master, vec![message(4), message(5), same], 1, 6);
}

/// All of it is asked at once: one question a message, and each is looked at once more when all are answered.
#[test]
fn the_journal_is_asked_about_a_batch_at_once() {
    let mut master = on_disk(DeduplicateBy::MessageId);
    master.reads_wait = true;
    master.command(batch(&[1_002, 1_003], 1), at(1));
    master.command(batch(&[50, 51, 52], 2), at(1));
    assert_eq!(master.reads.len(), 5);
    // Answered in any order, those of another batch between.
    master.reads.rotate_left(3);
    for _ in 0..4 {
        assert_eq!(master.answer(2), None);
        master.read(at(2));
    }
    master.read(at(2));
    assert_eq!(place(&master, 1), (2, true));
    let new = appended(&master, 2);
    assert_eq!(
        (new.first, new.last, new.duplicate),
        (Seq(4), Seq(6), false)
    );
    assert!(master.reads.is_empty(), "each of them is asked once");
    // One that cannot be answered refuses all, and nothing is said twice.
    master.command(batch(&[60, 61], 3), at(3));
    let purpose = master.reads.pop_front().expect("a question").purpose;
    let entries = Err(ReadError::Failed("gone".to_owned()));
    master.step(Input::Page(Page { purpose, entries }), at(3));
    assert_eq!(master.answer(3), Some(&refused(Unavailable::DiskFailed)));
    master.read(at(4));
    assert_eq!(master.journal.last(), Seq(6));
}

/// Whatever its size: one write, and as many frames as the broker needs.
#[test]
fn a_batch_larger_than_a_frame_is_one_write() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 9, 0, at(1));
    master.disk = Disk::Slow;
    let large = |id| AppendRequest {
        content: Content::from_text(&"x".repeat(MAX_PAYLOAD / 2 - 5000)),
        ..message(id)
    };
    let append = Append {
        requests: (1..=5).map(large).collect(),
        ..request(1, 1, 1)
    };
    master.command(Command::Append(append), at(2));
    let job = master.writing.as_ref().expect("it is being written");
    assert_eq!(job.entries.last().map(|batch| batch.last()), Some(Seq(5)));
    master.write_done(at(3));
    assert_eq!(
        (master.writing.is_none(), master.journal.last()),
        (true, Seq(5))
    );
    assert_eq!(appended(&master, 1).last, Seq(5));
    master.tick(at(10));
    let mut next = 1;
    while next <= 5 {
        let frames = master.appends("a");
        assert!(!frames.is_empty(), "it is all sent");
        master.sent.clear();
        for frame in frames {
            next = frame.last().next().0;
            let bytes = replog_protocol::wire::Message::Append(frame).encode(u64::MAX);
            assert!(bytes.len() <= MAX_PAYLOAD, "{}", bytes.len());
        }
        master.hear(master.position_of("a", 9, next - 1), at(11));
    }
}

/// What becomes of the runs of a load, by what their messages are.
#[test]
fn a_run_is_taken_up_to_what_is_of_another_kind() {
    for on_a_disk in [false, true] {
        let mut master = match on_a_disk {
            true => on_disk(DeduplicateBy::MessageId),
            false => {
                let mut master = serving(None);
                master.command(batch(&[1_001, 1_002, 1_003], 99), at(0));
                master
            }
        };
        let other = AppendRequest {
            content: Content::from_text("another"),
            ..message(1_001)
        };
        let large = AppendRequest {
            content: Content::from_text(&"x".repeat(MAX_PAYLOAD)),
            ..message(70)
        };
        let mut clients = 0..;
        let mut run = |requests: Vec<AppendRequest>, seq: Option<u64>| {
            let client = clients.next().expect("another");
            let load = Load {
                log_id: None,
                seq: seq.map(Seq),
            };
            let append = Append {
                requests,
                load: Some(load),
                ..request(1, 1, client)
            };
            master.command(Command::Append(append), at(1));
            match master.answer(client).expect("an answer") {
                Answer::Replicated { appended: a, .. } => Ok((a.first.0, a.last.0, a.duplicate)),
                Answer::Refused(error) => Err(error.clone()),
                other => panic!("{other:?}"),
            }
        };
        let of = |ids: &[u128]| ids.iter().map(|id| message(*id)).collect::<Vec<_>>();
        let with = |ids: &[u128], last: &AppendRequest, after: u128| {
            let more = [last.clone(), message(after)];
            of(ids).into_iter().chain(more).collect::<Vec<_>>()
        };
        assert_eq!(run(of(&[1, 2]), None), Ok((4, 5, false)));
        assert_eq!(run(of(&[1_002, 1_003, 1, 2]), None), Ok((2, 5, true)));
        // Up to one that is there; from there, up to one that is elsewhere or is not there.
        assert_eq!(run(of(&[3, 4, 1, 5]), None), Ok((6, 7, false)));
        assert_eq!(run(of(&[1, 3, 2]), None), Ok((4, 4, true)));
        assert_eq!(run(of(&[3, 4, 5, 1]), None), Ok((6, 7, true)));
        // Up to one that is refused, and so is a run that begins with it.
        assert_eq!(run(with(&[10], &other, 11), None), Ok((8, 8, false)));
        let (seq, message_id) = (Seq(1), message_id(1_001));
        let refused = AppendError::OtherContent { seq, message_id };
        assert_eq!(run(with(&[], &other, 11), None), Err(refused));
        assert_eq!(run(with(&[12], &large, 13), None), Ok((9, 9, false)));
        let too_large = run(with(&[], &large, 13), None);
        assert!(matches!(too_large, Err(AppendError::TooLarge { .. })));
        // One that comes twice is there the second time.
        assert_eq!(run(of(&[20, 21, 20]), None), Ok((10, 11, false)));
        assert_eq!(run(of(&[20]), None), Ok((10, 10, true)));
        // Where the first one gets its place, or has it.
        let last_seq = Seq(11);
        let elsewhere = Err(AppendError::ExpectedSeq { last_seq });
        assert_eq!(run(of(&[30]), Some(11)), elsewhere);
        assert_eq!(run(of(&[20, 21]), Some(11)), elsewhere);
        assert_eq!(run(of(&[20, 21]), Some(10)), Ok((10, 11, true)));
        assert_eq!(run(of(&[30]), Some(12)), Ok((12, 12, false)));
        assert_eq!(master.journal.last(), Seq(12));
    }
}

#[test]
fn a_run_goes_to_the_history_of_its_load_or_nowhere() {
    let mut master = serving(None);
    let run = |client: u32, log_id| {
        let load = Some(Load { log_id, seq: None });
        Command::Append(Append {
            load,
            ..request(client.into(), 1, client)
        })
    };
    master.command(run(1, None), at(1));
    let first = appended(&master, 1).log_id;
    master.command(run(2, Some(first)), at(1));
    assert_eq!(place(&master, 2), (2, false));
    let (log_id, waiter) = (log(77), Client(3));
    master.command(Command::Clear { log_id, waiter }, at(2));
    master.command(run(4, Some(first)), at(3));
    assert_eq!(error(&master, 4), &AppendError::OtherHistory);
    assert_eq!(master.journal.last(), Seq::ZERO);
    master.command(run(5, Some(log_id)), at(3));
    assert_eq!(place(&master, 5), (1, false));
}

/// The order of the checks is that of the errors in the API: 400, 413, 422, 412, 503.
#[test]
fn of_several_reasons_the_first_one_is_told() {
    let mut master = serving(Some(&["a"]));
    master.post(1, 1, at(1));
    let large = |id| AppendRequest {
        content: Content::from_text(&"x".repeat(MAX_PAYLOAD)),
        ..message(id)
    };
    let other = AppendRequest {
        content: Content::from_text("another"),
        ..message(1)
    };
    let all = |requests, w, expected: u64, client| {
        Command::Append(Append {
            requests,
            w: WriteConcern::Count(w),
            expected_seq: Some(Seq(expected)),
            load: None,
            request_id: None,
            timeout: None,
            waiter: Client(client),
        })
    };
    master.disk = Disk::Full;
    master.post(90, 1, at(2));
    assert_eq!(
        error(&master, 90),
        &AppendError::Unavailable(Unavailable::DiskFull)
    );
    master.command(all(vec![large(1)], 3, 9, 11), at(3));
    assert!(matches!(error(&master, 11), AppendError::TooManyNodes(_)));
    master.command(all(vec![large(1)], 1, 9, 12), at(3));
    assert!(matches!(error(&master, 12), AppendError::TooLarge { .. }));
    master.command(all(vec![other], 1, 9, 13), at(3));
    assert!(matches!(
        error(&master, 13),
        AppendError::OtherContent { .. }
    ));
    // A duplicate wins over a wrong position, and over a disk that is full.
    master.command(all(vec![message(1)], 1, 9, 14), at(3));
    assert_eq!(place(&master, 14), (1, true));
    master.command(all(vec![message(2)], 1, 9, 15), at(3));
    let last_seq = Seq(1);
    assert_eq!(error(&master, 15), &AppendError::ExpectedSeq { last_seq });
    master.command(all(vec![message(2)], 1, 2, 16), at(3));
    assert_eq!(
        error(&master, 16),
        &AppendError::Unavailable(Unavailable::DiskFull)
    );
    // The largest one that passes.
    master.disk = Disk::Prompt;
    let AppendError::TooLarge { bytes, max } = *error(&master, 12) else {
        panic!("it was too large");
    };
    assert_eq!(bytes, MAX_PAYLOAD + 2);
    let fits = AppendRequest {
        content: Content::from_text(&"x".repeat(max - 2)),
        ..message(3)
    };
    master.command(all(vec![fits], 2, 2, 17), at(1_500));
    master.join("a", 9, 1, at(1_600));
    let frame = master.appends("a").pop().expect("it leaves");
    let bytes = replog_protocol::wire::Message::Append(frame).encode(u64::MAX);
    assert!(bytes.len() <= MAX_PAYLOAD, "{}", bytes.len());
}

/// A client that may hang up.
#[derive(Clone, Debug)]
struct Caller(Rc<Cell<bool>>);

impl Waiter for Caller {
    fn has_left(&self) -> bool {
        self.0.get()
    }
}

#[test]
fn who_hangs_up_frees_its_place_and_leaves_its_entry() {
    let mut config = at_once(leader_config(2, Some(&["a"])));
    config.replication.max_waiting = 2;
    let mut leader = Leader::<Caller>::new(config, Journal::default().restored());
    let mut journal = Journal::default();
    let mut step = |leader: &mut Leader<Caller>, input| {
        leader.step(input, at(1));
        let mut replies = Vec::new();
        loop {
            let ready = leader.ready(at(1));
            replies.extend(ready.replies.into_iter().map(|r| r.answer));
            let Some(job) = ready.write else {
                return (replies, journal.last());
            };
            let written = Input::Written(journal.write(job));
            leader.step(written, at(1));
        }
    };
    let max_payload = MAX_PAYLOAD;
    step(&mut leader, Input::Link(LinkState::Up { max_payload }));
    let callers: Vec<Caller> = (0..4).map(|_| Caller(Rc::default())).collect();
    let post = |id: usize| {
        Input::Client(Command::Append(Append {
            requests: vec![message(id as u128)],
            w: WriteConcern::Count(2),
            timeout: None,
            expected_seq: None,
            load: None,
            request_id: None,
            waiter: callers[id].clone(),
        }))
    };
    for id in 0..2 {
        assert_eq!(step(&mut leader, post(id)).0, []);
    }
    let (told, last) = step(&mut leader, post(2));
    assert_eq!(
        (told, last),
        (vec![refused(Unavailable::TooManyWaiting)], Seq(2))
    );
    assert_eq!(leader.waiting(), 2);
    callers[0].0.set(true);
    assert_eq!(leader.waiting(), 1, "who has hung up waits no more");
    let (told, last) = step(&mut leader, post(3));
    assert_eq!((told, last), (vec![], Seq(3)));
    assert_eq!(leader.waiting(), 2);
}
