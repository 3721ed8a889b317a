//! Events of a secondary, as they go to `replog.<cluster>.event.<kind>`.

use bytes::Bytes;
use replog_common::message::PROTOCOL_VERSION;
use replog_common::protocol::follower::Follower;
use replog_common::types::{LogId, Seq};

/// Entries were taken out of the log because the master has others there.
pub(crate) const PUT_ASIDE: &str = "put_aside";

/// An entry was found damaged on this node's disk, or is mended: one line of JSON, the kind first, times last.
pub(crate) fn of_disk(kind: &str, seq: Seq, follower: &Follower, at_ms: u64) -> Bytes {
    let (node, epoch, incarnation) = (follower.node(), follower.epoch(), follower.incarnation());
    let log_id = serde_json::json!(follower.log_id());
    format!(
        r#"{{"kind":"{kind}","seq":{seq},"node":"{node}","log_id":{log_id},"epoch":{epoch},"incarnation":"{incarnation}","v":{PROTOCOL_VERSION},"at_ms":{at_ms}}}"#
    )
    .into()
}

/// One line of JSON: the kind first, times last.
pub(crate) fn put_aside(
    follower: &Follower,
    log_id: LogId,
    first: Seq,
    last: Seq,
    at_ms: u64,
) -> Bytes {
    let (node, epoch, incarnation) = (follower.node(), follower.epoch(), follower.incarnation());
    format!(
        r#"{{"kind":"{PUT_ASIDE}","seq":{first},"last":{last},"node":"{node}","log_id":"{log_id}","epoch":{epoch},"incarnation":"{incarnation}","v":{PROTOCOL_VERSION},"at_ms":{at_ms}}}"#
    )
    .into()
}
