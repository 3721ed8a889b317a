//! What a master takes over, and what it must wait for.

use replog_protocol::event::Event;
use replog_protocol::ids::{NodeId, Seq};
use replog_protocol::leader::LeaderConfig;
use replog_protocol::leader::command::Unavailable;
use replog_protocol::leader::recovery::{RecoverySettings, Requires};
use replog_protocol::node::{End, Input};
use replog_protocol::wire::{
    Ack, Address, MasterAnnouncement, MasterState, Message, Prepare, Promise,
};

use crate::support::cluster::Cluster;
use crate::support::hand::{names, recovering_by, secondary_by};
use crate::support::journal::Journal;
use crate::support::process::Disk;
use crate::support::{
    at, cleared, epoch, hello, leader_config, leadership, log, node, recovery_settings, request,
};

/// What a master has said when it began to serve: entries, whether they are new, who was heard and who was not.
fn serving(cluster: &Cluster, master: char) -> (u64, bool, Vec<NodeId>, Vec<NodeId>) {
    let mut all = cluster.events(master).iter().filter_map(|e| match e {
        Event::Serving {
            entries,
            new,
            heard,
            not_heard,
            ..
        } => Some((*entries, *new, heard.clone(), not_heard.clone())),
        _ => None,
    });
    let told = all.next().expect("it serves");
    assert!(all.next().is_none(), "said once");
    told
}

/// Secondaries with those logs, and nobody else.
fn cluster_of(journals: &[(char, Journal)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (key, journal) in journals {
        cluster.start(*key, journal.clone());
    }
    cluster
}

fn of_one(count: u64) -> Journal {
    Journal::of(log(1), &[(count, epoch(1, 1))])
}

#[test]
fn a_first_master_begins_a_new_history() {
    let mut cluster = Cluster::new("ab");
    cluster.master('1', "ab");
    cluster.run("1ab", 499);
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Recovering));
    // Everybody has answered, and no other master.
    cluster.run("1ab", 1);
    assert_eq!(cluster.unavailable('1'), None);
    assert_eq!(cluster.leadership('1'), leadership(1001, 1, 1));
    let (entries, is_new, heard, not_heard) = serving(&cluster, '1');
    assert_eq!((entries, is_new), (0, true));
    assert_eq!((names(&heard), names(&not_heard)), (vec!["a", "b"], vec![]));
}

#[test]
fn who_is_not_heard_is_waited_for_once_and_named() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    cluster.master('2', "ab");
    cluster.run("2a", 2_999);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2a", 1);
    let (entries, is_new, heard, not_heard) = serving(&cluster, '2');
    assert_eq!((entries, is_new), (3, false));
    assert_eq!((names(&heard), names(&not_heard)), (vec!["a"], vec!["b"]));
    let not_seen: Vec<_> = cluster.leader('2').not_seen().cloned().collect();
    assert_eq!(names(&not_seen), ["b"]);
    cluster.start('b', Journal::default());
    cluster.run("2ab", 1_000);
    assert_eq!(cluster.leader('2').not_seen().count(), 0);
}

#[test]
fn a_shorter_log_of_a_later_epoch_that_is_heard_late_is_the_better_one() {
    let late = Journal::of(log(1), &[(2, epoch(1, 1)), (2, epoch(2, 2))]);
    let mut cluster = cluster_of(&[('a', of_one(5)), ('b', late.clone())]);
    cluster.start_master_by('3', leader_config(3, None), Journal::default());
    cluster.set_disk('3', Disk::Slow);
    cluster.run("3a", 3_100);
    // All of the longer one is here, and being written, when the other one speaks.
    let writing = cluster.master_mut('3').writing.clone().expect("it writes");
    assert_eq!(writing.entries.last().map(|b| b.last()), Some(Seq(5)));
    assert!(writing.hard_state.expect("it says so").is_partial);
    let position = cluster.ack('b');
    cluster.step('3', Message::Ack(position));
    cluster.run("3ab", 600);
    let now = cluster.now();
    cluster.set_disk('3', Disk::Prompt);
    cluster.master_mut('3').write_done(now);
    cluster.run("3ab", 2_000);
    assert_eq!(cluster.unavailable('3'), None);
    assert_eq!(cluster.journal('3').entries, late.entries);
    assert!(cluster.leadership('3').epoch > epoch(2, 2));
    assert_eq!(cluster.journal('3').rolled_back(), 0, "A has kept them");
    assert_eq!(cluster.journal('a').rolled_back(), 3);
    assert_eq!(cluster.journal('a').entries, late.entries);
}

