//! `common/protocol/PROTOCOL.md` says what the programs do: its examples are what they say, its numbers are theirs.

use std::collections::BTreeSet;

use bytes::Bytes;
use replog_nats::Subjects;
use replog_protocol::cleared_logs::ClearedLogs;
use replog_protocol::event::Event;
use replog_protocol::follower::former_logs::FormerLogs;
use replog_protocol::follower::reorder::HOLD_BACK_BYTES;
use replog_protocol::ids::{Epoch, Seq};
use replog_protocol::leader::progress::MAX_IN_FLIGHT;
use replog_protocol::leader::settings::MAX_NODES;
use replog_protocol::wire::{ENVELOPE_BYTES, Message, PROTOCOL_VERSION, REQUEST_IDS_BYTES};
use serde_json::Value;

const PAGE: &str = include_str!("../../../../common/protocol/PROTOCOL.md");

/// The subject of each example, and what is said there.
fn examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    let pairs = PAGE.lines().zip(PAGE.lines().skip(1));
    pairs.filter_map(|(subject, line)| {
        let subject = subject.split(' ').next()?;
        (subject.starts_with("replog.default.") && line.starts_with('{')).then_some((subject, line))
    })
}

#[test]
fn every_example_is_read_and_would_be_said_so_again() {
    let subjects = Subjects::of("default");
    let mut kinds = BTreeSet::new();
    for (subject, line) in examples() {
        let json: Value = serde_json::from_str(line).expect("an object");
        let Some(address) = subjects.parse(subject) else {
            let event = Event::decode(line.as_bytes()).expect("an event");
            assert!(subject.ends_with(event.kind()), "{subject}");
            kinds.insert("event");
            continue;
        };
        let message = Message::decode(&address, &Bytes::from_static(line.as_bytes()));
        let again = message
            .expect(subject)
            .encode(json["at_ms"].as_u64().expect("a time"));
        assert_eq!(again, line, "{subject}");
        kinds.insert(address.kind());
    }
    let all = [
        "ack",
        "announce",
        "append",
        "claim",
        "event",
        "fetch",
        "fetched",
        "heartbeat",
        "prepare",
        "promise",
    ];
    assert_eq!(kinds, BTreeSet::from(all));
}

#[test]
fn every_field_of_an_example_is_described() {
    let lines = PAGE.lines().filter(|line| !line.starts_with('{'));
    let described = lines.collect::<Vec<_>>().join("\n");
    let is_described = |name: &str| {
        let words = [format!("`{name}`"), format!("\"{name}\"")];
        words.iter().any(|word| described.contains(word))
    };
    let mut left: Vec<Value> = examples()
        .map(|(_, line)| serde_json::from_str(line).expect("an object"))
        .collect();
    while let Some(json) = left.pop() {
        for (name, value) in json.as_object().into_iter().flatten() {
            assert!(is_described(name), "{name}");
            left.push(value.clone());
        }
        left.extend(json.as_array().into_iter().flatten().cloned());
    }
}

/// Whoever changes one of them changes the page as well.
#[test]
fn its_numbers_are_those_of_the_programs() {
    assert_eq!(
        (PROTOCOL_VERSION, ENVELOPE_BYTES, REQUEST_IDS_BYTES),
        (2, 4096, 16 << 10)
    );
    assert_eq!(
        (Epoch::MAX_LEAP, Epoch::MAX_N, Seq::MAX),
        (1 << 32, (1 << 53) - 1, Seq((1 << 53) - 1))
    );
    assert_eq!(
        (ClearedLogs::MAX, FormerLogs::MAX, MAX_NODES),
        (12, 16, 1024)
    );
    assert_eq!((HOLD_BACK_BYTES, MAX_IN_FLIGHT), (64 << 20, 4));
}
