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
}

impl Fsyncs {
    /// In a file of its own in that directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(dir: &Path) -> Result<Self> {
        let file = File::create(dir.join("bare-fsync")).context("a file to sync")?;
        Ok(Self { file })
    }

    /// Syncs for so long; how many a second.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn run(&mut self, turn: Duration) -> Result<f64> {
        let (begun, mut count) = (Instant::now(), 0_u32);
        while begun.elapsed() < turn {
            self.file.write_all(&PAGE)?;
            self.file.sync_data()?;
            count += 1;
        }
        Ok(f64::from(count) / begun.elapsed().as_secs_f64())
    }
}

/// Kills a node with its log on a disk, and prints how many milliseconds it takes until its log can be read again.
///
/// # Errors
/// It does not start.
pub async fn reopen(node: &mut Node, entries: u64) -> Result<f64> {
    node.kill().await?;
    let begun = Instant::now();
    node.restart().await?;
    let path = format!("/messages/{entries}");
    node.http().get(&path).await?.expect(200)?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    println!(
        "{:>10}: {took:.0} ms from its start after a kill to the last entry",
        node.name()
    );
    Ok(took)
}