#[test]
fn an_outage_does_not_make_everybody_silent() {
    let mut cluster = cluster_of(&[('a', of_one(3)), ('b', of_one(5))]);
    cluster.master('2', "ab");
    cluster.run("2ab", 400);
    cluster.link_down('2');
    cluster.run("", 20_000);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.link_up('2');
    cluster.run("2ab", 600);
    let (entries, _, heard, _) = serving(&cluster, '2');
    assert_eq!((entries, names(&heard)), (5, vec!["a", "b"]));
}

#[test]
fn an_empty_history_gives_way_to_one_that_is_heard_later() {
    let mut cluster = cluster_of(&[('a', of_one(3)), ('b', of_one(5))]);
    cluster.master('2', "ab");
    cluster.run("2", 5_000);
    assert_eq!(cluster.leadership('2').log_id, log(1002));
    let waits = cluster.append('2', 1);
    assert_eq!(cluster.replicated('2', waits), Some(1));
    // With an entry in it, it does not.
    cluster.run("2ab", 5_000);
    assert_eq!(cluster.leadership('2').log_id, log(1002));
    // Without one, it asks again; and not only the first one that it hears.
    cluster.master('3', "ab");
    cluster.run("3", 5_000);
    assert_eq!(cluster.leadership('3').log_id, log(1003));
    let position = cluster.ack('a');
    cluster.step('3', Message::Ack(position));
    assert_eq!(cluster.unavailable('3'), Some(Unavailable::Recovering));
    cluster.run("3ab", 5_000);
    assert_eq!(cluster.unavailable('3'), None);
    assert_eq!(cluster.leadership('3').log_id, log(1));
    assert_eq!(cluster.journal('3').last(), Seq(5));
    assert_eq!(cluster.journal('b').rolled_back(), 0);
}

#[test]
fn invented_names_do_not_shut_out_a_listed_member() {
    let mut cluster = cluster_of(&[('a', of_one(5))]);
    cluster.master('2', "a");
    for n in 0..1_000 {
        let position = Ack {
            log_id: Some(log(1)),
            ..hello(&format!("x{n}"), 9)
        };
        cluster.step('2', Message::Ack(position));
    }
    cluster.run("2a", 10_000);
    assert_eq!(cluster.journal('2').last(), Seq(5));
}

/// Else the former master could be the first one that it hears, and count it for what the new one never sees.
#[test]
fn one_that_holds_nothing_has_to_promise_too() {
    let mut cluster = cluster_of(&[('a', of_one(5)), ('b', Journal::default())]);
    cluster.master('2', "ab");
    cluster.run("2ab", 400);
    cluster.run("2a", 1_000);
    let asked = cluster.sent_since(at(500));
    let prepares = |name: &str| {
        let to = Address::Prepare(node(name));
        asked.filter(|s| s.out.to == to).count()
    };
    assert!(prepares("b") >= 2, "asked again and again");
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2ab", 600);
    assert_eq!(cluster.unavailable('2'), None);
    let promised = cluster.journal('b').hard_state.clone();
    assert_eq!(
        (promised.log_id, promised.epoch),
        (Some(log(1)), epoch(2, 2))
    );
}

/// The only holder is silent for a while; it is waited for once more before its history is given up.
#[test]
fn one_that_holds_nothing_is_no_holder() {
    let mut cluster = cluster_of(&[('a', of_one(5)), ('b', Journal::default())]);
    cluster.start_master_by('2', leader_config(2, None), Journal::default());
    cluster.run("2ab", 2_900);
    cluster.run("2b", 3_500);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2ab", 2_000);
    assert_eq!(cluster.unavailable('2'), None);
    assert_eq!(cluster.journal('2').last(), Seq(5));
}

