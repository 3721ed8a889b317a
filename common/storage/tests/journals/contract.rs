//! Every journal keeps the contract.

use std::path::PathBuf;

use replog_protocol::node::Restored;
use replog_storage::contract::{Subject, check};
use replog_storage::directory;
use replog_storage::disk::DiskOptions;
use replog_storage::journal::Journal;
use replog_storage::memory::MemoryJournal;
use replog_storage::samples::disk_options;
use replog_storage::sim_disk::SimDisk;

fn options(cache_bytes: usize) -> DiskOptions {
    DiskOptions {
        deduplicate_contents: true,
        ..disk_options(cache_bytes)
    }
}

struct InMemory;

impl Subject for InMemory {
    fn empty(&mut self) -> Box<dyn Journal> {
        Box::new(MemoryJournal::new())
    }

    fn restart(&mut self, _journal: Box<dyn Journal>) -> Option<(Box<dyn Journal>, Restored)> {
        None
    }
}

#[test]
fn in_memory() {
    check(&mut InMemory);
}

#[derive(Default)]
struct OnSimDisk {
    cache_bytes: usize,
    /// The newest disk.
    disk: SimDisk,
}

impl Subject for OnSimDisk {
    fn empty(&mut self) -> Box<dyn Journal> {
        self.disk = SimDisk::default();
        let opened = self.disk.open(&options(self.cache_bytes));
        Box::new(opened.expect("it opens").0)
    }

    fn restart(&mut self, journal: Box<dyn Journal>) -> Option<(Box<dyn Journal>, Restored)> {
        drop(journal);
        let opened = self.disk.open(&options(self.cache_bytes));
        let (journal, restored) = opened.expect("it opens again");
        Some((Box::new(journal), restored))
    }
}

#[test]
fn on_a_simulated_disk_with_and_without_a_cache() {
    for cache_bytes in [0, 100_000, 1 << 30] {
        check(&mut OnSimDisk {
            cache_bytes,
            ..OnSimDisk::default()
        });
    }
}

struct InDirectory {
    under: tempfile::TempDir,
    made: u32,
}

impl InDirectory {
    fn open(&self) -> (Box<dyn Journal>, Restored) {
        let dir: PathBuf = self.under.path().join(self.made.to_string());
        let opened = directory::open(&dir, &options(10_000));
        let (journal, restored) = opened.expect("it opens");
        (Box::new(journal), restored)
    }
}

impl Subject for InDirectory {
    fn empty(&mut self) -> Box<dyn Journal> {
        self.made += 1;
        self.open().0
    }

    fn restart(&mut self, journal: Box<dyn Journal>) -> Option<(Box<dyn Journal>, Restored)> {
        drop(journal);
        Some(self.open())
    }
}

#[test]
fn in_a_data_directory() {
    check(&mut InDirectory {
        under: tempfile::tempdir().expect("a directory"),
        made: 0,
    });
}
