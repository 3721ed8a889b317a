//! A body of any length, read line by line in constant memory.

use axum::body::{Body, Bytes};
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;

use super::body::unreadable;
use super::problem::Problem;
use crate::metrics::HttpLimit;

/// The lines of a body. One line is kept at a time, and what the connection has read of those after it.
#[derive(Debug)]
pub struct Lines {
    body: Body,
    buffer: BytesMut,
    /// So many bytes of the buffer have no newline.
    searched: usize,
    max_bytes: usize,
    /// How many lines were taken out of the buffer, blank ones too.
    taken: u64,
    has_ended: bool,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which one it is, from 1; blank ones count.
    pub number: u64,
    /// What it says, without its end.
    pub text: Bytes,
}

impl Lines {
    /// The lines of that body, each of at most `max_bytes` without its end.
    #[must_use]
    pub fn new(body: Body, max_bytes: usize) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            max_bytes,
            taken: 0,
            has_ended: false,
        }
    }

    /// The next line that is not blank; `None` after the last one, which needs no newline. Cancel-safe.
    ///
    /// # Errors
    /// 413 for a line that is too long, 408 where no more of the body comes in time, 400 where the client breaks off.
    pub async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            let line = match memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                Some(at) => {
                    let line = self.buffer.split_to(self.searched + at);
                    self.buffer.advance(1);
                    line
                }
                None => {
                    self.searched = self.buffer.len();
                    if self.searched > self.max_bytes {
                        return Err(self.too_long());
                    }
                    if self.read_on().await? {
                        continue;
                    }
                    if self.buffer.is_empty() {
                        return Ok(None);
                    }
                    self.buffer.split()
                }
            };
            if line.len() > self.max_bytes {
                return Err(self.too_long());
            }
            self.searched = 0;
            self.taken += 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Line {
                    number: self.taken,
                    text: line.freeze(),
                }));
            }
        }
    }

    /// The number of the line that is read next, or was to be.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.taken + 1
    }

    /// Waits for more of the body; whether there is more.
    async fn read_on(&mut self) -> Result<bool, Problem> {
        if self.has_ended {
            return Ok(false);
        }
        match self.body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                self.buffer.extend_from_slice(&data);
            }
            Some(Err(error)) => return Err(unreadable(&error)),
            None => self.has_ended = true,
        }
        Ok(!self.has_ended)
    }

    fn too_long(&self) -> Problem {
        let detail = format!(
            "the line is longer than this server takes, {} bytes",
            self.max_bytes
        );
        Problem::payload_too_large(detail).at_limit(HttpLimit::MaxBodyBytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::HttpBody;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;
    use crate::http::body_memory::BodyMemory;
    use crate::http::bounded::BoundedBody;

    type Sent = Result<Frame<Bytes>, axum::Error>;

    fn body(pieces: &'static [&'static str]) -> impl HttpBody<Data = Bytes, Error = axum::Error> {
        let frames = pieces
            .iter()
            .map(|piece| Sent::Ok(Frame::data((*piece).into())));
        StreamBody::new(futures_util::stream::iter(frames))
    }

    async fn all(mut lines: Lines) -> Result<Vec<(u64, String)>, (u16, u64)> {
        let mut read = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => {
                    let text = String::from_utf8(line.text.to_vec()).unwrap();
                    read.push((line.number, text));
                }
                Ok(None) => return Ok(read),
                Err(problem) => return Err((problem.status().as_u16(), lines.next_number())),
            }
        }
    }

    async fn read(pieces: &'static [&'static str]) -> Result<Vec<(u64, String)>, (u16, u64)> {
        all(Lines::new(Body::new(body(pieces)), 5)).await
    }

    #[tokio::test]
    async fn lines_are_read_however_they_come() {
        let expected = |lines: &[(u64, &str)]| {
            Ok(lines
                .iter()
                .map(|(n, text)| (*n, (*text).to_owned()))
                .collect())
        };
        assert_eq!(read(&["ab\ncd\n"]).await, expected(&[(1, "ab"), (2, "cd")]));
        let pieces = &["a", "b", "\nc", "", "d\r\n", "\n \t\n", "12345\n", "e"];
        let lines = [(1, "ab"), (2, "cd\r"), (5, "12345"), (6, "e")];
        assert_eq!(read(pieces).await, expected(&lines), "blank ones count");
        assert_eq!(read(&[]).await, expected(&[]));
        assert_eq!(read(&["\n", "\n"]).await, expected(&[]));
    }

    #[tokio::test]
    async fn one_line_is_bounded_and_not_all_of_them() {
        assert_eq!(
            read(&["12345\n12345\n12345\n"]).await.map(|l| l.len()),
            Ok(3)
        );
        assert_eq!(read(&["a\n123456\nb\n"]).await, Err((413, 2)));
        // Also before its end has come.
        assert_eq!(read(&["a\n", "123", "456"]).await, Err((413, 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_is_bounded_and_not_all_of_them() {
        let second = Duration::from_secs(1);
        let slow = |pauses: &'static [u32]| {
            let frames =
                futures_util::stream::unfold(pauses.iter(), move |mut pauses| async move {
                    tokio::time::sleep(second / 10 * *pauses.next()?).await;
                    Some((Sent::Ok(Frame::data("a\n".into())), pauses))
                });
            let share = BodyMemory::new(0).share();
            let body = BoundedBody::endless(Box::pin(StreamBody::new(frames)), second, share);
            all(Lines::new(Body::new(body), 5))
        };
        assert_eq!(slow(&[9, 9, 9, 9]).await.map(|lines| lines.len()), Ok(4));
        assert_eq!(slow(&[9, 9, 11, 9]).await, Err((408, 3)));
    }

    /// A load of any length is kept in no more memory than its longest line.
    #[tokio::test]
    async fn what_is_kept_of_a_line_is_counted_and_not_all_of_them() {
        let read = |pieces: &'static [usize]| {
            let frames = pieces.iter().map(|bytes| {
                let mut piece = vec![b'x'; *bytes];
                piece.extend_from_slice(if *bytes % 2 == 0 { b"\n" } else { b"" });
                Sent::Ok(Frame::data(piece.into()))
            });
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let share = BodyMemory::new(1000).share();
            let body = BoundedBody::endless(body, Duration::from_secs(1), share);
            all(Lines::new(Body::new(body), 1 << 20))
        };
        let lines = read(&[60_000; 100]).await.map(|lines| lines.len());
        assert_eq!(lines, Ok(100));
        assert_eq!(read(&[60_000, 59_999, 59_999]).await, Err((503, 2)));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_last_line() {
        let sent = [Ok(Bytes::from("a\nb")), Err(std::io::Error::other("reset"))];
        let body = Body::from_stream(futures_util::stream::iter(sent));
        assert_eq!(all(Lines::new(body, 5)).await, Err((400, 2)));
    }
}