// ---- A promise, and what is said of it.

#[test]
fn a_promise_is_said_only_when_it_is_durable() {
    let mut secondary = secondary_by("a", 9, of_one(3));
    secondary.disk = Disk::Slow;
    let leader = leadership(1, 4, 4);
    let prepare = Prepare {
        leader,
        cleared: cleared(&[]),
    };
    secondary.message(Message::Prepare(prepare.clone()), at(1));
    secondary.message(Message::Prepare(prepare), at(400));
    // Nor is anything else said of it: an ACK would be one.
    secondary.receive(crate::support::heartbeat(leadership(1, 1, 1)), at(401));
    assert!(secondary.take_sent().is_empty());
    secondary.write_done(at(402));
    let sent = secondary.take_sent();
    let promises = sent.iter().filter_map(|out| match &out.message {
        Message::Promise(Promise { position }) => Some((out.to.clone(), position.clone())),
        _ => None,
    });
    let promises: Vec<_> = promises.collect();
    assert_eq!(promises.len(), 1);
    let (to, position) = &promises[0];
    assert_eq!(*to, Address::Promise(node("a")));
    assert_eq!((position.epoch, position.last.seq), (leader.epoch, Seq(3)));
    assert_eq!(secondary.journal.hard_state.epoch, leader.epoch);
}

/// A lower epoch is answered with the one that was promised.
#[test]
fn who_has_promised_more_says_so() {
    let mut secondary = secondary_by("a", 9, Journal::of(log(1), &[(2, epoch(5, 5))]));
    let prepare = Prepare {
        leader: leadership(1, 3, 3),
        cleared: cleared(&[]),
    };
    secondary.message(Message::Prepare(prepare), at(1));
    let sent = secondary.take_sent();
    let Message::Promise(Promise { position }) = &sent[0].message else {
        panic!("{sent:?}");
    };
    assert_eq!(position.epoch, epoch(5, 5));
    // And the master rises above it.
    let mut cluster = cluster_of(&[('a', Journal::of(log(1), &[(2, epoch(5, 5))]))]);
    cluster.start_master('2', "ab", of_one(1));
    cluster.run("2a", 5_000);
    assert_eq!(cluster.leadership('2').epoch, epoch(6, 2));
}

#[test]
fn nobody_hears_of_an_epoch_that_is_not_durable() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    let own = of_one(3);
    cluster.start_master('2', "a", own);
    cluster.set_disk('2', Disk::Slow);
    cluster.run("2a", 3_000);
    assert!(cluster.master_of('2').writing.is_some());
    let of_master = |cluster: &Cluster| {
        let sent = cluster.trace.iter().filter(|s| s.from == '2');
        let is_led = |s: &&crate::support::cluster::Sent| match &s.out.message {
            Message::Announcement(announcement) => announcement.is_serving(),
            Message::Append(_) => true,
            _ => false,
        };
        sent.filter(is_led).count()
    };
    assert_eq!(of_master(&cluster), 0);
    assert!(cluster.events('2').iter().all(|e| e.kind() != "serving"));
    // An append is placed, and answered when it is true.
    let client = cluster.append('2', 1);
    assert_eq!(cluster.answer('2', client), None);
    let now = cluster.now();
    cluster.master_mut('2').write_done(now);
    cluster.run("2a", 1_000);
    assert!(of_master(&cluster) > 0);
    assert_eq!(serving(&cluster, '2').0, 3);
}

