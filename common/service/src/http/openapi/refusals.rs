//! Problem details (RFC 9457), and each refusal that several calls share: one component of the description each.

use replog_protocol::ids::{LogId, MessageId, Seq};
use serde::Deserialize;
use utoipa::{ToResponse, ToSchema};

/// An error. What differs between two of one status is in `detail`, for people, and in `reason` and further fields, for programs.
/// Whatever is refused was not appended, unless `in_log` says otherwise.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemDetails {
    /// `about:blank`: the status says what kind of error it is.
    #[schema(example = "about:blank")]
    pub r#type: String,
    /// The phrase of the status.
    pub title: String,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong, and what is allowed, as a sentence.
    pub detail: String,
    /// A word for programs.
    pub reason: Reason,
    /// Where the message is, or the entry that cannot be read.
    #[schema(value_type = Option<u64>, nullable = false)]
    pub seq: Option<Seq>,
    /// Where the first message of a batch is.
    #[schema(value_type = Option<u64>, nullable = false)]
    pub first_seq: Option<Seq>,
    /// Where the last message of a batch is; else the last entry of the log.
    #[schema(value_type = Option<u64>, nullable = false)]
    pub last_seq: Option<Seq>,
    /// The last entry that so many nodes hold as the read asks for.
    #[schema(value_type = Option<u64>, nullable = false)]
    pub committed_seq: Option<Seq>,
    /// How many messages a batch has.
    #[schema(nullable = false)]
    pub count: Option<u64>,
    /// The id of the message: a retry with it is safe.
    #[schema(value_type = Option<uuid::Uuid>, nullable = false)]
    pub message_id: Option<MessageId>,
    /// How many nodes were to hold the message.
    #[schema(nullable = false)]
    pub w: Option<u32>,
    /// How many nodes hold it.
    #[schema(nullable = false)]
    pub acks: Option<u32>,
    /// Whether the message is in the log all the same; null where that is not known.
    pub in_log: Option<bool>,
    /// The first line of a bulk load, from 1, that is not in the log.
    #[schema(nullable = false)]
    pub line: Option<u64>,
    /// How many lines of a bulk load were appended.
    #[schema(nullable = false)]
    pub appended: Option<u64>,
    /// The element of a batch, from 0, that is wrong.
    #[schema(nullable = false)]
    pub index: Option<u64>,
    /// The history that the node shows now.
    #[schema(value_type = Option<uuid::Uuid>, nullable = false)]
    pub log_id: Option<LogId>,
    /// Where clients reach the master, which takes what this node does not.
    #[schema(nullable = false)]
    pub master: Option<String>,
    /// Where clients reach the master that leads, as one that stands by knows it.
    #[schema(nullable = false)]
    pub active: Option<String>,
    /// The media types that the call answers with.
    #[schema(nullable = false)]
    pub offered: Option<Vec<String>>,
}

