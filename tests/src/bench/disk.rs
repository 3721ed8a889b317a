//! The disk beside the log on it: bare syncs in turn with the appends, and how long the log takes to be there again.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::harness::Node;

/// What a small write has: a page.
const PAGE: [u8; 4096] = [7; 4096];

/// Writes of a page, each synced before the next.
#[derive(Debug)]
pub struct Fsyncs {
    file: File,
    count: u64,
    elapsed: Duration,
}

impl Fsyncs {
    /// In a file of its own in that directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(dir: &Path) -> Result<Self> {
        Ok(Self {
            file: File::create(dir.join("bare-fsync")).context("a file to sync")?,
            count: 0,
            elapsed: Duration::ZERO,
        })
    }

    /// For so long.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn run(&mut self, turn: Duration) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < turn {
            self.file.write_all(&PAGE)?;
            self.file.sync_data()?;
            self.count += 1;
        }
        self.elapsed += begun.elapsed();
        Ok(())
    }

    /// Forgets what it has counted.
    pub fn forget(&mut self) {
        (self.count, self.elapsed) = (0, Duration::ZERO);
    }

    /// Syncs a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }
}

/// Kills a node with its log on a disk, and prints how long it takes until its log can be read again.
///
/// # Errors
/// It does not start.
pub async fn reopen(node: &mut Node, entries: u64) -> Result<()> {
    node.kill().await?;
    let begun = Instant::now();
    node.restart().await?;
    let path = format!("/messages/{entries}");
    node.http().get(&path).await?.expect(200)?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    println!(
        "{:>9}: {took:.0} ms from its start after a kill to the last entry",
        node.name()
    );
    Ok(())
}
