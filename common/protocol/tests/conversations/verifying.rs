//! Whether the logs of the secondaries are the same as the master's, by their digests.

use replog_protocol::digest::{Digest, DigestAt};
use replog_protocol::digests::STRIDE;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Seq, Time};
use replog_protocol::leader::command::{Answer, Command, Unavailable};
use replog_protocol::leader::verification::{MAX_VERIFYING, Verified, VerifiedNode};
use replog_protocol::node::Purpose;
use replog_protocol::wire::{Ack, Address, AppendEntries, Message};

use crate::support::cluster::Cluster;
use crate::support::hand::{Master, refused, secondary_by, serving, serving_by};
use crate::support::journal::Journal;
use crate::support::{
    Client, at, entry_of, epoch, heartbeat, leader_config, leadership, log, ms, node,
};

fn verify(wait: u64, client: u32) -> Command<Client> {
    Command::Verify {
        wait: ms(wait),
        waiter: Client(client),
    }
}

/// What a client of that master is told after so many milliseconds at most.
fn verified(cluster: &mut Cluster, group: &str, client: u32, wait: u64) -> Verified {
    cluster.command('1', verify(wait, client));
    cluster.run(group, wait);
    match cluster.answer('1', client) {
        Some(Answer::Verified(verified)) => verified.clone(),
        other => panic!("{other:?}"),
    }
}

fn of(verified: &Verified, name: &str) -> VerifiedNode {
    let mut nodes = verified.nodes.iter().filter(|n| n.node == node(name));
    nodes.next().expect("it is known").clone()
}

/// A log of that length with one entry that is another one, if `other` is not 0; all of them in one history and epoch.
fn disk(entries: u64, other: u64) -> Journal {
    let placed_in = epoch(3, 7);
    let mut journal = Journal::of(log(1), &[(entries, placed_in)]);
    if other > 0 {
        let wrong = entry_of(other, placed_in, 99_999, "not what was sent");
        journal.entries[other as usize - 1] = wrong;
    }
    journal
}

/// A master and two secondaries with logs of that length on their disks; an entry of B is another one, if `other` is not 0.
fn on_disks(entries: u64, other: u64) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.start('a', disk(entries, 0));
    cluster.start('b', disk(entries, other));
    cluster.start_master('1', "ab", disk(entries, 0));
    cluster.run("1ab", 4_000);
    assert_eq!(cluster.unavailable('1'), None);
    cluster
}

#[test]
fn the_same_logs_are_equal_and_that_is_known_at_once() {
    let mut cluster = Cluster::settled("ab", 5);
    cluster.command('1', verify(1_000, 70));
    cluster.run("1ab", 1);
    let Some(Answer::Verified(verified)) = cluster.answer('1', 70) else {
        panic!("nobody has to wait for the next heartbeat");
    };
    assert!(verified.is_equal() && verified.is_answered());
    assert_eq!((verified.upto(), verified.last), (Seq(5), Seq(5)));
    assert_eq!(verified.leadership, cluster.leadership('1'));
    for name in ["a", "b"] {
        let node = of(verified, name);
        assert!(node.is_member && node.answers && node.is_equal);
        assert_eq!((node.upto, node.first_difference), (Seq(5), None));
    }
}

#[test]
fn an_empty_log_is_the_same_everywhere() {
    let mut cluster = Cluster::settled("ab", 0);
    let verified = verified(&mut cluster, "1ab", 70, 100);
    assert!(verified.is_equal() && verified.is_answered());
    assert_eq!(verified.upto(), Seq::ZERO);
}

