//! Rolled-back entries in files of the data directory: `diverged-<log_id>-<milliseconds since 1970>.ndjson`, an entry a line.
//!
//! A file is written under another name, and gets its own one when it is whole and synced; so what a process that was killed
//! has left is never taken for a rollback.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use replog_protocol::ids::{LogId, Seq};
use serde::Deserialize;

use super::error::Refused;
use super::medium::sync_dir;
use crate::journal::Rollback;
use crate::rollbacks::now_ms;

/// What a file's name ends with while it is written.
const UNFINISHED: &str = ".new";

/// What is read at one time to find the last line of a file.
const BLOCK_BYTES: u64 = 64 << 10;

/// A rollback file that is being written.
#[derive(Debug)]
pub(super) struct RollbackFile {
    dir: PathBuf,
    name: String,
    out: BufWriter<File>,
}

impl RollbackFile {
    /// A file that was not there before.
    pub(super) fn create(dir: &Path, log_id: LogId) -> Result<Self, Refused> {
        let mut at_ms = now_ms();
        loop {
            let name = format!("diverged-{log_id}-{at_ms}.ndjson");
            if !dir.join(&name).try_exists()? {
                let file = File::create(dir.join(name.clone() + UNFINISHED))?;
                return Ok(Self {
                    dir: dir.to_owned(),
                    name,
                    out: BufWriter::new(file),
                });
            }
            at_ms += 1;
        }
    }

    /// One more line.
    pub(super) fn write_line(&mut self, json: &[u8]) -> Result<(), Refused> {
        self.out.write_all(json)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Makes it durable, and gives it its name.
    pub(super) fn finish(&mut self) -> Result<PathBuf, Refused> {
        self.out.flush()?;
        // A full disk that shows only here has dropped what was written: there is more wrong than a lack of room.
        let failed = |error: io::Error| Refused::Failed(error.to_string());
        self.out.get_ref().sync_all().map_err(failed)?;
        let path = self.dir.join(&self.name);
        fs::rename(self.unfinished(), &path)?;
        sync_dir(&self.dir).map_err(failed)?;
        Ok(path)
    }

    /// The file was not finished, and the entries stay in the log: no such file.
    pub(super) fn discard(self) {
        fs::remove_file(self.unfinished()).ok();
    }

    fn unfinished(&self) -> PathBuf {
        self.dir.join(self.name.clone() + UNFINISHED)
    }
}

/// The rollbacks whose files are in the directory `dir`, the oldest first. Files of other names, or that hold something else,
/// are passed over.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Rollback>> {
    let mut rollbacks = Vec::new();
    for found in fs::read_dir(dir)? {
        let name = found?.file_name();
        let path = dir.join(&name);
        let Some((log_id, at_ms)) = name.to_str().and_then(parse_name) else {
            continue;
        };
        let Some((first, last)) = read_range(&path).ok().flatten() else {
            continue;
        };
        rollbacks.push(Rollback {
            log_id,
            first,
            last,
            at_ms,
            file: Some(path),
            entries: Bytes::new(),
        });
    }
    rollbacks.sort_by(|a, b| (a.at_ms, &a.file).cmp(&(b.at_ms, &b.file)));
    Ok(rollbacks)
}

/// Removes what a process that was killed has left: its entries are still in the log.
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for found in fs::read_dir(dir)? {
        let name = found?.file_name();
        let finished = name.to_str().and_then(|name| name.strip_suffix(UNFINISHED));
        if finished.and_then(parse_name).is_some() {
            fs::remove_file(dir.join(&name))?;
        }
    }
    Ok(())
}

/// The history and the time that are in a file's name, if it is one of a rollback file.
fn parse_name(name: &str) -> Option<(LogId, u64)> {
    let rest = name.strip_prefix("diverged-")?.strip_suffix(".ndjson")?;
    let (log_id, at_ms) = rest.rsplit_once('-')?;
    let log_id = LogId(uuid::Uuid::try_parse(log_id).ok()?);
    let at_ms = at_ms.parse().ok()?;
    (rest == format!("{log_id}-{at_ms}")).then_some((log_id, at_ms))
}