/// Whoever has promised, or was heard, may follow another master by now.
#[test]
fn a_promise_from_before_a_pause_of_the_master_does_not_count() {
    let mut cluster = Cluster::settled("ab", 3);
    drop(cluster.kill('1'));
    cluster.master('2', "ab");
    cluster.run("2ab", 400);
    // A promises; B was heard, and is awaited.
    cluster.run("2a", 600);
    assert_eq!(cluster.ack('a').epoch, epoch(2, 2));
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.suspend('2');
    cluster.run("ab", 10_000);
    cluster.resume('2');
    cluster.run("2b", 1_500);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2b", 4_000);
    assert_eq!(cluster.unavailable('2'), None);
    let (entries, _, heard, not_heard) = serving(&cluster, '2');
    assert_eq!(
        (entries, names(&heard), names(&not_heard)),
        (3, vec!["b"], vec!["a"])
    );
}

/// Another one that starts asks whether somebody serves. With the epoch lost in a crash, nobody would have.
#[test]
fn a_master_whose_epoch_is_being_written_does_not_say_that_it_serves() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    cluster.start_master('2', "a", of_one(3));
    cluster.set_disk('2', Disk::Slow);
    cluster.run("2a", 3_000);
    assert!(cluster.master_of('2').writing.is_some());
    cluster.master('3', "a");
    cluster.run("23", 400);
    let serving = |cluster: &Cluster| {
        let mut sent = cluster.trace.iter().filter(|s| s.from == '2');
        let is_it = |m: &Message| matches!(m, Message::Announcement(a) if a.is_serving());
        sent.any(|s| is_it(&s.out.message))
    };
    assert!(!serving(&cluster) && !cluster.has_ended('3'));
    // What is shown to readers is what would be known again.
    let shown = cluster
        .master_of('2')
        .snapshot
        .clone()
        .and_then(|s| s.leadership);
    assert_eq!(shown.map(|l| l.epoch.n), Some(1));
    let now = cluster.now();
    cluster.master_mut('2').write_done(now);
    cluster.run("23", 1_000);
    assert!(serving(&cluster) && cluster.has_ended('3'));
    let shown = cluster
        .master_of('2')
        .snapshot
        .clone()
        .and_then(|s| s.leadership);
    assert_eq!(shown, Some(cluster.leadership('2')));
}

// ---- Two starts of one name.

/// Two processes of one name: one has five entries, the other an older copy with three; the master is gone.
fn fuller_and_older(fuller: char, older: char) -> Cluster {
    let mut cluster = cluster_of(&[]);
    cluster.start(fuller, of_one(5));
    cluster.start(older, of_one(3));
    // Neither hears that the other one is there.
    cluster.run("", 2_000);
    cluster
}

#[test]
fn the_fuller_of_two_starts_of_one_name_wins_whatever_the_order_of_answers() {
    for (fuller, older) in [('a', 'A'), ('A', 'a')] {
        for first in [fuller, older] {
            for listed in [true, false] {
                let mut cluster = fuller_and_older(fuller, older);
                match listed {
                    true => cluster.master('2', "ab"),
                    false => {
                        cluster.start_master_by('2', leader_config(2, None), Journal::default())
                    }
                }
                cluster.run(&format!("2{first}"), 200);
                cluster.run("2aA", 5_000);
                assert_eq!(cluster.unavailable('2'), None);
                assert_eq!(cluster.journal('2').entries, of_one(5).entries);
                assert_eq!(cluster.journal(fuller).rolled_back(), 0);
                let fetched = cluster.trace.iter().filter_map(|s| match &s.out.message {
                    Message::Fetch(fetch) => Some(fetch.storage),
                    _ => None,
                });
                let storages: Vec<_> = fetched.collect();
                assert!(!storages.is_empty());
                let named = cluster.ack(fuller).storage;
                assert!(
                    storages.iter().all(|s| *s == named),
                    "only that one is asked"
                );
                let answers = cluster
                    .trace
                    .iter()
                    .filter(|s| s.out.to == Address::Fetched(node("a")));
                assert!(answers.into_iter().all(|s| s.from == fuller));
                assert!(serving(&cluster, '2').3.iter().all(|n| *n != node("a")));
            }
        }
    }
}