/// With the same positions and epochs nothing else would ever tell.
#[test]
fn the_first_entry_that_differs_is_found() {
    const LAST: u64 = 2 * STRIDE + 900;
    for wrong in [
        1,
        2,
        1_000,
        STRIDE - 1,
        STRIDE,
        STRIDE + 1,
        2 * STRIDE,
        LAST - 1,
        LAST,
    ] {
        let mut cluster = on_disks(LAST, wrong);
        // The heartbeats have found it before anybody asks.
        let difference = cluster.leader('1').difference(&node("b"));
        assert_eq!(difference.and_then(|d| d.first()), Some(Seq(wrong)));
        assert_eq!(cluster.leader('1').difference(&node("a")), None);
        let verified = verified(&mut cluster, "1ab", 70, 100);
        assert!(verified.is_answered() && !verified.is_equal());
        assert_eq!(verified.upto(), Seq(wrong - 1));
        let (a, b) = (of(&verified, "a"), of(&verified, "b"));
        assert!(a.is_equal && !b.is_equal && b.answers);
        assert_eq!((a.upto, a.first_difference), (Seq(LAST), None));
        assert_eq!(
            (b.upto, b.first_difference),
            (Seq(wrong - 1), Some(Seq(wrong)))
        );
        // It is only said: nobody is fenced, nothing is deleted, and what comes next is replicated and counts.
        assert_eq!(cluster.journal('b').entries, disk(LAST, wrong).entries);
        assert_eq!(cluster.journal('1').entries, disk(LAST, 0).entries);
        let client = cluster.append('1', 3);
        cluster.run("1ab", 100);
        assert_eq!(cluster.replicated('1', client), Some(3));
    }
}

/// As often as two logs are halved, and then no more than without.
#[test]
fn a_difference_is_found_in_few_messages_and_then_there_is_silence() {
    let mut cluster = on_disks(2 * STRIDE + 900, 5_000);
    let b = Address::Heartbeat(node("b"));
    let heartbeats = |cluster: &Cluster, from: Time| {
        let sent = cluster.sent_since(from);
        sent.filter(|sent| sent.out.to == b).count()
    };
    assert!(heartbeats(&cluster, Time::ZERO) < 40);
    let from = cluster.now();
    cluster.run("1ab", 10_000);
    let then = heartbeats(&cluster, from);
    assert!(then <= 21, "one in each interval: {then}");
}

/// Each node reads its own log once, and not again as long as it runs.
#[test]
fn a_log_on_a_disk_is_read_once() {
    let mut cluster = on_disks(STRIDE + 10, 0);
    let known = |cluster: &Cluster, key| cluster.follower(key).log().digests().end();
    assert_eq!(cluster.leader('1').log().digests().end(), Seq(STRIDE + 10));
    assert_eq!(known(&cluster, 'a'), Seq(STRIDE + 10));
    cluster.secondary_mut('a').reads_wait = true;
    cluster.append('1', 3);
    cluster.run("1ab", 5_000);
    assert_eq!(known(&cluster, 'a'), Seq(STRIDE + 11));
    assert_eq!(cluster.leader('1').log().digests().end(), Seq(STRIDE + 11));
    assert!(cluster.secondary_mut('a').reads.is_empty());
}

#[test]
fn a_secondary_that_is_gone_is_said_so_and_not_waited_for() {
    let mut cluster = Cluster::settled("ab", 5);
    drop(cluster.kill('b'));
    cluster.run("1a", 20_000);
    cluster.command('1', verify(60_000, 70));
    cluster.run("1a", 1);
    let Some(Answer::Verified(verified)) = cluster.answer('1', 70) else {
        panic!("it is known to be gone");
    };
    assert!(verified.is_equal() && !verified.is_answered());
    assert_eq!(verified.upto(), Seq(5), "of those that answer");
    let b = of(verified, "b");
    assert!(!b.answers && !b.is_equal);
    assert_eq!(b.upto, Seq(5), "what was known before");
}

/// One that was alive a moment ago has its time.
#[test]
fn a_secondary_that_does_not_answer_is_waited_for_so_long() {
    let mut cluster = Cluster::settled("ab", 5);
    cluster.suspend('b');
    cluster.command('1', verify(700, 70));
    cluster.run("1ab", 699);
    assert_eq!(cluster.answer('1', 70), None);
    cluster.run("1ab", 1);
    let Some(Answer::Verified(verified)) = cluster.answer('1', 70) else {
        panic!("its time is up");
    };
    assert!(of(verified, "a").is_equal && !of(verified, "b").answers);
}

/// A secondary whose program knows nothing of digests goes on as before.
#[test]
fn a_secondary_that_says_no_digest_is_no_worse_for_it() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    master.command(verify(500, 70), at(10));
    let asked = master.heartbeats("a").pop().expect("it is asked at once");
    assert_eq!(asked.digest, Some(DigestAt::default()));
    master.hear(master.answer_of("a", 1, 0, asked.round), at(11));
    assert_eq!(master.answer(70), None);
    master.idle(at(11), at(600));
    let Some(Answer::Verified(verified)) = master.answer(70) else {
        panic!("its time is up");
    };
    assert!(!of(verified, "a").answers && !of(verified, "a").is_equal);
    master.post(1, 2, at(601));
    master.hear(master.position_of("a", 1, 1), at(602));
    assert_eq!(master.replicated(1), Some(2));
}

