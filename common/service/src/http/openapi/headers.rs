//! The headers of requests that calls read.

use utoipa::IntoParams;

/// The header of a client that has a list already.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// The `ETag` of an earlier answer: 304 where it is still true.
    #[param(rename = "If-None-Match", nullable = false)]
    pub if_none_match: Option<String>,
}

/// The header of a client that reads a stream on.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct LastEventId {
    /// The `id` of the last event that the client has: `<seq>@<log_id>.<epoch>`, also without the epoch, or the seq alone. It goes
    /// before `from`.
    #[param(
        rename = "Last-Event-ID",
        nullable = false,
        example = "0",
        pattern = "^([0-9]{1,18}(@[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}([.][0-9]{1,18})?)?)?$"
    )]
    pub last_event_id: Option<String>,
}

/// The header of an append that may be sent again.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKey {
    /// Another spelling of `message_id`: any string of 1 to 255 characters, bare or in double quotes. Not with a batch; in a bulk
    /// load line n has an id made of the key and n.
    #[param(
        rename = "Idempotency-Key",
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = "^([!#-~]([ -~]*[!-~])?|\"[ !#-\\[\\]-~]+\")$",
        example = "order-66"
    )]
    pub idempotency_key: Option<String>,
}
