//! This program again, in a role that only the benchmark needs.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::systems::{bare, fan_out};
use crate::harness::hidden;

/// A process that ends when this one does. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    child: tokio::process::Child,
}

impl Child {
    /// Starts it and waits for the line that it prints once it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends instead.
    pub async fn start(args: &[&str]) -> Result<(Self, String)> {
        let mut child = Command::new(hidden::program()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {args:?}"))?;
        let stdout = child.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        ensure!(!line.is_empty(), "{args:?} has ended before it was ready");
        Ok((Self { child }, line.trim().to_owned()))
    }

    /// Its process id, until its end was noticed.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.child.id().map(u32::cast_signed)
    }
}

/// Plays the child if the arguments say so.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    let role = args.next()?;
    let ended = match role.as_str() {
        bare::SERVER => play(bare::serve_echo()),
        fan_out::SUBSCRIBER => play(fan_out::subscribe(&args.next().unwrap_or_default())),
        _ => return None,
    };
    Some(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn play(role: impl Future<Output = Result<()>>) -> Result<()> {
    // The parent writes nothing: when the pipe ends, the parent has ended.
    hidden::at_end_of_stdin(|| std::process::exit(0));
    // One thread, as the nodes by default.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(role)
}
