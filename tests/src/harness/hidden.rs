//! The child's end: `demo node master …`, `demo node secondary …`, `demo node other PATH …`.
//!
//! Children are this same binary started again, so that `cargo test` and `cargo run --bin demo` need no other package's
//! binary built first. Every child reads its standard input, a pipe of which the parent holds the other end and writes
//! nothing: when the parent is gone, however it went (SIGKILL too), the pipe ends and so does the child.
//! Another program (`nats-server`, and what the benchmark measures beside) knows nothing of this, so `node other` stands over
//! it, kills it at the end of the pipe or when it is asked to stop itself, and ends when it ends.
//! A program that plays a secondary in place of the real one takes the place of `node secondary` itself, so that signals and exit
//! codes are its own; it reads its standard input, too.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

static THIS_PROGRAM_HOSTS_CHILDREN: AtomicBool = AtomicBool::new(false);

/// The first argument of a child.
pub const NODE: &str = "node";

/// The variable that says how many files and connections a node may have open at once, as `ulimit -n` would.
pub const OPEN_FILES: &str = "HARNESS_OPEN_FILES";

/// The variable that names another program which plays a secondary; see [`super::process::TEST_SECONDARY`].
pub const OTHER_SECONDARY: &str = "HARNESS_SECONDARY";

/// Plays the child if the arguments say so. The first line of `main` in every program that starts a cluster.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    THIS_PROGRAM_HOSTS_CHILDREN.store(true, Ordering::Relaxed);
    let mut args = std::env::args_os().skip(1);
    if args.next()? != NODE {
        return None;
    }
    let role = args.next().unwrap_or_default();
    Some(match role.to_str() {
        Some("master") => {
            at_end_of_stdin(|| std::process::exit(1));
            limit_open_files();
            replog_master::main_with_args(named("replog-master", args))
        }
        Some("secondary") => {
            if let Some(program) = std::env::var_os(OTHER_SECONDARY) {
                return Some(become_other(&program, args));
            }
            at_end_of_stdin(|| std::process::exit(1));
            limit_open_files();
            replog_secondary::main_with_args(named("replog-secondary", args))
        }
        Some("other") => other(args).unwrap_or_else(|error| {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }),
        _ => {
            eprintln!("{NODE} {}: not a role", role.display());
            ExitCode::from(2)
        }
    })
}

/// The program that plays the children: this one if it calls [`run_if_child`], else the `demo` that cargo built beside it.
///
/// # Errors
/// When there is no `demo` there.
pub fn program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("where is this program?")?;
    if THIS_PROGRAM_HOSTS_CHILDREN.load(Ordering::Relaxed) {
        return Ok(this);
    }
    if let Some(found) = std::env::var_os("CARGO_BIN_EXE_demo") {
        return Ok(found.into());
    }
    let name = format!("demo{}", std::env::consts::EXE_SUFFIX);
    match this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(&name))
        .find(|path| path.is_file())
    {
        Some(found) => Ok(found),
        None => bail!(
            "the `demo` binary is not beside {}: build it with `cargo build -p replog-tests`",
            this.display()
        ),
    }
}

fn named(name: &str, args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    std::iter::once(OsString::from(name)).chain(args).collect()
}

/// Becomes another program, with the same process id and standard input; goes on only if that cannot be.
fn become_other(program: &OsStr, args: impl Iterator<Item = OsString>) -> ExitCode {
    let error = std::process::Command::new(program).args(args).exec();
    eprintln!("start {}: {error}", program.display());
    ExitCode::FAILURE
}

/// Lowers the limit of open files, the hard one too, where [`OPEN_FILES`] says so.
fn limit_open_files() {
    let set = std::env::var(OPEN_FILES).ok();
    let Some(most) = set.and_then(|text| text.parse().ok()) else {
        return;
    };
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, limit).expect("a limit can always be lowered");
}

/// Runs `then` on a thread of its own once the parent is gone.
pub(crate) fn at_end_of_stdin(then: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let mut ignored = [0; 64];
        loop {
            match std::io::stdin().read(&mut ignored) {
                Ok(0) => break,
                Err(error) if error.kind() != ErrorKind::Interrupted => break,
                Ok(_) | Err(_) => {}
            }
        }
        then();
    });
}

/// Ctrl-C, SIGTERM, or the terminal is closed: listens from now on, whenever the future is awaited.
///
/// # Errors
/// When the operating system refuses.
pub(crate) fn asked_to_stop() -> Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn other(args: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a runtime")?;
    runtime.block_on(stand_over(args))
}

async fn stand_over(mut args: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    let path = args.next().context("node other: which program?")?;
    // Before the program is there: ended by a signal, this process would leave it behind.
    let asked = asked_to_stop()?;
    // A process group of its own: a stopped program must not draw this process into the kernel's SIGHUP for orphaned groups.
    let mut program = Command::new(&path)
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", path.display()))?;
    let id = program.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let pid = id.context("it has no process id")?;
    at_end_of_stdin(move || {
        let _gone_already = kill_process(pid, Signal::KILL);
    });
    let status = tokio::select! {
        status = program.wait() => status,
        () = asked => {
            program.start_kill().ok();
            program.wait().await
        }
    };
    let status = status.with_context(|| format!("wait for {}", path.display()))?;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(ExitCode::from(
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}
