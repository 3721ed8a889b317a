//! The body of a request with its limits: how large, and how long it may take.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyLimit {
    /// It has more bytes than the server takes.
    #[error("the body is larger than this server takes, {max_bytes} bytes")]
    Bytes {
        /// The most that it takes.
        max_bytes: usize,
    },
    /// The client has not sent all of it in time.
    #[error("the body did not come in time")]
    Time,
}

/// A body that ends with a [`BodyLimit`] where the client takes too much. A body that is all there costs no timer.
#[derive(Debug)]
pub(super) struct BoundedBody<B> {
    body: B,
    max_bytes: usize,
    left_bytes: usize,
    until: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> BoundedBody<B> {
    /// At most `max_bytes`, all of them before `until`.
    pub(super) fn new(body: B, max_bytes: usize, until: Instant) -> Self {
        Self {
            body,
            max_bytes,
            left_bytes: max_bytes,
            until,
            timer: None,
        }
    }
}

impl<B> HttpBody for BoundedBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let until = self.until;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(BodyLimit::Time.into())));
        };
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        Poll::Ready(match self.left_bytes.checked_sub(bytes) {
            None => {
                let max_bytes = self.max_bytes;
                Some(Err(BodyLimit::Bytes { max_bytes }.into()))
            }
            Some(left) => {
                self.left_bytes = left;
                frame.map(|frame| frame.map_err(Into::into))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