/// A start that has promised and then falls silent is given up while another one of its name is alive; that is said.
#[test]
fn a_start_that_falls_silent_is_given_up_and_named() {
    let mut cluster = fuller_and_older('a', 'A');
    cluster.master('2', "a");
    cluster.run("2aA", 400);
    cluster.run("2A", 3_000);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2A", 2_000);
    assert_eq!(cluster.unavailable('2'), None);
    let (entries, _, heard, not_heard) = serving(&cluster, '2');
    assert_eq!(
        (entries, names(&heard), names(&not_heard)),
        (3, vec!["a"], vec!["a"])
    );
}

/// A short silence gives nobody up.
#[test]
fn a_start_that_comes_back_in_time_is_taken() {
    let mut cluster = fuller_and_older('a', 'A');
    cluster.master('2', "a");
    cluster.run("2aA", 400);
    cluster.run("2A", 2_500);
    cluster.run("2aA", 2_000);
    assert_eq!(cluster.journal('2').entries, of_one(5).entries);
    let (entries, _, _, not_heard) = serving(&cluster, '2');
    assert_eq!((entries, not_heard), (5, vec![]));
}

/// A master that serves, and its only member with an older copy: what it has acknowledged is on its own disk.
#[test]
fn a_master_with_its_own_log_is_not_made_shorter_by_anybody() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    cluster.start_master('2', "a", of_one(5));
    cluster.run("2a", 2_000);
    assert_eq!(cluster.journal('2').entries, of_one(5).entries);
    assert_eq!(cluster.journal('a').entries, of_one(5).entries);
}

/// Its directory is an older copy, too: it cannot know, and asks.
#[test]
fn a_master_that_came_back_shorter_fetches_the_rest() {
    let mut cluster = cluster_of(&[('a', of_one(5))]);
    cluster.start_master('2', "a", of_one(3));
    cluster.run("2a", 400);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    let shown = cluster
        .master_of('2')
        .snapshot
        .clone()
        .expect("it is shown");
    assert_eq!((shown.last, shown.is_readable), (Seq(3), true));
    cluster.run("2a", 1_000);
    assert_eq!(cluster.unavailable('2'), None);
    assert_eq!(cluster.journal('2').entries, of_one(5).entries);
    assert!(cluster.journal('2').hard_state.epoch > epoch(1, 1));
}

/// Two entries on its disk that nobody else has, and three that it has not: a master that lost its place.
#[test]
fn what_a_master_has_and_nobody_goes_on_with_is_rolled_back_and_kept() {
    let better = Journal::of(log(1), &[(2, epoch(1, 1)), (3, epoch(2, 2))]);
    let mut cluster = cluster_of(&[('a', better.clone())]);
    cluster.start_master('3', "a", of_one(4));
    cluster.run("3a", 5_000);
    assert_eq!(cluster.unavailable('3'), None);
    assert_eq!(cluster.journal('3').entries, better.entries);
    assert_eq!(cluster.journal('3').rolled_back(), 2);
    let rolled_back = cluster.events('3').iter().filter_map(|e| match e {
        Event::RolledBack {
            rolled_back_log_id,
            first_seq,
            last_seq,
            committed: false,
        } => Some((*rolled_back_log_id, *first_seq, *last_seq)),
        _ => None,
    });
    assert_eq!(rolled_back.collect::<Vec<_>>(), [(log(1), Seq(3), Seq(4))]);
}

/// It has served before, and nobody has ever appended anything.
#[test]
fn a_master_whose_own_history_is_empty_goes_on_with_it() {
    for (members, reach) in [("", "2"), ("a", "2"), ("a", "2a")] {
        let mut cluster = Cluster::new("a");
        let own = Journal::of(log(1), &[(0, epoch(4, 1))]);
        cluster.start_master('2', members, own);
        cluster.run(reach, 3_500);
        assert_eq!(cluster.unavailable('2'), None, "{members} {reach}");
        assert_eq!(cluster.leadership('2'), leadership(1, 5, 2));
    }
}

// ---- Other masters.