/// The words for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// 400: something in the request is wrong.
    BadRequest,
    /// 403: a setting does not open the call.
    NotAllowed,
    /// 408: the body did not come in time.
    RequestTimeout,
    /// 409: the node is not in a state for that.
    Conflict,
    /// 409: the secondary is not gone.
    MemberAlive,
    /// 409: the secondary is a listed member.
    MemberListed,
    /// 410: the log was cleared meanwhile.
    Cleared,
    /// 412: the position is not the one that was expected.
    ExpectedSeq,
    /// 413: the body, or a message in it, is too large.
    TooLarge,
    /// 422: the id of a message is that of another one.
    MessageIdTaken,
    /// 500: a bug, or a disk that cannot be read.
    Internal,
    /// 400: there is no `Host`.
    MissingHost,
    /// 400: there are two `Host` headers.
    SeveralHosts,
    /// 400: the `Host` is none.
    InvalidHost,
    /// 400: the request came in the clear to a port that speaks HTTPS.
    HttpsRequired,
    /// 401: the call needs a token.
    MissingToken,
    /// 401: the token is none of this node's.
    WrongToken,
    /// 403: the role of the token is too little.
    InsufficientRole,
    /// 403: a page of another site may not call.
    CrossSite,
    /// 404: there is no such path, no such entry, or no such secondary.
    NotFound,
    /// 405: the path does not take the method; `Allow` says which ones it takes.
    MethodNotAllowed,
    /// 406: `Accept` excludes every form that the call answers in.
    NotAcceptable,
    /// 410: the log is another one than the client wants.
    OtherHistory,
    /// 415: the body has a `Content-Encoding` that is not understood.
    UnsupportedEncoding,
    /// 421: the `Host` is not this node's.
    Misdirected,
    /// 429: the client's address has as many connections as it may have.
    TooManyConnections,
    /// 503: the master asks the secondaries what they hold, or the node waits for its master.
    Recovering,
    /// 503: fewer than a majority of the members are alive.
    NoQuorum,
    /// 503, 504: another master has taken over.
    Fenced,
    /// 503: another master leads, or none for a moment: this one stands by.
    Standby,
    /// 503, 504: the journal has not said for long whether it holds what was written.
    Journal,
    /// 503, 504: there is no room on the node's disk.
    DiskFull,
    /// 503, 504: the node's disk has failed, and the node ends.
    DiskFailed,
    /// 503: an entry is damaged on the node's disk, and fetched again from another node.
    Damaged,
    /// 503: as many clients wait as may.
    TooManyWaiting,
    /// 503: as many streams are open as may be.
    TooManyStreams,
    /// 503: the node does not keep up.
    Overloaded,
    /// 503, 504: the node is about to end.
    Stopping,
    /// 503, not ready: the broker refuses something that the node needs.
    Denied,
    /// 503, not ready: there is no connection to the broker.
    Disconnected,
    /// 503, not ready: the secondary has not heard its master for so long that it would not know what it lacks.
    MasterSilent,
    /// 503, not ready: the secondary does not have everything yet.
    CatchingUp,
    /// 503, not ready: the secondary holds another history than the master.
    Diverged,
    /// 504: the time that the client gave is up.
    Timeout,
}

/// Something in the request is wrong: `detail` names it and what is allowed. A parameter, or a field of the body, that the call
/// does not know, or that is given twice, is among that.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Bad Request", "status": 400,
        "detail": "there is no parameter \"form\": this call takes none", "reason": "bad_request"})
)]
pub struct BadRequest(pub ProblemDetails);

/// The call is not open: `detail` names the setting that opens it.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Forbidden", "status": 403,
        "detail": "clearing the log is not allowed here: start with REPLOG_ALLOW_CLEAR=true", "reason": "not_allowed"})
)]
pub struct Forbidden(pub ProblemDetails);

/// There is no entry at that position yet.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Not Found", "status": 404,
        "detail": "there is no entry at that position; the last one is 3", "reason": "not_found", "last_seq": 3})
)]
pub struct NoSuchEntry(pub ProblemDetails);

/// `Accept` excludes every form that the call answers in.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Not Acceptable", "status": 406,
        "detail": "Accept excludes everything that this call answers with: application/json, application/x-ndjson",
        "reason": "not_acceptable", "offered": ["application/json", "application/x-ndjson"]})
)]
pub struct NotAcceptable(pub ProblemDetails);

/// The body did not come in time.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Request Timeout", "status": 408,
        "detail": "the body did not come in time", "reason": "request_timeout"})
)]
pub struct BodyTimeout(pub ProblemDetails);

/// The log is another one than the `log_id` that the client wants, which is what a link to a next page names.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Gone", "status": 410,
        "detail": "the log is another one by now: begin again without log_id", "reason": "other_history",
        "log_id": "a1c5c7c8-6c1f-4c8f-9d5b-3a1f1d0c7e52"})
)]
pub struct OtherHistory(pub ProblemDetails);

/// The log was cleared while the message waited for nodes to hold it.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Gone", "status": 410,
        "detail": "the log was cleared while this message waited", "reason": "cleared",
        "message_id": "01a1fde5-5097-734c-94be-648d26ebba25"})
)]
pub struct Cleared(pub ProblemDetails);

