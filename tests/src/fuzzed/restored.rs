//! Backups that somebody hands to `restore`.
//!
//! An input that begins with `raw` and a newline is a tar, from there on. Any other is a script: files with a line `---` between,
//! each with its name in its first line. `end.json` with the content `auto` is the one that fits what stands before.

use std::path::Path;

use replog_protocol::ids::Seq;
use replog_protocol::node::Query;
use replog_service::backup::{Target, restore};
use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskOptions, Fsync, SegmentOptions};
use replog_storage::journal::Journal;
use sha2::{Digest, Sha256};

use super::frames;

/// The longest text of why nothing was restored.
const MAX_REASON_BYTES: usize = 1024;
/// What a cluster is called.
const CLUSTER: &str = "default";

/// Restores what the input is.
///
/// # Panics
/// Where a part of it is restored, or what was restored cannot be served.
pub fn run(bytes: &[u8]) {
    let tar = match bytes.strip_prefix(b"raw\n") {
        Some(tar) => tar.to_vec(),
        None => tar_of(bytes),
    };
    let parent = tempfile::tempdir_in(super::scratch()).expect("a directory");
    let dir = parent.path().join("data");
    let target = Target {
        dir: &dir,
        cluster: CLUSTER,
        replaces: &[],
    };
    match restore(&tar[..], &target) {
        Ok(restored) => {
            is_whole(&dir, restored.entries);
            let again = restore(&tar[..], &target);
            assert!(again.is_err(), "there is something now");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.len() <= MAX_REASON_BYTES,
                "{} bytes: {said:.600}",
                said.len()
            );
            let left = std::fs::read_dir(parent.path()).expect("readable").count();
            assert_eq!(left, 0, "nothing is left of it");
        }
    }
}

/// What was restored can be opened, read from end to end, and served.
fn is_whole(dir: &Path, entries: u64) {
    let options = DiskOptions {
        owner: Owner {
            role: Role::Master,
            node: None,
            cluster: CLUSTER.to_owned(),
        },
        fsync: Fsync::Never,
        cache_bytes: 0,
        deduplicate_contents: false,
        segments: SegmentOptions::default(),
    };
    let (journal, restored) = directory::open(dir, &options).expect("it opens");
    assert_eq!(restored.last.seq, Seq(entries), "all of it is there");
    let reader = journal.reader();
    let mut next = Seq(1);
    while next <= restored.last.seq {
        let query = Query::Range {
            first: next,
            last: restored.last.seq,
            max_bytes: 64 << 10,
        };
        let page = reader.read(&query).expect("readable");
        next = page.expect("entries").last().next();
    }
    frames::serves(Box::new(journal), restored);
}

/// The tar that a script describes.
fn tar_of(script: &[u8]) -> Vec<u8> {
    let (mut tar, mut sum, mut lines) = (Vec::new(), Sha256::new(), 0);
    for part in super::parts(script, "---") {
        let end = memchr::memchr(b'\n', part).unwrap_or(part.len());
        let (name, content) = part.split_at(end);
        let mut content = content.get(1..).unwrap_or_default().to_vec();
        if name == b"end.json" && content.trim_ascii() == b"auto" {
            let digits: String = sum
                .clone()
                .finalize()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            content = format!(r#"{{"entries":{lines},"sha256":"{digits}"}}"#).into_bytes();
        } else {
            content.push(b'\n');
        }
        if name.starts_with(b"entries/") {
            lines += memchr::memchr_iter(b'\n', &content).count();
        }
        sum.update(&content);
        let mut header = tar::Header::new_ustar();
        let field = &mut header.as_mut_bytes()[..100];
        let taken = name.len().min(field.len());
        field[..taken].copy_from_slice(&name[..taken]);
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(&content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}