/// The positions of the first and of the last line.
fn read_range(path: &Path) -> io::Result<Option<(Seq, Seq)>> {
    #[derive(Deserialize)]
    struct Line {
        seq: Seq,
    }
    let seq = |line: &[u8]| serde_json::from_slice::<Line>(line).ok().map(|l| l.seq);
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let (first, last) = (first_line(&mut file)?, last_line(&mut file)?);
    let range = seq(&first).zip(seq(&last));
    Ok(range.filter(|(first, last)| Seq::ZERO < *first && first <= last))
}

fn first_line(file: &mut File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    io::BufRead::read_until(&mut io::BufReader::new(file), b'\n', &mut line)?;
    Ok(line)
}

/// Reads from the end of the file backwards until a line begins.
fn last_line(file: &mut File) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut from = file.seek(SeekFrom::End(0))?;
    while from > 0 {
        let bytes = from.min(BLOCK_BYTES);
        from -= bytes;
        file.seek(SeekFrom::Start(from))?;
        let mut block = Vec::new();
        file.take(bytes).read_to_end(&mut block)?;
        block.append(&mut line);
        line = block;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(at) = text.iter().rposition(|b| *b == b'\n') {
            return Ok(line.split_off(at + 1));
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(dir: &Path, lines: &[String]) -> PathBuf {
        let mut file = RollbackFile::create(dir, LogId::default()).unwrap();
        for line in lines {
            file.write_line(line.as_bytes()).unwrap();
        }
        file.finish().unwrap()
    }

    #[test]
    fn the_first_and_the_last_position_are_found_however_long_the_lines() {
        let dir = tempfile::tempdir().unwrap();
        let line = |seq: u64, size: usize| format!(r#"{{"seq":{seq},"x":"{}"}}"#, "x".repeat(size));
        for (sizes, expected) in [
            (vec![0], (1, 1)),
            (vec![200_000, 10], (1, 2)),
            (vec![10, 200_000], (1, 2)),
            (vec![65_536 - 16; 3], (1, 3)),
        ] {
            let lines: Vec<String> = (1..).zip(sizes).map(|(s, size)| line(s, size)).collect();
            let path = file_with(dir.path(), &lines);
            let found = read_range(&path).unwrap().unwrap();
            assert_eq!((found.0.0, found.1.0), expected);
        }
        let listed = list(dir.path()).unwrap();
        assert_eq!(listed.len(), 4, "each has a name of its own");
        assert!(listed.is_sorted_by_key(|r| r.at_ms));
    }

    #[test]
    fn other_files_are_passed_over_and_left_there() {
        let dir = tempfile::tempdir().unwrap();
        let id = LogId::default();
        let text = "{\"seq\":1}\n";
        let names = [
            format!("diverged-{id}-12.ndjson.bak"),
            format!("diverged-{id}-.ndjson"),
            format!("diverged-{id}-+12.ndjson"),
            format!("diverged-{}-12.ndjson", id.0.simple()),
            "diverged-me-12.ndjson".to_owned(),
            "notes.txt".to_owned(),
            "notes.new".to_owned(),
        ];
        for name in &names {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let contents = [
            "",
            "\n",
            "no json\n",
            "{\"seq\":0}\n",
            "{\"seq\":2}\n{\"seq\":1}\n",
        ];
        for (at, text) in contents.iter().enumerate() {
            let name = format!("diverged-{id}-{at}.ndjson");
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::create_dir(dir.path().join(format!("diverged-{id}-99.ndjson"))).unwrap();
        assert_eq!(list(dir.path()).unwrap(), []);
        remove_unfinished(dir.path()).unwrap();
        assert!(names.iter().all(|name| dir.path().join(name).exists()));
    }

    #[test]
    fn what_was_not_finished_is_none_and_goes_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RollbackFile::create(dir.path(), LogId::default()).unwrap();
        file.write_line(b"{\"seq\":1}").unwrap();
        drop(file);
        assert_eq!(list(dir.path()).unwrap(), []);
        remove_unfinished(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
