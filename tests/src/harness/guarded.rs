//! The parent's end: a child process that cannot outlive it.
//!
//! The child holds the reading end of a pipe as its standard input and ends when the pipe does (see [`hidden`]).
//! It also gets a process group of its own, for two reasons: Ctrl-C in a terminal reaches the parent only, which then
//! stops its children in order; and a child that is stopped (SIGSTOP) when the parent is killed can read no pipe, but
//! the kernel sends SIGHUP and SIGCONT to an orphaned group with a stopped member, which ends it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::{Child, ChildStdin, Command};

use super::eventually::eventually;
use super::hidden;

/// What to start, and with what around it.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// For messages: `master`, `secondary1`, `nats-server`.
    pub name: String,
    /// The arguments after `demo node`.
    pub args: Vec<OsString>,
    /// Variables, beside the inherited ones.
    pub env: Vec<(String, String)>,
    /// False: no `REPLOG_…` and no `NATS_…` of the developer's shell reaches the child.
    pub inherit_settings: bool,
    /// Standard output and error are appended here.
    pub log: PathBuf,
    /// Where it is started; the caller's own working directory if unset.
    pub dir: Option<PathBuf>,
    /// How it is ended when it is dropped.
    pub ending: Ending,
}

/// How a child is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL: works on a stopped one too.
    Kill,
    /// The pipe's end, for a child that has something to end itself: killed, it would leave an orphan.
    HangUp,
}

/// A running child, or one that has ended and was not replaced yet. Dropping it ends it.
#[derive(Debug)]
pub struct Guarded {
    name: String,
    child: Child,
    /// Not in `child`: tokio closes it there before it waits, and the end of this pipe is the child's end.
    stdin: Option<ChildStdin>,
    log: PathBuf,
    ending: Ending,
}

impl Guarded {
    /// Starts it.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn spawn(recipe: &Recipe) -> Result<Self> {
        let name = recipe.name.clone();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&recipe.log)
            .context("open the child's log")?;
        let mut command = Command::new(hidden::program()?);
        command.arg(hidden::NODE).args(&recipe.args);
        if !recipe.inherit_settings {
            for (key, _) in std::env::vars_os() {
                if key
                    .to_str()
                    .is_some_and(|key| key.starts_with("REPLOG_") || key.starts_with("NATS_"))
                {
                    command.env_remove(key);
                }
            }
        }
        if let Some(dir) = &recipe.dir {
            command.current_dir(dir);
        }
        command.envs(recipe.env.iter().map(|(key, value)| (key, value)));
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let stdin = child.stdin.take();
        Ok(Self {
            name,
            child,
            stdin,
            log: recipe.log.clone(),
            ending: recipe.ending,
        })
    }

    /// Its process id, until its end was noticed.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .pid()
            .ok_or_else(|| anyhow!("{} has ended", self.name))?;
        kill_process(pid, signal).with_context(|| format!("{signal:?} to {}", self.name))
    }

    /// Ends it now, without asking it. The end itself is awaited with [`Guarded::wait`].
    pub fn end(&mut self) {
        match self.ending {
            Ending::Kill => drop(self.child.start_kill()),
            Ending::HangUp => self.stdin = None,
        }
    }

    /// Waits for its end, however long.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        self.child
            .wait()
            .await
            .with_context(|| format!("wait for {}", self.name))
    }

    /// Its status if it has ended.
    #[must_use]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines it wrote.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log, lines)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.end();
        if let Some(pid) = self.pid() {
            // Waits without taking the status, which belongs to tokio.
            let _gone_already = waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            );
            let _status = self.child.try_wait();
        }
        if std::thread::panicking() {
            eprintln!("---- {} wrote:\n{}", self.name, self.log_tail(200));
        }
    }
}

/// Stops a process (SIGSTOP) and waits until all its threads stand still, which the signal alone does not wait for.
///
/// # Errors
/// When there is no such process, or it does not stop.
pub async fn stop(pid: Pid) -> Result<()> {
    kill_process(pid, Signal::STOP).context("send SIGSTOP")?;
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    eventually(
        "a process to stand still",
        Duration::from_secs(5),
        async || {
            for task in fs::read_dir(&tasks)? {
                let stat = fs::read_to_string(task?.path().join("stat"))?;
                // `id (name) STATE …`, and the name may contain anything.
                let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
                ensure!(state.starts_with('T'), "{stat}");
            }
            Ok(())
        },
    )
    .await
}

/// The last lines of a child's log.
#[must_use]
pub fn log_tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// How a child ended, as a person would say it.
#[must_use]
pub fn say(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
