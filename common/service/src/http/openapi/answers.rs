//! Entries and lists of them. Their bytes are written by hand, or taken from the log as they are, so their schemas are here; tests
//! read real answers with them.

use replog_protocol::ids::{LogId, MessageId, Seq};
use serde::Deserialize;
use utoipa::openapi::schema::Object;
use utoipa::{ToResponse, ToSchema};

use super::words::one_of;

/// One entry of the log.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its position: 1, 2, 3 …
    #[schema(value_type = u64, minimum = 1, example = 1)]
    pub seq: Seq,
    /// The number of the leadership that placed it.
    #[schema(example = 1)]
    pub epoch: u64,
    /// Its id.
    #[schema(value_type = uuid::Uuid, example = "01a1fde5-5097-734c-94be-648d26ebba25")]
    pub message_id: MessageId,
    /// What was appended.
    #[schema(example = "hello")]
    pub content: String,
}

/// A part of the log, and where the log ends.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageList {
    /// Consecutive entries.
    pub messages: Vec<Entry>,
    /// The history; null on a secondary that has heard of none yet.
    #[schema(value_type = Option<uuid::Uuid>, required = true)]
    pub log_id: Option<LogId>,
    /// The number of the newest leadership that the node knows.
    pub epoch: u64,
    /// The last entry that the node has, whatever was asked for; 0 where there is none.
    #[schema(value_type = u64)]
    pub last_seq: Seq,
    /// The last one that so many nodes hold as `committed` asks for; absent without `committed`.
    #[schema(value_type = Option<u64>, nullable = false)]
    pub committed_seq: Option<Seq>,
    /// The master's history, where the node holds another one.
    #[schema(value_type = Option<uuid::Uuid>, nullable = false)]
    pub diverged_from: Option<LogId>,
}

/// One server-sent event. A block with an `id` alone is none: it says where the stream begins, for a client that comes back before
/// the first event.
#[derive(Clone, Debug, ToSchema)]
pub struct StreamEvent {
    /// `message`: an entry. `reset`: the log is another one now; forget the entries from `from` on, they come again as they are.
    #[schema(schema_with = event_names)]
    pub event: String,
    /// `<seq>@<log_id>.<epoch>` of the last entry that the client has by now.
    #[schema(pattern = "^[0-9]+@[0-9a-f-]{36}[.][0-9]+$", nullable = false)]
    pub id: Option<String>,
    /// JSON: of a `message` an `Entry`, of a `reset` a `Reset`.
    #[schema(content_media_type = "application/json")]
    pub data: String,
}

fn event_names() -> Object {
    one_of(&["message", "reset"])
}

/// Entries from `from` on, at most `limit`.
#[derive(Debug, ToResponse)]
#[response(headers(
    ("ETag" = String, description = "For `If-None-Match`: names what the list says, on every node."),
    ("Link" = String, description = "`rel=\"next\"`: the next page; absent on the last one."),
    ("Replog-Log-Id" = uuid::Uuid, description = "The history that is shown."),
    ("Replog-Diverged-From" = uuid::Uuid, description = "The master's history, where the node holds another one.")
))]
pub enum EntryLists {
    /// One object.
    #[response(example = json!({
        "messages": [{"seq": 1, "epoch": 1, "message_id": "01a1fde5-5097-734c-94be-648d26ebba25", "content": "hello"}],
        "log_id": "7e4f4218-6ef4-4dcf-8bc4-192e881d26d3", "epoch": 1, "last_seq": 1}))]
    Object(#[content("application/json")] MessageList),
    /// Lines.
    Lines(#[content("application/x-ndjson")] EntryLines),
}

/// JSON objects, one a line, with a newline after each. The schema is that of all lines as an array.
#[derive(Debug, ToSchema)]
pub struct EntryLines(pub Vec<Entry>);

/// Each entry from `from` on as it comes; the answer does not end by itself.
#[derive(Debug, ToResponse)]
#[response(headers(
    ("Replog-Log-Id" = uuid::Uuid, description = "The history that is shown."),
    ("Replog-Diverged-From" = uuid::Uuid, description = "The master's history, where the node holds another one.")
))]
pub enum EntryStream {
    /// Server-sent events; the schema is that of each.
    Events(#[content("text/event-stream")] StreamEvent),
    /// Lines.
    Lines(#[content("application/x-ndjson")] EntryLines),
}

/// One server-sent event of a node's health.
#[derive(Clone, Debug, ToSchema)]
pub struct HealthEvent {
    /// `health`.
    #[schema(schema_with = health_event_names)]
    pub event: String,
    /// JSON: all that `/health` answers.
    #[schema(content_media_type = "application/json")]
    pub data: String,
}

fn health_event_names() -> Object {
    one_of(&["health"])
}

/// Server-sent events; the schema is that of each. The answer does not end by itself.
#[derive(Debug, ToResponse)]
#[response(content_type = "text/event-stream")]
pub struct HealthStream(pub HealthEvent);

/// The client has it already: nothing has changed since the answer with that `ETag`.
#[derive(Debug, ToResponse)]
#[response(headers(("ETag" = String, description = "The tag that the client has sent.")))]
pub struct NotModified;

/// The page: one HTML file, with all that it needs.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "text/html; charset=utf-8",
    headers(
        ("ETag" = String, description = "For `If-None-Match`: names the page and whom it may call."),
        ("Content-Security-Policy" = String, description = "What a browser lets the page do: it may call this node, and those whose \
            addresses this node knows.")
    )
)]
pub struct Page(pub String);

/// Metrics in Prometheus' text format: for each metric its help, its type, and its series.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "text/plain; version=0.0.4; charset=utf-8",
    example = json!("# HELP replog_last_seq The last entry that is durable here.\n# TYPE replog_last_seq gauge\nreplog_last_seq 3\n")
)]
pub struct Metrics(pub String);

/// The log as text: a line per entry, as Python prints a tuple of a number, from 0, and a string.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "text/plain; charset=utf-8",
    example = json!("(0, 'hello')\n"),
    headers(
        ("Replog-Log-Id" = uuid::Uuid, description = "The history that is shown."),
        ("Replog-Diverged-From" = uuid::Uuid, description = "The master's history, where the node holds another one.")
    )
)]
pub struct PythonList(pub String);
