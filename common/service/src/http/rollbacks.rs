//! `GET /diverged`: what was rolled back and is kept.

use std::path::Path;

use axum::response::Response;
use replog_protocol::ids::{LogId, Seq};
use replog_protocol::node::ReadError;
use replog_storage::journal::Rollback;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::access::{LogAccess, off_thread, unreadable};
use super::answer;
use super::holding::holding;
use super::openapi::answers::Entry;
use super::problem::Problem;

/// The entries of a larger file are not shown, only its name.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// What was rolled back and is kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rollbacks {
    /// The oldest first.
    tails: Vec<Tail>,
    /// How many entries could not be kept, because there were too many for the memory.
    #[serde(skip_serializing_if = "is_zero")]
    dropped_entries: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The end of a log that was rolled back at one time.
#[derive(Debug, Serialize, ToSchema)]
struct Tail {
    /// The history that it was the end of.
    #[schema(value_type = uuid::Uuid)]
    log_id: LogId,
    #[schema(value_type = u64)]
    first_seq: Seq,
    #[schema(value_type = u64)]
    last_seq: Seq,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    /// The name of the file in the data directory that holds the entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    file: Option<String>,
    /// The entries; left out where a file holds more of them than [`MAX_FILE_BYTES`]: then the file is to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Entry>>, nullable = false)]
    entries: Option<Box<RawValue>>,
}

/// `GET /diverged`.
///
/// # Errors
/// 500 where the disk refuses; 503 while four clients are being sent theirs.
pub async fn diverged(access: &LogAccess) -> Result<Response, Problem> {
    let permit = access.large_answer()?;
    let reader = access.now().reader;
    let rollbacks = off_thread(move || {
        let kept = reader.rollbacks()?.into_iter();
        Ok(Rollbacks {
            tails: kept.map(tail).collect::<Result<_, _>>()?,
            dropped_entries: reader.dropped_rollback_entries(),
        })
    });
    let rollbacks = rollbacks.await.map_err(|error| unreadable(&error))?;
    Ok(holding(answer::json(&rollbacks), permit))
}

fn tail(rollback: Rollback) -> Result<Tail, ReadError> {
    let entries = match &rollback.file {
        Some(file) => of_file(file)?,
        None => Some(array(&rollback.entries)?),
    };
    let name = |file: std::path::PathBuf| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    Ok(Tail {
        log_id: rollback.log_id,
        first_seq: rollback.first,
        last_seq: rollback.last,
        at_ms: rollback.at_ms,
        file: rollback.file.map(name),
        entries,
    })
}

/// The entries that a file holds, one per line; `None` if the file is too large to be shown, or gone by now.
fn of_file(file: &Path) -> Result<Option<Box<RawValue>>, ReadError> {
    if !std::fs::metadata(file).is_ok_and(|meta| meta.len() <= MAX_FILE_BYTES) {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).map_err(|e| ReadError::Failed(e.to_string()))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    array(lines.join(",").as_bytes()).map(Some)
}

/// The JSON array of objects that are there with commas between.
fn array(entries: &[u8]) -> Result<Box<RawValue>, ReadError> {
    let failed = |error: &dyn std::fmt::Display| ReadError::Failed(error.to_string());
    let text = std::str::from_utf8(entries).map_err(|e| failed(&e))?;
    RawValue::from_string(["[", text, "]"].concat()).map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use crate::http::test_log::{Shown, TestLog};

    use super::*;

    /// Each of them is in memory as a whole: however many clients ask, and read nothing, there are four.
    #[tokio::test]
    async fn few_are_made_at_one_time() {
        let shown = Shown::new(TestLog::default());
        let access = shown.access();
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(diverged(&access).await.unwrap());
        }
        assert_eq!(diverged(&access).await.unwrap_err().status(), 503);
        answers.pop();
        let again = diverged(&access).await.unwrap();
        assert!(again.headers().contains_key("content-type"));
    }
}
