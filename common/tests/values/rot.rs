//! A record that was good once and is not any more: told, kept apart from what is good, and written again.

use replog_common::entry::Entry;
use replog_common::log::contract::entry;
use replog_common::log::disk::{DiskOptions, put_aside};
use replog_common::log::tape::{Refuses, Tape};
use replog_common::log::{Batch, DiskLog, LogStore, StoreError};
use replog_common::message::{Ack, Fetched};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::types::{Epoch, MessageId, Seq};

use crate::cluster::{Master, Nodes};
use crate::made::{at, instance, log, node};
use crate::media::{everything, open, options, owner, standing};

/// An entry whose content is nowhere else in a file.
fn marked(seq: u64) -> Entry {
    let e = entry(seq, 1);
    Entry::new(e.seq, e.epoch, e.message_id, &format!("\"mark {seq:04}\""))
}

/// A log of 50 such entries on a disk that has changed one byte of those.
fn rotten(seqs: &[u64]) -> (Tape, DiskLog) {
    rotten_by(DeduplicateBy::MessageId, seqs)
}

fn open_by(tape: &Tape, deduplicate_by: DeduplicateBy) -> DiskLog {
    let options = DiskOptions {
        deduplicate_by,
        ..options(0)
    };
    let opened = DiskLog::open(Box::new(tape.clone()), &owner(), &options);
    opened.expect("it opens").0
}

fn rotten_by(by: DeduplicateBy, seqs: &[u64]) -> (Tape, DiskLog) {
    let tape = Tape::default();
    let log = open_by(&tape, by);
    let (all, standing) = ((1..=50).map(marked).collect::<Vec<_>>(), standing());
    let batch = Batch {
        entries: &all,
        standing: Some(&standing),
        ..Batch::default()
    };
    log.write(&batch).expect("it is written");
    drop(log);
    let mut bytes = tape.bytes();
    for seq in seqs {
        let mark = format!("mark {seq:04}");
        let is_here = |w: &[u8]| w == mark.as_bytes();
        let found: Vec<usize> = (bytes.windows(mark.len()).enumerate())
            .filter_map(|(at, w)| is_here(w).then_some(at))
            .collect();
        assert!(!found.is_empty(), "entry {seq} is somewhere");
        for at in found {
            bytes[at] ^= 1;
        }
    }
    let tape = Tape::of(bytes);
    let log = open_by(&tape, by);
    (tape, log)
}