#[test]
fn a_master_that_finds_a_living_one_ends() {
    let mut cluster = Cluster::settled("a", 3);
    cluster.master('2', "a");
    cluster.run("12a", 300);
    assert_eq!(
        cluster.master_mut('2').end.clone(),
        Some(End::OtherMaster(leadership(1001, 1, 1)))
    );
    cluster.run("12a", 5_000);
    assert_eq!(cluster.unavailable('1'), None);
    assert_eq!(cluster.journal('2'), &Journal::default());
}

#[test]
fn of_two_masters_that_start_at_once_one_stays() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    cluster.master('1', "a");
    cluster.master('2', "a");
    cluster.run("12a", 10_000);
    let ended = ['1', '2'].map(|key| cluster.has_ended(key));
    assert_eq!(ended, [false, true], "the smaller id stays");
    assert_eq!(cluster.unavailable('1'), None);
    assert_eq!(cluster.journal('1').last(), Seq(3));
}

fn requiring(requires: Requires, listed: &[&str]) -> LeaderConfig {
    LeaderConfig {
        recovery: RecoverySettings {
            requires,
            ..recovery_settings()
        },
        ..leader_config(2, Some(listed))
    }
}

/// One that has not been heard may hold more than those that have.
#[test]
fn a_master_waits_for_whom_it_is_told_to_hear_however_long_that_takes() {
    let journals = [('a', of_one(3)), ('b', of_one(4)), ('c', of_one(5))];
    for (requires, too_few, enough, entries) in [
        (Requires::Any, "2", "2a", 3),
        (Requires::Majority, "2a", "2ab", 4),
        (Requires::All, "2ab", "2abc", 5),
    ] {
        let mut cluster = cluster_of(&journals);
        let config = requiring(requires, &["a", "b", "c"]);
        cluster.start_master_by('2', config, Journal::default());
        if requires != Requires::Any {
            cluster.run(too_few, 60_000);
            assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
        }
        cluster.run(enough, 5_000);
        assert_eq!(cluster.unavailable('2'), None, "{requires:?}");
        assert_eq!(cluster.journal('2').last(), Seq(entries), "{requires:?}");
    }
}

/// Nobody knows by himself that he came back with less.
#[test]
fn a_master_with_a_log_waits_for_them_too() {
    let mut cluster = cluster_of(&[('a', of_one(3)), ('b', of_one(5))]);
    let config = requiring(Requires::All, &["a", "b"]);
    cluster.start_master_by('2', config, of_one(4));
    cluster.run("2a", 60_000);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2ab", 5_000);
    assert_eq!(cluster.unavailable('2'), None);
    assert_eq!(cluster.journal('2').last(), Seq(5));
}

/// Somebody who was heard and has fallen silent was not heard.
#[test]
fn a_name_that_falls_silent_is_waited_for_again() {
    let mut cluster = cluster_of(&[('a', of_one(3)), ('b', of_one(3))]);
    let config = requiring(Requires::All, &["a", "b"]);
    cluster.start_master_by('2', config, Journal::default());
    cluster.run("2a", 1_000);
    cluster.run("2b", 20_000);
    assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    cluster.run("2ab", 5_000);
    assert_eq!(cluster.unavailable('2'), None);
}

fn takeover(n: u128) -> LeaderConfig {
    LeaderConfig {
        recovery: RecoverySettings {
            takeover: true,
            ..recovery_settings()
        },
        ..leader_config(n, Some(&["a"]))
    }
}

#[test]
fn a_takeover_fences_the_other_one_and_loses_nothing() {
    let mut cluster = Cluster::settled("a", 3);
    cluster.start_master_by('2', takeover(2), Journal::default());
    cluster.run("12a", 5_000);
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
    assert_eq!(
        (cluster.unavailable('2'), cluster.has_ended('2')),
        (None, false)
    );
    assert_eq!(cluster.journal('2').entries, cluster.journal('1').entries);
    let overtakes = cluster.events('2').iter().find_map(|e| match e {
        Event::Serving { overtakes, .. } => Some(*overtakes),
        _ => None,
    });
    assert_eq!(overtakes, Some(Some(crate::support::master(1))));
}

