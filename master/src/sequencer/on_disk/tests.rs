//! What a write comes to, and what is still to be done after it.

use replog_common::log::contract::entry;
use replog_common::log::disk::{DiskLog, DiskOptions, Owner, Role};
use replog_common::log::tape::{Refuses, Tape};
use replog_common::protocol::dedup::DeduplicateBy;
use replog_common::protocol::outcome::ReadOnly;

use super::*;

fn log(tape: &Tape) -> Arc<dyn LogStore> {
    let owner = Owner {
        role: Role::Master,
        node: None,
        cluster: "default".to_owned(),
    };
    let options = DiskOptions {
        cache_bytes: 0,
        deduplicate_by: DeduplicateBy::MessageId,
    };
    let opened = DiskLog::open(Box::new(tape.clone()), &owner, &options);
    Arc::new(opened.expect("a good disk").0)
}

fn job(log: &Arc<dyn LogStore>, cut: Option<u64>, entries: &[u64]) -> Done {
    job_aside(log, cut, entries, None)
}

fn job_aside(
    log: &Arc<dyn LogStore>,
    cut: Option<u64>,
    entries: &[u64],
    dir: Option<&std::path::Path>,
) -> Done {
    let job = Job {
        log: Arc::clone(log),
        generation: 0,
        clear: None,
        cut: cut.map(|seq| Position {
            seq: Seq(seq),
            ..Position::default()
        }),
        aside: dir.map(|dir| (dir.to_owned(), LogId(uuid::Uuid::nil()))),
        entries: entries.iter().map(|seq| entry(*seq, 100_000)).collect(),
        standing: Standing::default(),
        stands_anew: true,
    };
    job.run()
}

/// What was written before a cut was overtaken by it, and nobody was told; the cut tells.
#[test]
fn a_cut_says_what_is_left() {
    let log = log(&Tape::default());
    let _overtaken = job(&log, None, &[1, 2, 3, 4, 5, 6, 7]);
    let done = job(&log, Some(5), &[]);
    assert_eq!(done.result.expect("written").last, Seq(5));
}

/// Of two cuts, of which the first found no room, the deeper one is still to be done.
#[test]
fn what_found_no_room_is_still_to_be_done() {
    let tape = Tape::default();
    let log = log(&tape);
    let mut disk = OnDisk::new(PathBuf::new(), Standing::default());
    tape.refuse(Refuses::AnyRoom);
    let done = job(&log, Some(0), &[1, 2]);
    assert!(matches!(done.result, Err(StoreError::Full)), "{done:?}");
    disk.cut(Position {
        seq: Seq(5),
        ..Position::default()
    });
    disk.put_back(done.cut, done.clear);
    assert_eq!(disk.cut.map(|cut| cut.seq), Some(Seq::ZERO));
    let (replies, answers): (Vec<_>, Vec<_>) =
        [(); 3].map(|()| oneshot::channel()).into_iter().unzip();
    let mut replies = replies.into_iter();
    let first = replies.next().expect("three");
    replies.for_each(|reply| disk.clear(reply));
    disk.put_back(None, Some(vec![first]));
    assert!(disk.cut.is_none() && disk.is_to_clear());
    for reply in disk.clear.take().expect("all of them") {
        reply.send(Err(ReadOnly::DiskFull)).ok();
    }
    assert!(
        answers
            .into_iter()
            .all(|mut answer| answer.try_recv().is_ok())
    );
}

#[test]
fn what_is_still_in_the_log_is_not_aside() {
    let (tape, dir) = (Tape::default(), tempfile::tempdir().expect("a directory"));
    let log = log(&tape);
    job(&log, None, &[1, 2, 3, 4, 5, 6, 7])
        .result
        .expect("written");
    let files = || std::fs::read_dir(dir.path()).expect("readable").count();
    tape.refuse(Refuses::RoomToWrite);
    let full = job_aside(&log, Some(5), &[], Some(dir.path()));
    assert!(matches!(full.result, Err(StoreError::Full)), "{full:?}");
    assert_eq!(files(), 0);
    tape.refuse(Refuses::Nothing);
    let done = job_aside(&log, Some(5), &[], Some(dir.path()));
    assert_eq!(done.result.expect("written").last, Seq(5));
    assert_eq!(files(), 1);
}
