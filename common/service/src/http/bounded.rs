//! The body of a request with its limits: how large, how long it may take, and how much memory there is for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::body_memory::BodyShare;

/// Why a body is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyLimit {
    /// It has more bytes than the server takes.
    #[error("the body is larger than this server takes, {max_bytes} bytes")]
    Bytes {
        /// The most that it takes.
        max_bytes: usize,
    },
    /// All bodies that are not there yet take the memory that they may.
    #[error(
        "nothing was changed: large bodies that are being received take all the memory that they may; small ones are taken"
    )]
    Memory,
    /// The client has not sent all of it, or no more of it, in time.
    #[error("the body did not come in time")]
    Time,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Until then for all of the body.
    Until(Instant),
    /// So long for more of the body, each time.
    ForMore(Duration),
}

/// A body that ends with a [`BodyLimit`] where the client takes too much. A body that is all there costs no timer.
#[derive(Debug)]
pub(super) struct BoundedBody<B> {
    body: B,
    max_bytes: usize,
    left_bytes: usize,
    /// What its reader keeps of it: all of it, or what has come of its last line.
    kept_bytes: usize,
    share: BodyShare,
    patience: Patience,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> BoundedBody<B> {
    /// At most `max_bytes`, all of them before `until`.
    pub(super) fn new(body: B, max_bytes: usize, until: Instant, share: BodyShare) -> Self {
        Self::with(body, max_bytes, Patience::Until(until), share)
    }

    /// Any number of bytes, and `patience` for each wait for more. The handler takes it line by line, and bounds a line.
    pub(super) fn endless(body: B, patience: Duration, share: BodyShare) -> Self {
        Self::with(body, 0, Patience::ForMore(patience), share)
    }

    fn with(body: B, max_bytes: usize, patience: Patience, share: BodyShare) -> Self {
        Self {
            body,
            max_bytes,
            left_bytes: max_bytes,
            kept_bytes: 0,
            share,
            patience,
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
        if self.body.size_hint().lower() > self.left_bytes as u64
            && matches!(self.patience, Patience::Until(_))
        {
            // What its client announces is enough to know: none of it is waited for.
            let max_bytes = self.max_bytes;
            return Poll::Ready(Some(Err(BodyLimit::Bytes { max_bytes }.into())));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let patience = self.patience;
            let timer = self.timer.get_or_insert_with(|| {
                let until = match patience {
                    Patience::Until(until) => until,
                    Patience::ForMore(patience) => Instant::now() + patience,
                };
                Box::pin(sleep_until(until))
            });
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(BodyLimit::Time.into())));
        };
        let data = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(&[][..], |data| &data[..]),
            _ => &[],
        };
        let bytes = data.len();
        let is_endless = matches!(self.patience, Patience::ForMore(_));
        let mut kept_bytes = self.kept_bytes + bytes;
        if is_endless {
            self.timer = None;
            if let Some(end) = memchr::memrchr(b'\n', data) {
                kept_bytes = bytes - end - 1;
            }
        } else {
            let Some(left) = self.left_bytes.checked_sub(bytes) else {
                let max_bytes = self.max_bytes;
                return Poll::Ready(Some(Err(BodyLimit::Bytes { max_bytes }.into())));
            };
            self.left_bytes = left;
        }
        self.kept_bytes = kept_bytes;
        if !self.share.keep(kept_bytes) {
            return Poll::Ready(Some(Err(BodyLimit::Memory.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
