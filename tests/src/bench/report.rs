//! Everything that was measured, for machines.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::Args;
use super::catch_up::CatchUp;
use super::followers::Followers;
use super::ingest::Ingest;
use super::list::List;
use super::rounds::Appends;

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub args: Args,
    /// Processors of the machine.
    pub cores: usize,
    /// Without `--systems` that name none.
    pub appends: Option<Appends>,
    /// Without `--no-ingest`.
    pub ingest: Option<Vec<Ingest>>,
    /// Without `--followers 0`.
    pub followers: Option<Followers>,
    /// Without `--list-entries 0`.
    pub list: Option<List>,
    /// Without `--entries 0`.
    pub catch_up: Option<CatchUp>,
}

impl Report {
    /// Nothing yet.
    #[must_use]
    pub fn new(args: &Args) -> Self {
        Self {
            args: args.clone(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            appends: None,
            ingest: None,
            followers: None,
            list: None,
            catch_up: None,
        }
    }

    /// As it is written.
    ///
    /// # Errors
    /// None that anybody has seen.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// A file that is filled in the end.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// An empty one.
    ///
    /// # Errors
    /// It cannot be made there.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Fills it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(mut self, text: &str) -> Result<()> {
        self.file
            .write_all(text.as_bytes())
            .with_context(|| self.path.display().to_string())
    }
}
