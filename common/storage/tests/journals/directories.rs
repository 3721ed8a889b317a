//! Whose a data directory is, and what is none.

use std::path::Path;

use replog_storage::directory::{self, Owner, Role};
use replog_storage::disk::{DiskOptions, OpenError};
use replog_storage::samples::{append, disk_options, entries};
use replog_storage::sim_disk::{SimDisk, replayed};

use crate::made::{open, open_directory};

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

#[test]
fn a_first_start_that_was_killed_is_in_nobodys_way() {
    let disk = SimDisk::default();
    drop(open(&disk, 0).expect("it opens"));
    let ops = disk.take_ops();
    let dir = tempfile::tempdir().expect("a directory");
    for upto in 0..=ops.len() {
        let path = dir.path().join(upto.to_string());
        std::fs::create_dir(&path).expect("made");
        let left = replayed(Vec::new(), &ops[..upto], 0);
        std::fs::write(path.join("log.redb.new"), left).expect("written");
        let opened = open_directory(&path);
        let (mut journal, _) = opened.unwrap_or_else(|e| panic!("killed after step {upto}: {e}"));
        append(&mut journal, entries(1..=3, 40));
        let names = std::fs::read_dir(&path).expect("readable");
        let names: Vec<_> = names.map(|e| e.expect("a name").file_name()).collect();
        assert_eq!(names, ["log.redb"]);
    }
}

#[test]
fn what_is_no_directory_or_no_log_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |path: &Path| open_directory(path).expect_err("it is refused");
    let missing = refused(&dir.path().join("a/b"));
    assert!(matches!(missing, OpenError::Io(_)), "its parent: {missing}");
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("written");
    assert!(matches!(refused(&file), OpenError::Io(_)));
    for cut_off in [0, 4, 100, 5_000] {
        let whole = dir.path().join(format!("cut at {cut_off}"));
        drop(open_directory(&whole).expect("it is new"));
        let file = whole.join("log.redb");
        let text = std::fs::read(&file).expect("readable");
        std::fs::write(&file, &text[..cut_off]).expect("written");
        let no_log = refused(&whole);
        assert!(
            matches!(no_log, OpenError::Damaged(_)),
            "{cut_off}: {no_log:?}"
        );
    }
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("made");
    std::fs::write(other.join("log.redb"), "something else entirely").expect("written");
    assert!(matches!(refused(&other), OpenError::Damaged(_)));
    let nested = dir.path().join("nested");
    std::fs::create_dir_all(nested.join("log.redb")).expect("made");
    assert!(matches!(refused(&nested), OpenError::Damaged(_)));
}

/// Nobody may make a file there, whatever his rights.
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let refused = open_directory(Path::new("/proc")).expect_err("it is refused");
    assert!(matches!(refused, OpenError::Io(_)), "{refused}");
}