/// A master whose program knows nothing of digests makes nobody read.
#[test]
fn a_secondary_that_nobody_asks_reads_nothing() {
    let leader = leadership(1, 3, 7);
    let mut secondary = secondary_by("a", 9, disk(20, 0));
    secondary.reads_wait = true;
    let shows = AppendEntries {
        prev: secondary.journal.position(Seq(20)).unwrap(),
        tail: Seq(20),
        ..heartbeat(leader)
    };
    secondary.receive(shows.clone(), at(1));
    assert_eq!(secondary.last_ack().digest, None);
    assert!(secondary.reads.is_empty());
    // Once it is asked it reads, and says it then.
    let (seq, hash) = (Seq(20), Digest::EMPTY);
    secondary.receive(
        AppendEntries {
            digest: Some(DigestAt { seq, hash }),
            ..shows
        },
        at(2),
    );
    assert_eq!(secondary.last_ack().digest, None);
    assert!(matches!(secondary.reads[0].purpose, Purpose::Digest(_)));
    secondary.read(at(3));
    let said = secondary.last_ack();
    let expected = digest(&secondary.journal.entries);
    assert_eq!(
        (said.upto, said.digest),
        (
            seq,
            Some(DigestAt {
                seq,
                hash: expected
            })
        )
    );
    // And nothing once more, as it owes no answer.
    secondary.tick(at(4));
    assert!(secondary.take_acks().is_empty());
}

fn digest(entries: &[EntryBatch]) -> Digest {
    let then = |digest: Digest, entry: &EntryBatch| digest.then(entry.text());
    entries.iter().fold(Digest::EMPTY, then)
}

/// While a long log is being read, what is known of it is said.
#[test]
fn a_secondary_that_still_reads_says_how_far_it_is_the_same() {
    let leader = leadership(1, 3, 7);
    let last = Seq(2 * STRIDE);
    let mut secondary = secondary_by("a", 9, disk(last.0, 0));
    secondary.reads_wait = true;
    let asks = AppendEntries {
        prev: secondary.journal.position(last).unwrap(),
        tail: last,
        digest: Some(DigestAt {
            seq: last,
            hash: Digest::EMPTY,
        }),
        ..heartbeat(leader)
    };
    let mut said = Vec::new();
    for round in 0..20 {
        secondary.receive(asks.clone(), at(10 * round));
        said.extend(
            secondary
                .take_acks()
                .into_iter()
                .filter_map(|ack| ack.digest),
        );
        if !secondary.reads.is_empty() {
            secondary.read(at(10 * round + 5));
        }
    }
    let seqs: Vec<u64> = said.iter().map(|at| at.seq.0).collect();
    assert!(
        seqs.is_sorted() && seqs.contains(&STRIDE) && seqs.last() == Some(&last.0),
        "{seqs:?}"
    );
    for at in said {
        let upto = &secondary.journal.entries[..at.seq.0 as usize];
        assert_eq!(at.hash, digest(upto));
    }
}

/// The digest of what is not the master's, or not stored, is nobody's business.
#[test]
fn a_secondary_is_not_asked_for_more_than_it_acknowledges() {
    let leader = leadership(1, 3, 7);
    let mut secondary = secondary_by("a", 9, disk(20, 0));
    let beyond = DigestAt {
        seq: Seq(21),
        hash: Digest::EMPTY,
    };
    let shows = AppendEntries {
        prev: secondary.journal.position(Seq(10)).unwrap(),
        tail: Seq(20),
        digest: Some(beyond),
        ..heartbeat(leader)
    };
    secondary.receive(shows.clone(), at(1));
    assert_eq!(secondary.last_ack().digest, None);
    let seq = Seq(15);
    let not_verified = AppendEntries {
        digest: Some(DigestAt { seq, ..beyond }),
        ..shows
    };
    secondary.receive(not_verified, at(2));
    let ack = secondary.last_ack();
    assert_eq!((ack.upto, ack.digest), (Seq(10), None));
}

