//! The tar of a log, made while it is sent: never more of it in memory than one file.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use replog_protocol::ids::Seq;
use replog_protocol::node::{Query, ReadError};
use serde::Serialize;

use super::{Checksum, END, End, FILE_BYTES, MANIFEST, Manifest, name_of_entries};
use crate::http::access::{LogAccess, read, unreadable};
use crate::http::problem::Problem;
use crate::snapshot::View;

const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");
/// Files of a tar are filled up to whole blocks.
const BLOCK_BYTES: usize = 512;
/// What is read at one time.
const PAGE_BYTES: usize = 256 << 10;

struct Backup {
    access: LogAccess,
    view: View,
    manifest: Manifest,
    at_s: u64,
    step: Step,
    checksum: Checksum,
}

/// What comes next.
enum Step {
    Manifest,
    Entries(Seq),
    Nothing,
}

/// The backup of the log that `manifest` describes, as an answer. It breaks off where the log is taken away meanwhile, and is not
/// complete then.
///
/// # Errors
/// 503 where the log is another one by now, where it cannot be read, or as many streams are open as there may be.
pub async fn backup(access: LogAccess, manifest: Manifest) -> Result<Response, Problem> {
    let permit = access.stream_permit()?;
    let view = access.readable().await?;
    let shown = view.snapshot.leadership.map(|l| l.log_id);
    if shown != manifest.hard_state.log_id || view.snapshot.last < manifest.last_seq {
        return Err(unreadable(&ReadError::Gone));
    }
    let name = format!(
        "attachment; filename=\"replog-{}-{}.tar\"",
        manifest.cluster, manifest.last_seq
    );
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut backup = Backup {
        access,
        view,
        manifest,
        at_s: since.unwrap_or_default().as_secs(),
        step: Step::Manifest,
        checksum: Checksum::default(),
    };
    // What cannot be read at the beginning is said instead of breaking off.
    let head = backup.piece().await.map_err(|error| unreadable(&error))?;
    let first = backup.piece().await.map_err(|error| unreadable(&error))?;
    let begun: Vec<Bytes> = head.into_iter().chain(first).collect();
    let begun = stream::iter(begun.into_iter().map(Ok::<_, io::Error>));
    let rest = stream::try_unfold((backup, permit), |(mut backup, permit)| async move {
        if backup.access.is_stopping() {
            return Err(io::Error::other("this node is stopping"));
        }
        let piece = backup.piece().await.map_err(io::Error::other)?;
        Ok(piece.map(|piece| (piece, (backup, permit))))
    });
    let disposition = HeaderValue::try_from(name).map_err(|e| Problem::internal(e.to_string()))?;
    let headers = [
        (CONTENT_TYPE, TAR),
        (CONTENT_DISPOSITION, disposition),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let body = Body::from_stream(futures_util::StreamExt::chain(begun, rest));
    Ok((headers, body).into_response())
}

impl Backup {
    /// The next file; `None` after the last one.
    async fn piece(&mut self) -> Result<Option<Bytes>, ReadError> {
        let last = self.manifest.last_seq;
        let (piece, next) = match self.step {
            Step::Nothing => return Ok(None),
            Step::Manifest => {
                let manifest = json(&self.manifest)?;
                self.checksum.add(&manifest);
                let piece = self.file(MANIFEST, &manifest)?;
                (piece, Step::Entries(Seq(1)))
            }
            Step::Entries(first) if first > last => {
                let end = End {
                    entries: last.0,
                    sha256: self.checksum.digits(),
                };
                let mut piece = self.file(END, &json(&end)?)?;
                // Two empty blocks are the end of a tar.
                piece.resize(piece.len() + 2 * BLOCK_BYTES, 0);
                (piece, Step::Nothing)
            }
            Step::Entries(first) => {
                let (lines, next) = self.lines(first).await?;
                self.checksum.add(&lines);
                let piece = self.file(&name_of_entries(first), &lines)?;
                (piece, Step::Entries(next))
            }
        };
        self.step = next;
        Ok(Some(piece.into()))
    }

    /// Entries from `first` on, a line each, and the position after them.
    async fn lines(&self, first: Seq) -> Result<(Vec<u8>, Seq), ReadError> {
        let (mut lines, mut next) = (Vec::new(), first);
        while lines.len() < FILE_BYTES && next <= self.manifest.last_seq {
            let query = Query::Range {
                first: next,
                last: self.manifest.last_seq,
                max_bytes: PAGE_BYTES,
            };
            let batch = read(&self.view.reader, query).await?;
            // Who reads on across a rollback mixes two logs.
            let batch = batch.filter(|_| self.access.is_current(&self.view));
            let batch = batch.ok_or(ReadError::Gone)?;
            lines.reserve(batch.bytes() + 1);
            for object in batch.objects() {
                lines.extend_from_slice(object.as_bytes());
                lines.push(b'\n');
            }
            next = batch.last().next();
        }
        Ok((lines, next))
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, ReadError> {
        let mut header = tar::Header::new_ustar();
        let named = header.set_path(name);
        named.map_err(|error| ReadError::Failed(error.to_string()))?;
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.at_s);
        header.set_cksum();
        let mut file = Vec::with_capacity(content.len() + 2 * BLOCK_BYTES);
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(content);
        file.resize(file.len().next_multiple_of(BLOCK_BYTES), 0);
        Ok(file)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ReadError> {
    serde_json::to_vec(value).map_err(|error| ReadError::Failed(error.to_string()))
}
