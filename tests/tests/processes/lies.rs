//! What a hostile client says: garbage, real messages that are cut or changed, and well-formed untruths.

use bytes::Bytes;
use replog_common::entry::Position;
use replog_common::message::Ack;
use replog_common::types::{Epoch, Incarnation, LogId, Seq};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::watch::Seen;

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
        "{\"kind\":\"ack\",\"v\":1}",
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
            ("v", json!(2)),
            ("v", json!("1")),
            ("kind", json!("snapshot")),
            ("kind", json!(null)),
            ("epoch", json!(-1)),
            ("epoch", json!(1e300)),
            ("seq", json!("1")),
            ("log_id", json!("default")),
            ("instance", json!(7)),
            ("entries", json!([{"seq": 1}])),
            ("prev", json!({"seq": u64::MAX, "epoch": 1})),
            ("node", json!("a.b")),
        ] {
            let mut json = real.json.clone();
            json[field] = value;
            all.push(json.to_string().into());
        }
    }
    all
}

/// Appends of a history that is not ours, and entries that do not follow one another.
pub(crate) fn foreign_appends(append: &Seen) -> Vec<Value> {
    let mut all = Vec::new();
    for seq in [1, 2, 1_000_000, u64::MAX] {
        let mut json = append.json.clone();
        json["log_id"] = json!(Uuid::from_u128(9));
        json["epoch"] = json!(u64::MAX);
        json["prev"] = json!({"seq": seq - 1, "epoch": 1});
        json["entries"][0]["seq"] = json!(seq);
        json["tail"] = json!(u64::MAX);
        json["commit"] = json!(u64::MAX);
        all.push(json.clone());
        json["log_id"] = append.json["log_id"].clone();
        json["epoch"] = append.json["epoch"].clone();
        json["instance"] = append.json["instance"].clone();
        json["tail"] = append.json["tail"].clone();
        json["commit"] = append.json["commit"].clone();
        let entry = json["entries"][0].clone();
        json["entries"] = json!([entry, entry]);
        all.push(json);
    }
    all
}

/// Well-formed, and never true: of nodes that are not there, and for entries that never were.
pub(crate) fn false_acks(real: &Ack) -> Vec<Ack> {
    let mut all = Vec::new();
    let stranger = Incarnation(Uuid::from_u128(5));
    for upto in [100, u64::MAX - 1, u64::MAX].map(Seq) {
        let node = "secondary2".parse().expect("a name");
        let last = Position {
            seq: upto,
            epoch: real.epoch,
            by: real.instance,
        };
        let base = Ack {
            node,
            incarnation: stranger,
            upto,
            last,
            ..real.clone()
        };
        all.push(Ack {
            held_from: Some(Seq(u64::MAX)),
            ..base.clone()
        });
        all.push(Ack {
            held_from: Some(Seq(0)),
            error: Some("x".repeat(10_000)),
            ..base.clone()
        });
        all.push(Ack {
            log_id: Some(LogId(Uuid::from_u128(9))),
            epoch: Epoch::MAX,
            ..base.clone()
        });
        all.push(Ack {
            epoch: Epoch(0),
            instance: None,
            ..base.clone()
        });
        all.push(Ack {
            log_id: None,
            ..base.clone()
        });
        // A listed member's name in it, another one in the subject; and a node that is nobody's.
        all.push(Ack {
            node: real.node.clone(),
            incarnation: stranger,
            ..base.clone()
        });
        all.push(Ack {
            node: "nobody".parse().expect("a name"),
            ..base
        });
    }
    all.push(Ack {
        node: "nobody".parse().expect("a name"),
        incarnation: stranger,
        ..real.clone()
    });
    all
}
