//! What a hostile client says: garbage, real messages that are cut or changed, and well-formed untruths.

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::watch::Seen;

/// The highest epoch that a message can name.
const HIGHEST: u64 = (1 << 53) - 1;
/// Further above an epoch of these tests than any honest one can be.
pub(crate) const FORGED: u64 = 1 << 33;

/// Payloads that are no message at all, then real ones that are cut or changed.
pub(crate) fn payloads(append: &Seen, heartbeat: &Seen, ack: &Seen) -> Vec<Bytes> {
    let mut all: Vec<Bytes> = [
        "",
        " ",
        "null",
        "true",
        "7",
        "-1e999",
        "[]",
        "{}",
        "\"append\"",
        "{\"kind\":\"append\"}",
        "{\"kind\":\"ack\",\"v\":2}",
        "{\"kind\":\"ack\",\"v\":4294967296}",
        "-STATUS 503\r\n\r\n",
    ]
    .map(Bytes::from)
    .into();
    all.push(Bytes::from_static(b"\xff\xfe\x00\x80{\"kind\":\"ack\"}"));
    all.push("[".repeat(100_000).into());
    all.push("x".repeat(900_000).into());
    for real in [append, heartbeat, ack] {
        all.extend(
            (0..real.text.len())
                .step_by(11)
                .map(|cut| Bytes::from(real.text[..cut].to_owned())),
        );
        for (field, value) in [
            ("v", json!(0)),
            ("v", json!(1)),
            ("v", json!(3)),
            ("v", json!("2")),
            ("kind", json!("snapshot")),
            ("kind", json!(null)),
            ("epoch", json!(-1)),
            ("epoch", json!(1e300)),
            ("seq", json!("1")),
            ("log_id", json!("default")),
            ("instance", json!(7)),
            ("storage", json!("none")),
            ("entries", json!([{"seq": 1}])),
            ("prev", json!({"seq": u64::MAX, "epoch": 1})),
            ("node", json!("a.b")),
        ] {
            all.push(real.with(&[(field, value)]).into());
        }
    }
    all
}

/// Appends of a history that is not ours, and entries that do not follow one another.
pub(crate) fn foreign_appends(append: &Seen) -> Vec<String> {
    let id = Uuid::from_u128(4);
    let entry = |seq: u64, epoch: u64| {
        format!(r#"{{"seq":{seq},"epoch":{epoch},"message_id":"{id}","content":"forged"}}"#)
    };
    let with_entries = |changes: &[(&str, Value)], entries: &str| {
        let line = append.with(&[changes, &[("entries", Value::Null)]].concat());
        let open = line.strip_suffix('}').expect("an object");
        format!(r#"{open},"entries":[{entries}]}}"#)
    };
    let mut all = Vec::new();
    for seq in [1, 2, 1_000_000, u64::MAX] {
        let mut prev = append.json["prev"].clone();
        prev["seq"] = json!(seq - 1);
        for epoch in [2, FORGED, HIGHEST, u64::MAX] {
            let changes = [
                ("log_id", json!(Uuid::from_u128(9))),
                ("epoch", json!(epoch)),
                ("prev", prev.clone()),
                ("tail", json!(u64::MAX)),
                ("commit", json!(u64::MAX)),
            ];
            all.push(with_entries(&changes, &entry(seq, epoch)));
        }
        let twice = format!("{0},{0}", entry(seq, 1));
        all.push(with_entries(&[("prev", prev)], &twice));
    }
    all
}

/// Well-formed, and never true: of nodes that are not there, and for entries that never were.
pub(crate) fn false_acks(real: &Seen) -> Vec<String> {
    let mut all = Vec::new();
    let stranger = |node: &str, changes: &[(&str, Value)]| {
        let storage = ("storage", json!(Uuid::from_u128(5)));
        real.with(&[&[("node", json!(node)), storage], changes].concat())
    };
    for upto in [100, u64::MAX - 1, u64::MAX] {
        let mut last = real.json["last"].clone();
        last["seq"] = json!(upto);
        let position = [("seq", json!(upto)), ("last", last)];
        let with = |more: &[(&'static str, Value)]| [&position[..], more].concat();
        all.push(stranger(
            "secondary2",
            &with(&[("held_from", json!(u64::MAX))]),
        ));
        let error = ("error", json!("x".repeat(10_000)));
        all.push(stranger(
            "secondary2",
            &with(&[("held_from", json!(0)), error]),
        ));
        for epoch in [FORGED, HIGHEST, u64::MAX] {
            let other = [
                ("log_id", json!(Uuid::from_u128(9))),
                ("epoch", json!(epoch)),
            ];
            all.push(stranger("secondary2", &with(&other)));
        }
        let no_epoch = [("epoch", json!(0)), ("instance", Value::Null)];
        all.push(stranger("secondary2", &with(&no_epoch)));
        all.push(stranger("secondary2", &with(&[("log_id", Value::Null)])));
        // A round that the master has not begun.
        all.push(stranger("secondary2", &with(&[("round", json!(u64::MAX))])));
        // A listed member that lives, and a node that is nobody's.
        all.push(stranger("secondary1", &position));
        all.push(stranger("nobody", &position));
    }
    all.push(stranger("nobody", &[]));
    all
}