/// A digest is believed as little as it takes: it is shown, and that is all.
#[test]
fn a_forged_digest_harms_nobody() {
    let mut master = serving(None);
    master.join("a", 1, 0, at(1));
    master.join("b", 2, 0, at(1));
    for n in 1..=9 {
        master.post(n, 1, at(2));
    }
    master.idle(at(2), at(1_200));
    master.hear(master.position_of("b", 2, 9), at(1211));
    master.hear(master.position_of("a", 1, 9), at(1211));
    master.sent.clear();
    // Ten thousand lies in one heartbeat interval, at every position.
    for n in 0..10_000u64 {
        let lie = DigestAt {
            seq: Seq(n % 12),
            hash: Digest::EMPTY.then(&n.to_le_bytes()),
        };
        let ack = Ack {
            digest: Some(lie),
            ..master.position_of("a", 1, 9)
        };
        master.hear(ack, at(1212));
    }
    let asked = master.heartbeats("a").len();
    assert!(
        asked <= 70,
        "one at once for each answer to a question, and a bound: {asked}"
    );
    assert!(master.node.difference(&node("a")).is_some());
    assert_eq!(master.node.difference(&node("b")), None);
    assert_eq!(master.unavailable(at(1212)), None);
    assert_eq!(master.acks(9), 3, "its position counts as before");
    assert_eq!(master.journal.entries.len(), 9);
    master.post(10, 3, at(1213));
    master.hear(master.position_of("a", 1, 10), at(1214));
    master.hear(master.position_of("b", 2, 10), at(1214));
    assert_eq!(master.replicated(10), Some(3));
}

/// It says that it differs where it is asked, and then that it does not: the search begins again and again.
#[test]
fn whoever_answers_is_not_asked_on_without_a_bound() {
    let mut master = serving(None);
    master.join("a", 1, 0, at(1));
    for n in 1..=9 {
        master.post(n, 1, at(2));
    }
    master.hear(master.position_of("a", 1, 9), at(3));
    master.idle(at(3), at(1_200));
    let truth = master.node.log().digest_at(Seq(9));
    for n in 0..2_000u64 {
        let asked = master.heartbeats("a").last().and_then(|h| h.digest);
        let hash = Digest::EMPTY.then(&n.to_le_bytes());
        let lie = asked.map(|asked| DigestAt { hash, ..asked });
        for digest in [lie, truth] {
            let ack = Ack {
                digest,
                ..master.position_of("a", 1, 9)
            };
            master.hear(ack, at(1_201));
        }
    }
    let asked = master.heartbeats("a").len();
    assert!(asked <= 80, "{asked}");
}

/// A digest of what it does not even claim to hold says nothing.
#[test]
fn a_digest_beyond_the_position_is_not_looked_at() {
    let mut master = serving(None);
    master.join("a", 1, 0, at(1));
    master.post(1, 1, at(2));
    master.idle(at(2), at(1_200));
    let beyond = Ack {
        digest: Some(DigestAt {
            seq: Seq(1),
            hash: Digest::EMPTY,
        }),
        ..master.position_of("a", 1, 0)
    };
    master.hear(beyond, at(1_201));
    assert_eq!(master.node.difference(&node("a")), None);
}

/// What was different is forgotten with the log that it was of.
#[test]
fn a_new_history_is_compared_anew() {
    let mut cluster = on_disks(20, 7);
    assert!(cluster.leader('1').difference(&node("b")).is_some());
    cluster.clear('1', 500);
    cluster.run("1ab", 2_000);
    assert_eq!(cluster.leader('1').difference(&node("b")), None);
    cluster.append('1', 3);
    cluster.run("1ab", 2_000);
    let verified = verified(&mut cluster, "1ab", 70, 100);
    assert!(verified.is_equal() && verified.is_answered());
    assert_eq!(verified.upto(), Seq(1));
}

/// Its storage is another one then, and what the former one held is not what it holds.
#[test]
fn a_secondary_that_comes_back_with_nothing_is_equal_once_it_is_filled() {
    let mut cluster = on_disks(20, 7);
    drop(cluster.kill('b'));
    cluster.start('b', Journal::default());
    cluster.run("1ab", 5_000);
    let verified = verified(&mut cluster, "1ab", 70, 100);
    assert!(verified.is_equal() && verified.is_answered());
    assert_eq!(of(&verified, "b").upto, Seq(20));
}

