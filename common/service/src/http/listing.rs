//! A long answer: entries between a head and a tail, read and sent piece by piece, so that a long log is never in memory
//! twice.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use replog_protocol::entry::EntryBatch;
use replog_protocol::ids::{Epoch, Seq};
use replog_protocol::node::{Query, ReadError};
use tokio::time::Instant;

use super::access::{LogAccess, read, unreadable};
use super::problem::Problem;
use super::python::push_repr;
use crate::snapshot::View;

/// About so much is read before it is sent.
const PIECE_BYTES: usize = 256 << 10;
/// Entries of at least so many bytes leave as they lie in the log; fewer are put together first.
const SHARED_BYTES: usize = 16 << 10;
/// When the program stops, a list that is being sent goes on for so long, and breaks off then.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// How entries are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON objects with commas between, as they lie in the log.
    Json,
    /// A line per entry: its JSON object.
    Lines,
    /// A line per entry, as Python prints a tuple of a number (from 0) and a string.
    Python,
}

/// The entries from `next` to `upto`, with what comes before and after them.
#[derive(Debug)]
pub(super) struct Listing {
    access: LogAccess,
    view: View,
    next: Seq,
    upto: Seq,
    format: Format,
    is_first: bool,
    /// The epoch of the entry before `next`, if that was read.
    epoch: Option<Epoch>,
    tail: Option<Vec<u8>>,
    /// Read, and not sent yet.
    ready: VecDeque<Bytes>,
    /// Small batches, put together.
    joined: Vec<u8>,
    /// When a piece was due and the program was about to end.
    stopping_since: Option<Instant>,
}

impl Listing {
    /// Nothing is read yet.
    pub(super) fn new(
        access: LogAccess,
        view: View,
        (from, upto): (Seq, Seq),
        format: Format,
        (head, tail): (&str, Vec<u8>),
    ) -> Self {
        Self {
            access,
            view,
            next: from,
            upto,
            format,
            is_first: true,
            epoch: None,
            tail: Some(tail),
            ready: VecDeque::new(),
            joined: head.as_bytes().to_vec(),
            stopping_since: None,
        }
    }

    /// Reads the first piece: what cannot be read at the beginning is said instead of breaking off.
    ///
    /// # Errors
    /// As [`unreadable`].
    pub(super) async fn begin(&mut self) -> Result<(), Problem> {
        self.fill().await.map_err(|error| unreadable(&error))
    }

    /// The epoch of the last entry of the list, if that one was read already.
    pub(super) fn end_epoch(&self) -> Option<Epoch> {
        self.epoch.filter(|_| self.next > self.upto)
    }

    /// The body of the answer, once it has begun.
    pub(super) fn into_body(mut self) -> Body {
        if self.tail.is_none() && self.ready.len() <= 1 {
            return Body::from(self.ready.pop_front().unwrap_or_default());
        }
        Body::from_stream(stream::try_unfold(self, |mut listing| async move {
            let piece = listing.next_piece().await?;
            Ok::<_, io::Error>(piece.map(|piece| (piece, listing)))
        }))
    }

    /// The next bytes to send; `None` at the end.
    async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.ready.is_empty() && self.tail.is_some() {
            self.check_stop()?;
            self.fill().await.map_err(io::Error::other)?;
        }
        Ok(self.ready.pop_front())
    }

    /// A long list does not delay a stop: the client sees that it breaks off.
    fn check_stop(&mut self) -> io::Result<()> {
        if self.access.is_stopping() {
            let since = *self.stopping_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= STOP_PATIENCE {
                return Err(io::Error::other("this node is stopping"));
            }
        }
        Ok(())
    }

    /// Reads the next piece; the last one has the tail.
    async fn fill(&mut self) -> Result<(), ReadError> {
        let mut bytes = 0;
        while bytes < PIECE_BYTES && self.next <= self.upto {
            let query = Query::Range {
                first: self.next,
                last: self.upto,
                max_bytes: PIECE_BYTES,
            };
            let batch = read(&self.view.reader, query).await?;
            // Who reads on across a rollback mixes two logs; the log is shorter than it was shown.
            let batch = batch.filter(|_| self.access.is_current(&self.view));
            let batch = batch.ok_or(ReadError::Gone)?;
            bytes += batch.bytes();
            self.next = batch.last().next();
            self.epoch = Some(batch.epoch());
            self.push(&batch);
        }
        if self.next > self.upto
            && let Some(tail) = self.tail.take()
        {
            self.joined.extend_from_slice(&tail);
        }
        self.flush();
        Ok(())
    }

    fn push(&mut self, batch: &EntryBatch) {
        let is_first = std::mem::take(&mut self.is_first);
        match self.format {
            Format::Json => {
                if !is_first {
                    self.joined.push(b',');
                }
                if batch.bytes() < SHARED_BYTES {
                    self.joined.extend_from_slice(batch.text());
                } else {
                    self.flush();
                    self.ready.push_back(batch.text().clone());
                }
            }
            Format::Lines => {
                self.joined.reserve(batch.bytes() + 1);
                for object in batch.objects() {
                    self.joined.extend_from_slice(object.as_bytes());
                    self.joined.push(b'\n');
                }
            }
            Format::Python => {
                let mut line = String::new();
                for entry in batch.iter() {
                    line.clear();
                    let _ = write!(line, "({}, ", entry.seq.prev());
                    push_repr(&mut line, &entry.text());
                    line.push_str(")\n");
                    self.joined.extend_from_slice(line.as_bytes());
                }
            }
        }
    }

    fn flush(&mut self) {
        if !self.joined.is_empty() {
            self.ready
                .push_back(std::mem::take(&mut self.joined).into());
        }
    }
}