fn is_damaged(read: Result<impl std::fmt::Debug, StoreError>, at: u64) {
    match read {
        Err(StoreError::Damaged { seq }) if seq == Seq(at) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_good_is_read_and_what_is_damaged_is_told_until_it_is_mended() {
    let (tape, log) = rotten(&[20, 31]);
    assert_eq!(log.damaged(), [], "nobody has looked");
    let before = log.read(Seq(1), Seq(50), 50, usize::MAX).expect("good");
    assert_eq!(before.count, 19, "up to the damage");
    is_damaged(log.read(Seq(20), Seq(50), 50, usize::MAX), 20);
    is_damaged(everything(&log), 20);
    let after = log.read(Seq(21), Seq(50), 50, usize::MAX).expect("good");
    assert_eq!(after.count, 10);
    is_damaged(log.get(Seq(31)), 31);
    assert_eq!(log.damaged(), [Seq(20), Seq(31)]);

    for seq in [20, 31] {
        log.mend(&marked(seq)).expect("written");
    }
    assert_eq!(log.damaged(), []);
    let good: Vec<Entry> = (1..=50).map(marked).collect();
    assert_eq!(everything(&log).expect("readable"), good);
    drop(log);
    let (log, _) = open(&tape, 0).expect("it opens");
    assert_eq!(everything(&log).expect("it stays so"), good);
    let id = MessageId(uuid::Uuid::from_u128(20));
    let found = log.find(id, &marked(20).content()).expect("readable");
    assert_eq!(found, Some(Seq(20)));
}

#[test]
fn only_what_is_damaged_is_written_again() {
    let (tape, log) = rotten(&[20]);
    let other = |seq: u64| {
        let e = marked(seq);
        Entry::new(e.seq, e.epoch, e.message_id, "\"another\"")
    };
    log.mend(&other(19)).expect("nothing to do");
    assert_eq!(log.get(Seq(19)).expect("readable"), Some(marked(19)));
    log.mend(&other(51)).expect("nothing to do");
    drop(log);
    let (log, _) = open(&tape, 0).expect("it opens");
    assert_eq!(log.last().seq, Seq(50));
    assert_eq!(log.get(Seq(19)).expect("readable"), Some(marked(19)));
}

#[test]
fn what_is_damaged_is_not_cut_away_but_put_aside_with_the_rest() {
    let (_, disk) = rotten(&[20, 31]);
    is_damaged(disk.get(Seq(31)), 31);
    is_damaged(disk.get(Seq(20)), 20);
    let dir = tempfile::tempdir().expect("a directory");
    let keep = marked(25).position();
    let file = put_aside(dir.path(), &disk, log(1), keep, 7).expect("written");
    let text = std::fs::read_to_string(file.expect("a file")).expect("readable");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 25);
    assert_eq!(lines[5], r#"{"seq":31,"damaged":true}"#);
    disk.truncate(keep).expect("written");
    assert_eq!(disk.damaged(), [Seq(20)]);
}

/// The database undoes what is torn: what is wrong at the end was right once, and may be nowhere else.
#[test]
fn the_last_one_is_as_any_other() {
    let (tape, log) = rotten(&[50]);
    assert_eq!(log.damaged(), [Seq(50)]);
    assert_eq!(log.last().seq, Seq(50));
    assert_eq!(log.last().epoch, marked(50).epoch);
    is_damaged(log.get(Seq(50)), 50);
    assert_eq!(log.get(Seq(49)).expect("readable"), Some(marked(49)));
    log.append(&[marked(51)]).expect("written");
    log.mend(&marked(50)).expect("written");
    drop(log);
    let (log, _) = open(&tape, 0).expect("it opens");
    let all: Vec<Entry> = (1..=51).map(marked).collect();
    assert_eq!(everything(&log).expect("readable"), all);
}

#[test]
fn what_cannot_be_mended_is_not_said_to_be() {
    let (tape, log) = rotten(&[20]);
    is_damaged(log.get(Seq(20)), 20);
    tape.refuse(Refuses::AnyRoom);
    let full = log.append(&[marked(51)]);
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    let full = log.mend(&marked(20));
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    assert_eq!(log.damaged(), [Seq(20)]);
    tape.refuse(Refuses::Nothing);
    log.mend(&marked(20)).expect("there is room");
    assert_eq!(log.get(Seq(20)).expect("readable"), Some(marked(20)));
}

/// Nobody can read which id and which content it had.
#[test]
fn what_was_damaged_and_cut_is_found_no_more() {
    let (_, log) = rotten_by(DeduplicateBy::Content, &[45]);
    log.truncate(marked(44).position()).expect("written");
    let other = |seq: u64, content: u64| {
        let e = entry(seq, 1);
        let id = MessageId(uuid::Uuid::from_u128(1_000 + u128::from(seq)));
        Entry::new(e.seq, e.epoch, id, &format!("\"mark {content:04}\""))
    };
    log.append(&[other(45, 99), other(46, 45)])
        .expect("written");
    let find = |id: u128, seq: u64| {
        let content = marked(seq).content();
        let id = MessageId(uuid::Uuid::from_u128(id));
        log.find(id, &content).expect("readable").map(|seq| seq.0)
    };
    assert_eq!(find(7_777, 45), Some(46));
    assert_eq!(find(1_046, 45), Some(46));
    assert_eq!(find(7_777, 99), Some(45));
    assert_eq!(find(45, 7_777), None, "the id that was cut");
}

/// What an operator would have to do by hand, the nodes do: each asks whoever holds the same.
#[test]
fn only_the_very_entry_is_sent_and_taken() {
    let mut master = Master::start(1, &["s1", "s2"]);
    let mut nodes = Nodes::new(&["s1", "s2"]);
    master.run(&mut nodes, &["s1", "s2"], 5_000);
    for n in 1..=3 {
        master.append(n);
    }
    master.run(&mut nodes, &["s1", "s2"], 1_000);
    let now = at(master.now());
    let leader = &master.leader;

    // A secondary asks.
    let asks = |seq: u64, change: fn(&mut Ack)| {
        let mut ack = nodes.get("s1").ack();
        ack.damaged = Some(Seq(seq));
        change(&mut ack);
        leader.asked_for(&ack)
    };
    assert_eq!(asks(2, |_| {}), Some(Seq(2)));
    assert_eq!(asks(0, |_| {}), None, "there is no such entry");
    assert_eq!(asks(4, |_| {}), None, "it never held that");
    assert_eq!(asks(2, |a| a.epoch = Epoch(9)), None, "another master's");
    assert_eq!(asks(2, |a| a.instance = None), None, "another life's");
    assert_eq!(asks(2, |a| a.log_id = Some(log(77))), None);
    let second = &nodes.get("s1").stored[1];
    let follower = &nodes.get("s1").follower;
    let by = leader.frame::<Vec<Entry>>(Seq(1), Some(Vec::new())).by;
    assert!(by.is_some() && follower.holds(second, by));
    assert!(
        !follower.holds(second, Some(instance(99))),
        "placed by another"
    );
    let later = Entry::new(Seq(2), Epoch(9), second.message_id, "\"x\"");
    assert!(!follower.holds(&later, by), "of another life");

    // The master asks, one after the other.
    let asked = |turn| leader.ask_for(Seq(2), turn, now).expect("somebody");
    assert_eq!(
        [asked(0).0, asked(1).0, asked(2).0],
        [node("s1"), node("s2"), node("s1")]
    );
    assert_eq!(leader.ask_for(Seq(4), 0, now), None, "it was never placed");
    let fetch = asked(0).1;
    let node = nodes.get_mut("s1");
    let answer = node.follower.answer(&fetch);
    assert_eq!(node.follower.take_change(), None);
    assert_eq!(*answer.entries.start(), Seq(2));
    let answer = answer.with(vec![node.stored[1].clone()]);
    assert_eq!(leader.own(&answer), Some(&node.stored[1]));
    let lies = |change: fn(&mut Fetched<Vec<Entry>>)| {
        let mut lie = answer.clone();
        change(&mut lie);
        leader.own(&lie).is_none()
    };
    assert!(lies(|f| f.entries.clear()));
    assert!(lies(|f| f.by = Some(instance(99))));
    assert!(
        lies(|f| f.position.upto = Seq(1)),
        "not shown to be the master's"
    );
    assert!(lies(|f| f.position.epoch = Epoch(9)));
    assert!(lies(
        |f| f.entries[0] = Entry::new(Seq(2), Epoch(9), f.entries[0].message_id, "\"x\"")
    ));
}