#[test]
fn who_is_overtaken_is_fenced_also_by_one_of_another_history() {
    let mut cluster = Cluster::settled("a", 3);
    cluster.start_master_by('2', takeover(2), Journal::default());
    // It reaches the other master, and no secondary: it begins a history of its own.
    cluster.run("12", 5_000);
    assert_eq!(cluster.leadership('2').log_id, log(1002));
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
}

/// While the broker was away two masters began; the one with the lower epoch learns of the other one first by its word.
#[test]
fn of_two_that_serve_one_history_the_later_one_goes_on() {
    let mut cluster = Cluster::settled("a", 3);
    cluster.master('2', "a");
    cluster.run("2a", 5_000);
    assert_eq!(
        (cluster.unavailable('1'), cluster.unavailable('2')),
        (None, None)
    );
    let serves = MasterAnnouncement {
        leader: cluster.leadership('2'),
        state: MasterState::Serving,
        overtakes: None,
        url: None,
    };
    cluster.step('1', Message::Announcement(serves));
    assert_eq!(cluster.unavailable('1'), Some(Unavailable::Fenced));
    let serves = MasterAnnouncement {
        leader: cluster.leadership('1'),
        state: MasterState::Serving,
        overtakes: None,
        url: None,
    };
    cluster.step('2', Message::Announcement(serves));
    assert_eq!(cluster.unavailable('2'), None);
}

// ---- Another version of the protocol.

#[test]
fn with_a_secondary_of_another_version_nothing_is_served() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    cluster.master('2', "ab");
    let from = Address::Ack(node("b"), replog_protocol::wire::AckOf::Hello);
    for _ in 0..8 {
        let now = cluster.now();
        let local = cluster.master_of('2').local(now);
        assert_eq!(local, now);
        cluster
            .master_mut('2')
            .step(Input::OtherVersion(from.clone(), 1), now);
        cluster.run("2a", 1_000);
        assert_eq!(cluster.unavailable('2'), Some(Unavailable::Recovering));
    }
    let named = cluster.leader('2').phase().recovery().map(|recovery| {
        let all = recovery.other_versions();
        all.map(|(node, version)| (node.clone(), version))
            .collect::<Vec<_>>()
    });
    assert_eq!(named, Some(vec![(node("b"), 1)]));
    // It is gone, or speaks this version.
    cluster.run("2a", 6_000);
    assert_eq!(cluster.unavailable('2'), None);
}

#[test]
fn a_master_of_another_version_ends_one_that_starts() {
    let mut master = recovering_by(leader_config(2, Some(&["a"])), Journal::default());
    master.link_up(at(0));
    master.step(Input::OtherVersion(Address::Announce, 1), at(10));
    assert_eq!(master.end, Some(End::OtherVersion(1)));
    // One that serves is not ended by anybody.
    let mut serves = crate::support::hand::serving(Some(&["a"]));
    serves.step(Input::OtherVersion(Address::Announce, 1), at(10));
    assert_eq!(
        (serves.end.clone(), serves.unavailable(at(10))),
        (None, None)
    );
}

// ---- Who waits meanwhile.

#[test]
fn appends_wait_for_the_recovery_and_are_then_admitted_in_their_order() {
    let mut cluster = cluster_of(&[('a', of_one(3))]);
    cluster.master('2', "a");
    let first = cluster.append('2', 1);
    // This one is in the log that is going to be recovered.
    let again = request(1_002, 2, 77);
    cluster.command(
        '2',
        replog_protocol::leader::command::Command::Append(again),
    );
    let last = cluster.append('2', 2);
    cluster.run("2a", 499);
    assert!(cluster.master_of('2').replies.is_empty());
    cluster.run("2a", 100);
    let seq = |client| match cluster.answer('2', client) {
        Some(replog_protocol::leader::command::Answer::Replicated { appended, .. }) => {
            (appended.first, appended.duplicate)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(seq(first), (Seq(4), false));
    assert_eq!(seq(77), (Seq(2), true));
    assert_eq!(seq(last), (Seq(5), false));
}
