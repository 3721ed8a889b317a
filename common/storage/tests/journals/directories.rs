//! Whose a data directory is, and what is none.

use std::fs;
use std::path::Path;

use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskOptions, OpenError};
use replog_storage::journal::Journal;
use replog_storage::samples::{append, disk_options, entries, everything, shown};
use replog_storage::sim_disk::{Image, SimDisk, replayed};

use crate::made::{open, open_directory, written};

#[test]
fn it_belongs_to_one_node_and_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("master");
    let first = open_directory(&path).expect("it is new");
    let second = open_directory(&path).expect_err("it is in use");
    assert!(matches!(second, OpenError::Locked), "{second}");
    drop(first);
    let other = DiskOptions {
        owner: Owner {
            role: Role::Secondary,
            node: Some("s1".parse().expect("a name")),
            cluster: "default".to_owned(),
        },
        ..disk_options(0)
    };
    let refused = directory::open(&path, &other).expect_err("it is the master's");
    assert_eq!(
        refused.to_string(),
        "it belongs to the master of cluster default, this is the secondary s1 of cluster default: each node needs a \
         directory of its own"
    );
    open_directory(&path).expect("its owner may");
}

/// Whatever of its steps was done: the next one begins an empty log, or finds it.
#[test]
fn a_first_start_that_was_killed_is_in_nobodys_way() {
    let disk = SimDisk::default();
    drop(open(&disk, 0).expect("it opens"));
    let ops = disk.take_ops();
    for upto in 0..=ops.len() {
        for extra in [0, 1, 500] {
            let is_write = matches!(
                ops.get(upto),
                Some(replog_storage::sim_disk::DiskOp::Write(..))
            );
            if extra > 0 && !is_write {
                continue;
            }
            let done = &ops[..upto + usize::from(extra > 0)];
            let left = replayed(Image::default(), done, extra);
            let disk = SimDisk::with_image(left);
            let opened = open(&disk, 0);
            let (mut journal, _) =
                opened.unwrap_or_else(|e| panic!("killed after step {upto}: {e}"));
            append(&mut journal, entries(1..=3, 40));
            let all = everything(&*journal.reader());
            assert_eq!(all, Ok(shown(&entries(1..=3, 40))));
        }
    }
}

#[test]
fn what_is_no_directory_or_no_log_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |path: &Path| open_directory(path).expect_err("it is refused");
    let missing = refused(&dir.path().join("a/b")).to_string();
    let parent = dir.path().join("a").display().to_string();
    for part in [
        &format!("{parent} does not exist"),
        &format!("`mkdir -p {parent}`"),
    ] {
        assert!(missing.contains(part), "{missing}");
    }
    assert!(
        !dir.path().join("a").exists(),
        "a mount that is missing is not made up for"
    );
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("written");
    assert!(matches!(refused(&file), OpenError::Io(_)));
    for cut_off in [0, 4, 100, 1_200] {
        let whole = dir.path().join(format!("cut at {cut_off}"));
        drop(open_directory(&whole).expect("it is new"));
        let file = whole.join("log/0000000001.segment");
        let text = fs::read(&file).expect("readable");
        assert!(text.len() > 4_000);
        fs::write(&file, &text[..cut_off]).expect("written");
        let no_log = refused(&whole);
        assert!(
            matches!(no_log, OpenError::Damaged(_)),
            "{cut_off}: {no_log:?}"
        );
        fs::write(&file, "something else entirely").expect("written");
        assert!(matches!(refused(&whole), OpenError::Damaged(_)));
    }
    let other = dir.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("log"), "something else entirely").expect("written");
    let no_log = refused(&other);
    assert!(matches!(no_log, OpenError::Damaged(_)), "{no_log}");
}

#[test]
fn a_log_of_which_a_segment_is_missing_is_refused_by_its_name() {
    let disk = SimDisk::default();
    drop(written(&disk, 40, 10));
    let mut image = disk.image();
    image.remove("0000000002.segment");
    let refused = open(&SimDisk::with_image(image), 0).expect_err("it is refused");
    let refused = refused.to_string();
    assert!(
        refused.contains("0000000002.segment is missing"),
        "{refused}"
    );
}

/// A number that has rotted is damage, whatever it has become.
#[test]
fn a_newer_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open_directory(dir.path()).expect("it is new"));
    let file = dir.path().join("log/0000000001.segment");
    let mut text = fs::read(&file).expect("readable");
    text[8] += 1;
    fs::write(&file, &text).expect("written");
    let refused = open_directory(dir.path()).expect_err("its checksum is wrong");
    assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");

    let owner_bytes = u32::from_le_bytes(text[24..28].try_into().expect("four"));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&text[..28]);
    hasher.update(&text[32..32 + owner_bytes as usize]);
    text[28..32].copy_from_slice(&hasher.finalize().to_le_bytes());
    fs::write(&file, &text).expect("written");
    let refused = open_directory(dir.path()).expect_err("it is newer");
    assert_eq!(
        refused.to_string(),
        "it has format 4, this program reads 3: start the version that wrote it"
    );
}

/// What the versions with a database have written stays as it is.
#[test]
fn a_log_of_a_former_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("log.redb");
    let text = b"redb\x1a\x0a\xa9\x0d\x0a and more".to_vec();
    fs::write(&file, &text).expect("written");
    let refused = open_directory(dir.path()).expect_err("it is refused");
    assert!(matches!(refused, OpenError::Former), "{refused:?}");
    let says = refused.to_string();
    assert!(says.contains("export the log (`curl"), "{says}");
    assert_eq!(says.lines().count(), 1);
    assert_eq!(fs::read(&file).expect("readable"), text);
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
}

/// Nobody may make a file there, whatever his rights.
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let refused = open_directory(Path::new("/proc")).expect_err("it is refused");
    assert!(matches!(refused, OpenError::Io(_)), "{refused}");
}