/// `expected_seq`, or the `seq` of a line, is not the next position. Nothing was appended there.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Precondition Failed", "status": 412,
        "detail": "expected_seq is not the next position, which is 3", "reason": "expected_seq", "last_seq": 2})
)]
pub struct OtherPosition(pub ProblemDetails);

/// The body, or a message in it, is larger than this node or the broker takes; or a batch has too many messages.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Payload Too Large", "status": 413,
        "detail": "the body is larger than this server takes, 8388608 bytes", "reason": "too_large"})
)]
pub struct TooLarge(pub ProblemDetails);

/// The body has a `Content-Encoding`, and none is understood.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Unsupported Media Type", "status": 415,
        "detail": "the Content-Encoding \"gzip\" is not understood: send the body as it is",
        "reason": "unsupported_encoding"})
)]
pub struct EncodedBody(pub ProblemDetails);

/// The same `message_id` is in the log with other content; or some, but not all, messages of a batch are there already, or one id
/// is in it twice.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Unprocessable Entity", "status": 422,
        "detail": "message_id 01a1fde5-5097-734c-94be-648d26ebba25 is in the log at 1 with another content", "reason": "message_id_taken", "seq": 1})
)]
pub struct OtherContent(pub ProblemDetails);

/// A page of another site makes the request, and is not among those that may; or the role of the token is too little.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Forbidden", "status": 403,
        "detail": "a page of https://example.com may not call this node: --allow-origin names those whose pages may",
        "reason": "cross_site"})
)]
pub struct CrossSite(pub ProblemDetails);

/// The node asks for a token, and the request has none, or one that is not known here.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    headers(("WWW-Authenticate" = String, description = "What is to be shown (RFC 6750).")),
    example = json!({"type": "about:blank", "title": "Unauthorized", "status": 401,
        "detail": "this call needs a token: send the header \"Authorization: Bearer TOKEN\"", "reason": "missing_token"})
)]
pub struct Unauthorized(pub ProblemDetails);

/// The request is not meant for this node: its `Host` is another one.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Misdirected Request", "status": 421,
        "detail": "the Host \"log.example.com\" is not this node's; taken are an IP address, localhost, a name without a dot: \
            --allow-origin names further ones",
        "reason": "misdirected"})
)]
pub struct Misdirected(pub ProblemDetails);

/// The client's address has as many connections as it may have.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Too Many Requests", "status": 429,
        "detail": "this address has as many connections as it may have: close some, or use them again",
        "reason": "too_many_connections"})
)]
pub struct TooManyConnections(pub ProblemDetails);

/// The node's disk cannot be read; or a bug, of which the node's log says more.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Internal Server Error", "status": 500,
        "detail": "this is a bug; the server's log says more", "reason": "internal"})
)]
pub struct InternalError(pub ProblemDetails);

/// Not now: `reason` says why. Nothing was changed; the same request may succeed later.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    headers(("Retry-After" = u32, description = "Seconds after which to try again.")),
    example = json!({"type": "about:blank", "title": "Service Unavailable", "status": 503,
        "detail": "nothing was changed: too many clients are waiting", "reason": "too_many_waiting"})
)]
pub struct Unavailable(pub ProblemDetails);

/// The entry of `min_seq` is not here, or not committed as asked, when the time is up.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Gateway Timeout", "status": 504,
        "detail": "entry 7 is not here yet, the last one is 6", "reason": "timeout", "last_seq": 6})
)]
pub struct NotHereYet(pub ProblemDetails);

/// Fewer nodes hold the message than were asked for when the time is up, or the master stops. With `in_log` true it stays in the
/// log and goes on replicating; with null that is not known, and a retry with the same `message_id` is safe.
#[derive(Debug, ToResponse)]
#[response(
    content_type = "application/problem+json",
    example = json!({"type": "about:blank", "title": "Gateway Timeout", "status": 504,
        "detail": "entry 2 is in the log and goes on replicating; 2 of 3 nodes hold it", "reason": "timeout", "seq": 2,
        "message_id": "01a1fde5-5097-734c-94be-648d26ebba25", "acks": 2, "w": 3, "in_log": true})
)]
pub struct NotReplicated(pub ProblemDetails);