/// What two masters have placed unheard of each other is rolled back, and the digest with it.
#[test]
fn a_tail_that_was_rolled_back_is_not_in_the_digest() {
    let mut cluster = Cluster::settled("ab", 5);
    // B alone gets two more of a master that nobody else hears.
    cluster.append('1', 1);
    cluster.append('1', 1);
    cluster.run("1b", 500);
    drop(cluster.kill('1'));
    let b = cluster.kill('b');
    cluster.start_master('2', "ab", cluster.journal('a').clone());
    cluster.run("2a", 5_000);
    cluster.command('2', crate::support::post(300, 1, 300));
    cluster.start('b', b);
    cluster.run("2ab", 5_000);
    assert!(!cluster.journal('b').rollbacks.is_empty());
    cluster.command('2', verify(100, 70));
    cluster.run("2ab", 100);
    let Some(Answer::Verified(verified)) = cluster.answer('2', 70) else {
        panic!("no answer");
    };
    assert!(verified.is_equal() && verified.is_answered());
    assert_eq!(of(verified, "b").upto, Seq(6));
}

/// An entry that has rotted is found at the latest by the digest after a start, is repaired, and is the same again.
#[test]
fn what_has_rotted_is_found_when_the_log_is_read_for_its_digest() {
    let mut cluster = Cluster::settled("ab", 30);
    let mut journal = cluster.kill('b');
    journal.damaged.insert(Seq(17));
    // Nobody reads it but for that: the new start is not told of the damage before.
    cluster.start('b', journal);
    cluster.run("1ab", 10_000);
    assert!(cluster.journal('b').damaged.is_empty());
    let verified = verified(&mut cluster, "1ab", 70, 100);
    assert!(verified.is_equal() && verified.is_answered());
    assert_eq!(of(&verified, "b").upto, Seq(30));
}

/// With an entry that nobody can read any more it is said how far the logs are the same.
#[test]
fn what_cannot_be_read_is_not_equal() {
    let mut cluster = Cluster::settled("a", 30);
    cluster.rot('1', 17);
    let mut journal = cluster.kill('a');
    journal.damaged.insert(Seq(17));
    cluster.start('a', journal);
    cluster.run("1a", 5_000);
    let verified = verified(&mut cluster, "1a", 70, 100);
    assert!(!of(&verified, "a").is_equal);
    assert_eq!(of(&verified, "a").first_difference, None);
}

/// The answer is of the master that was asked, or there is none.
#[test]
fn who_does_not_lead_verifies_nothing() {
    let mut master: Master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    master.command(verify(10_000, 70), at(2));
    let by = leadership(1002, 900, 3);
    let superseded = Ack {
        epoch: by.epoch,
        ..master.position_of("a", 1, 0)
    };
    master.hear(superseded, at(3));
    assert_eq!(master.answer(70), Some(&refused(Unavailable::Fenced)));
    master.command(verify(10_000, 71), at(4));
    assert_eq!(master.answer(71), Some(&refused(Unavailable::Fenced)));
}

#[test]
fn who_waits_is_told_that_the_master_stops() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    master.command(verify(10_000, 70), at(2));
    master.step(replog_protocol::node::Input::Stop, at(3));
    assert_eq!(master.answer(70), Some(&refused(Unavailable::Stopping)));
}

#[test]
fn a_bounded_number_of_clients_waits() {
    let mut master = serving(Some(&["a"]));
    master.join("a", 1, 0, at(1));
    let many = u32::try_from(MAX_VERIFYING).unwrap();
    for n in 0..=many {
        master.command(verify(10_000, n), at(2));
    }
    assert_eq!(
        master.answer(many),
        Some(&refused(Unavailable::TooManyWaiting))
    );
    assert_eq!(master.answer(many - 1), None);
}

/// Where digests are not compared, nothing of them travels.
#[test]
fn a_master_that_does_not_compare_says_no_digest() {
    let mut config = leader_config(2, Some(&["a"]));
    config.replication.compares_digests = false;
    let mut master = serving_by(config, Journal::default());
    master.reads_wait = true;
    master.join("a", 1, 0, at(1));
    master.idle(at(1), at(3_000));
    let is_silent = |out: &replog_protocol::node::Outbound| match &out.message {
        Message::Append(frame) => frame.digest.is_none(),
        _ => true,
    };
    assert!(master.sent.iter().all(is_silent));
    assert!(master.reads.is_empty());
}
