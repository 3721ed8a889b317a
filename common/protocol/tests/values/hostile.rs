//! Whatever arrives is read or refused, never a panic; and whoever can publish can lie, but not for another node.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use replog_protocol::cleared_logs::ClearedLogs;
use replog_protocol::entry::{Content, EntryBatch};
use replog_protocol::event::{Event, Speaker};
use replog_protocol::ids::Epoch;
use replog_protocol::node::Input;
use replog_protocol::wire::{AckOf, Address, DecodeError, Message};
use serde_json::value::RawValue;

use super::frames::any_message;
use crate::support::hand::{secondary_by, serving};
use crate::support::journal::Journal;
use crate::support::{at, entries, epoch, leadership, node, post};

/// Every address at which a message may arrive.
fn addresses(name: &str) -> Vec<Address> {
    let name = node(name);
    vec![
        Address::Append(name.clone()),
        Address::Heartbeat(name.clone()),
        Address::Ack(name.clone(), AckOf::Hello),
        Address::Prepare(name.clone()),
        Address::Promise(name.clone()),
        Address::Fetch(name.clone()),
        Address::Fetched(name.clone()),
        Address::Claim(name),
        Address::Announce,
        Address::Event(Speaker::Master, "serving"),
    ]
}

/// Reads bytes as everything that they could be.
fn read(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    for address in addresses("s") {
        if let Ok(message) = Message::decode(&address, &bytes) {
            // What is taken for a message is one.
            let line = message.encode(7);
            assert_eq!(Message::decode(&address, &line).expect("readable"), message);
        }
    }
    let _ = EntryBatch::parse(bytes.clone(), epoch(1, 1));
    let _ = Event::decode(&bytes);
    let _ = serde_json::from_slice::<Box<RawValue>>(&bytes).map(|raw| Content::from_json(&raw));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn broken_messages_are_read_or_refused(
        (_, message) in any_message(), breaks in vec((any::<usize>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let mut line = message.encode(7).to_vec();
        for (at, byte, cut) in &breaks {
            let at = at % line.len().max(1);
            if *cut { line.truncate(at) } else if let Some(b) = line.get_mut(at) { *b = *byte }
        }
        read(&line);
    }

    /// Numbers are what a liar changes first.
    #[test]
    fn messages_with_other_numbers_are_read_or_refused(
        (_, message) in any_message(), which in any::<usize>(), number in prop_oneof![Just(0), Just(u64::MAX), any::<u64>()],
    ) {
        let line = String::from_utf8(message.encode(7).to_vec()).expect("text");
        let colons: Vec<usize> = line.match_indices("\":").map(|(at, _)| at + 2).collect();
        let from = colons[which % colons.len()];
        let end = line[from..].find(|c: char| !c.is_ascii_digit()).map_or(line.len(), |n| from + n);
        read(format!("{}{number}{}", &line[..from], &line[end..]).as_bytes());
    }

    #[test]
    fn the_node_is_that_of_the_address((to, message) in any_message()) {
        let line = message.encode(7);
        for other in addresses("another-one") {
            let is_same_kind = std::mem::discriminant(&other) == std::mem::discriminant(&to);
            if let (true, Some(speaker)) = (is_same_kind, message.speaker()) {
                let refused = Message::decode(&other, &line);
                let is_told = matches!(
                    &refused,
                    Err(DecodeError::Speaker { node: of, named }) if Some(of) == other.node() && named == speaker
                );
                prop_assert!(is_told, "{refused:?}");
            }
        }
    }

    #[test]
    fn every_message_belongs_to_one_kind_of_address((to, message) in any_message()) {
        let line = message.encode(7);
        let kind = |address: &Address| match address {
            // A heartbeat is an append without entries.
            Address::Heartbeat(name) => std::mem::discriminant(&Address::Append(name.clone())),
            other => std::mem::discriminant(other),
        };
        for other in addresses(message.speaker().map_or("s", |name| name.as_str())) {
            let read = Message::decode(&other, &line);
            match kind(&other) == kind(&to) {
                true => prop_assert_eq!(read.expect("readable"), message.clone()),
                false => prop_assert!(matches!(read, Err(DecodeError::Kind(_))), "{read:?}"),
            }
        }
    }

    #[test]
    fn an_epoch_that_not_every_reader_can_take_is_refused((to, message) in any_message(), more in 1..1000u64) {
        let line = String::from_utf8(message.encode(7).to_vec()).expect("text");
        prop_assume!(line.contains(r#""epoch":"#));
        let from = line.rfind(r#""epoch":"#).expect("it is there") + 8;
        let end = line[from..].find(|c: char| !c.is_ascii_digit()).map_or(line.len(), |n| from + n);
        let lie = format!("{}{}{}", &line[..from], Epoch::MAX_N + more, &line[end..]);
        let read = Message::decode(&to, &lie.into());
        prop_assert!(read.is_err(), "{read:?}");
    }

    /// A secondary that gets any messages, in any order, goes on; and nothing that it says goes beyond its journal.
    #[test]
    fn a_secondary_survives_any_messages(messages in vec((any_message(), any::<bool>()), 0..30)) {
        let leader = leadership(1, 3, 4);
        let mut secondary = secondary_by("s", 9, Journal::default());
        let log = entries(1..=4, leader.epoch);
        secondary.receive(crate::support::append(leader, &log, 0, 4), at(1));
        for (i, ((_, message), is_of_its_log)) in messages.into_iter().enumerate() {
            secondary.message(of_log(message, is_of_its_log), at(i as u64 + 2));
        }
        secondary.idle(at(100), at(20_000));
    }

    /// And so does a master.
    #[test]
    fn a_master_survives_any_messages(messages in vec((any_message(), any::<bool>()), 0..30)) {
        let mut master = serving(None);
        for id in 1..=4 {
            master.post(id, 1, at(1));
        }
        for (i, ((_, message), is_of_its_log)) in messages.into_iter().enumerate() {
            let message = match is_of_its_log {
                true => of_leader(message, &master),
                false => message,
            };
            let now = at(i as u64 + 2);
            master.message(message, now);
            master.step(Input::Client(post(100 + i as u128, 2, 100 + i as u32)), now);
        }
        master.idle(at(100), at(20_000));
    }
}

/// The message as one of the history and near the epoch that the secondary follows.
fn of_log(message: Message, is_of_its_log: bool) -> Message {
    let near = |n: u64| leadership(1, 1 + n % 5, u128::from(n % 7));
    match message {
        Message::Append(mut frame) if is_of_its_log => {
            frame.leader = near(frame.tail.0);
            frame.prev.seq.0 %= 8;
            frame.entries = frame.entries.map(|batch| {
                let seq = frame.prev.seq.0 + 1;
                let epoch = match batch.count() % 2 {
                    0 => frame.leader.epoch,
                    _ => batch.epoch(),
                };
                crate::support::entry(seq, epoch, batch.last().0.into())
            });
            Message::Append(frame)
        }
        Message::Prepare(mut prepare) if is_of_its_log => {
            prepare.leader = near(prepare.leader.epoch.n);
            Message::Prepare(prepare)
        }
        Message::Fetch(mut fetch) if is_of_its_log => {
            fetch.leader = near(fetch.prev.seq.0);
            fetch.storage = crate::support::storage(9);
            fetch.prev.seq.0 %= 8;
            Message::Fetch(fetch)
        }
        other => other,
    }
}

/// The message as one of a secondary of that master's history.
fn of_leader(message: Message, master: &crate::support::hand::Master) -> Message {
    let leader = master.node.leadership();
    let of = |ack: replog_protocol::wire::Ack| {
        let round = ack.answers.round % 4;
        let mut near = master.answer_of("s", u128::from(ack.upto.0 % 3), ack.upto.0 % 5, round);
        near.last.seq.0 = ack.last.seq.0 % 8;
        near.held_from = ack.held_from;
        near.damaged = ack.damaged;
        near.cleared = ack.cleared;
        near
    };
    match message {
        Message::Ack(ack) => Message::Ack(of(ack)),
        Message::FetchResponse(mut response) => {
            response.position = of(response.position);
            Message::FetchResponse(response)
        }
        Message::Announcement(mut other) => {
            other.leader.log_id = leader.log_id;
            Message::Announcement(other)
        }
        other => other,
    }
}

/// One frame of every kind, as the first edition wrote them.
#[test]
fn what_the_first_edition_says_is_of_another_version() {
    const ID: &str = "00000000-0000-0000-0000-000000000001";
    let life = format!(r#""log_id":"{ID}","epoch":1,"instance":"{ID}""#);
    let entry = format!(r#"{{"seq":1,"epoch":1,"message_id":"{ID}","content":"x"}}"#);
    let ack = format!(
        r#"{{"kind":"ack","seq":1,"node":"s","last":{{"seq":1,"epoch":1}},{life},"incarnation":"{ID}","v":1,"at_ms":7}}"#
    );
    let frames = [
        (
            0,
            format!(
                r#"{{"kind":"append","seq":1,"entries":[{entry}],"prev":{{"seq":0,"epoch":0}},"tail":1,"commit":0,{life},"v":1,"at_ms":7}}"#
            ),
        ),
        (
            1,
            format!(
                r#"{{"kind":"heartbeat","seq":0,"entries":[],"prev":{{"seq":0,"epoch":0}},"tail":1,"commit":0,{life},"replaces":[{{{life}}}],"v":1,"at_ms":7}}"#
            ),
        ),
        (2, ack.clone()),
        (
            5,
            format!(r#"{{"kind":"fetch","seq":1,"max_bytes":0,{life},"v":1,"at_ms":7}}"#),
        ),
        (
            6,
            format!(
                r#"{{"kind":"fetched","seq":1,"entries":[{entry}],"prev":{{"seq":0,"epoch":0}},"by":"{ID}","v":1,"position":{ack}}}"#
            ),
        ),
        (
            7,
            format!(
                r#"{{"kind":"claim","node":"s","log_id":"{ID}","epoch":1,"incarnation":"{ID}","v":1}}"#
            ),
        ),
        (
            8,
            format!(
                r#"{{"kind":"serving","entries":1,"new":false,"heard":["s"],"not_heard":[],"by":"master",{life},"v":1,"at_ms":7}}"#
            ),
        ),
        (
            8,
            format!(r#"{{"kind":"recovering","by":"master",{life},"v":1,"at_ms":7}}"#),
        ),
    ];
    for (i, frame) in frames {
        let address = &addresses("s")[i];
        let read = Message::decode(address, &Bytes::from(frame.clone()));
        assert!(
            matches!(read, Err(DecodeError::Version(1))),
            "{frame}: {read:?}"
        );
        // Of a version that is still to come nothing else is known.
        let later = frame
            .replace(r#""v":1"#, r#""v":3"#)
            .replace(r#""seq":1"#, r#""sequence":1"#);
        let read = Message::decode(address, &Bytes::from(later));
        assert!(matches!(read, Err(DecodeError::Version(3))), "{read:?}");
    }
}

#[test]
fn more_cleared_histories_than_are_ever_named_are_refused() {
    let one = leadership(1, 2, 3);
    let list = crate::support::cleared(&[one; ClearedLogs::MAX]);
    let frame = replog_protocol::wire::AppendEntries {
        cleared: list,
        ..crate::support::heartbeat(one)
    };
    let line = String::from_utf8(Message::Append(frame).encode(7).to_vec()).expect("text");
    let address = Address::Heartbeat(node("s"));
    assert!(Message::decode(&address, &line.clone().into()).is_ok());
    let (before, after) = line.split_once(r#""cleared":["#).expect("it is there");
    let first = &after[..=after.find('}').expect("an object")];
    let more = format!(r#"{before}"cleared":[{first},{after}"#);
    let read = Message::decode(&address, &more.into());
    assert!(
        matches!(read, Err(DecodeError::TooManyCleared(13))),
        "{read:?}"
    );
}

/// It goes into the log, and whoever can publish chooses what it quotes.
#[test]
fn why_a_message_is_refused_is_said_in_a_few_words() {
    let long = "A".repeat(100_000);
    for payload in [
        format!(r#"{{"kind":"ack","v":2,"seq":"{long}"}}"#),
        format!(r#"{{"kind":"{long}","v":2}}"#),
        format!(r#"{{"kind":"append","v":2,"log_id":"{long}"}}"#),
        format!(r#"{{"v":"{long}"}}"#),
    ] {
        for address in addresses("s") {
            let read = Message::decode(&address, &payload.clone().into());
            let said = read.expect_err("refused").to_string();
            assert!(said.len() < 512, "{} bytes to {address}", said.len());
        }
    }
    let read = Message::decode(&Address::Announce, &format!(r#"{{"v":"{long}"}}"#).into());
    let said = read.expect_err("refused").to_string();
    assert!(said.ends_with("… at line 1 column 100007"), "{said}");
}

#[test]
fn entries_that_do_not_follow_are_refused() {
    let leader = leadership(1, 2, 3);
    let log = entries(1..=4, leader.epoch);
    let good = crate::support::append(leader, &log, 2, 4);
    let line = String::from_utf8(Message::Append(good).encode(7).to_vec()).expect("text");
    let address = Address::Append(node("s"));
    assert!(Message::decode(&address, &line.clone().into()).is_ok());
    for (what, instead) in [
        (r#""prev":{"seq":2"#, r#""prev":{"seq":1"#),
        (r#"{"seq":4,"#, r#"{"seq":5,"#),
        (r#"{"seq":4,"epoch":2"#, r#"{"seq":4,"epoch":3"#),
        (r#""entries":[{"#, r#""entries":[[{"#),
    ] {
        assert!(line.contains(what), "{line}");
        let read = Message::decode(&address, &line.replacen(what, instead, 1).into());
        assert!(read.is_err(), "{what}: {read:?}");
    }
}
