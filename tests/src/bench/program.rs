//! Programs of others as children of the benchmark.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::systems::Process;
use super::usage;
use crate::harness::eventually;
use crate::harness::guarded::{Ending, Guarded, Recipe, say};
use crate::harness::install;
use crate::harness::ports::PortLease;

const START_WITHIN: Duration = Duration::from_secs(30);

/// Finds a program in `path`, which is written like the variable `PATH`.
///
/// # Errors
/// It is not there.
pub fn find(name: &str, path: &OsStr) -> Result<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    install::on_path(&file, path).with_context(|| format!("no {name} on the PATH"))
}

/// A running program. Dropping it ends it, and it ends with this process.
#[derive(Debug)]
pub struct Program {
    name: String,
    guard: Guarded,
    /// Where it listens.
    _ports: Vec<PortLease>,
}

impl Program {
    /// Starts it, with a log of what it says in `home`.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn spawn(
        program: &Path,
        args: Vec<String>,
        ports: Vec<PortLease>,
        home: &Path,
    ) -> Result<Self> {
        let name = program.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let own = args.into_iter().map(OsString::from);
        let guard = Guarded::spawn(&Recipe {
            name: name.clone(),
            args: ["other".into(), program.into()]
                .into_iter()
                .chain(own)
                .collect(),
            env: Vec::new(),
            inherit_settings: false,
            log: home.join("log"),
            dir: None,
            ending: Ending::HangUp,
        })?;
        Ok(Self {
            name,
            guard,
            _ports: ports,
        })
    }

    /// The program itself, not what stands over it.
    #[must_use]
    pub fn process(&self) -> Process {
        let guard = self.guard.pid().map(|pid| pid.as_raw_nonzero().get());
        Process::new(&self.name, usage::child_of(guard))
    }
}

/// Asks until the answer is `Ok`, or one of the programs has ended, or it takes too long.
///
/// # Errors
/// In the latter two cases; the message has the last words of a program that has ended.
pub async fn ready<T>(
    programs: &mut [Program],
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let answer = eventually(what, START_WITHIN, async || {
        for Program { name, guard, .. } in programs.iter_mut() {
            if let Some(status) = guard.ended() {
                let (how, tail) = (say(status), guard.log_tail(5));
                return Ok(Err(anyhow!("{name} did not start, {how}:\n{tail}")));
            }
        }
        ask().await.map(Ok)
    });
    answer.await.and_then(|answer| answer)
}
