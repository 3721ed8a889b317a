//! gzip for what asks for it: packed piece by piece, and sent as far as it goes whenever the next piece is waited for.

use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use super::accept::Form;

/// What is smaller fits into one packet as it is.
const MIN_BYTES: u16 = 1024;

/// The layer for a route whose answers may be long. Server-sent events are never packed: what is between would hold them back.
#[must_use]
pub fn gzip() -> CompressionLayer<And<SizeAbove, NotForContentType>> {
    let no_events = NotForContentType::const_new(Form::Events.media_type());
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(MIN_BYTES).and(no_events))
}
