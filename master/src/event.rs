//! Events as they go to `replog.<cluster>.event.<kind>`.

use bytes::Bytes;
use replog_common::message::{Life, PROTOCOL_VERSION};
use replog_common::protocol::event::Event;
use serde_json::{Value, json};

/// One line of JSON: the kind first, times last.
#[must_use]
pub(crate) fn line(event: &Event, life: &Life, at_ms: u64) -> Bytes {
    let about = match event {
        Event::Joined { node, is_member } => json!({"node": node, "member": is_member}),
        Event::Member {
            node,
            from,
            to,
            other_history,
        } => {
            json!({"node": node, "from": from, "to": to, "other_log_id": other_history})
        }
        Event::ReadOnly { .. } | Event::Recovering | Event::Lives => json!({}),
        Event::Serving {
            entries,
            is_new,
            heard,
            not_heard,
            overtakes,
        } => {
            json!({"entries": entries, "new": is_new, "heard": heard, "not_heard": not_heard, "overtakes": overtakes})
        }
        Event::Damaged { seq } | Event::Mended { seq } => json!({"seq": seq, "node": "master"}),
        Event::Clash { node } | Event::Ignored { node } => json!({"node": node}),
        Event::Fenced {
            by_epoch,
            heard_from,
        } => json!({"by_epoch": by_epoch, "heard_from": heard_from}),
    };
    let mut line = format!(r#"{{"kind":"{}""#, event.kind());
    for (name, value) in about
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, v)| **v != Value::Null)
    {
        line.push_str(&format!(r#","{name}":{value}"#));
    }
    let Life {
        log_id,
        epoch,
        instance,
    } = life;
    line.push_str(&format!(
        r#","log_id":"{log_id}","epoch":{epoch},"instance":"{instance}","v":{PROTOCOL_VERSION},"at_ms":{at_ms}}}"#
    ));
    line.into()
}
