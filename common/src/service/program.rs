//! From arguments to a running program: the same for both.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::info;

use super::exit::Exit;
use super::server::{self, HttpLimits};
use super::settings::{CommonArgs, Settings, parse};
use super::{healthcheck, logging, signals};

/// Why a program ends before it was asked to; its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong.
    pub why: String,
}

impl Failure {
    /// It cannot start.
    pub fn cannot_start(why: impl Into<String>) -> Self {
        Self {
            exit: Exit::CannotStart,
            why: why.into(),
        }
    }
}

/// What [`main`] needs to know of a program's settings.
pub trait Program: Settings + Send + 'static {
    /// Its name, as in `--help`.
    const NAME: &'static str;

    /// The settings of every node.
    fn common(&self) -> &CommonArgs;

    /// Where HTTP listens.
    fn http_addr(&self) -> SocketAddr;

    /// Whether only a living node is to be asked whether it lives.
    fn is_healthcheck(&self) -> bool;

    /// Runs until `shutdown` completes.
    ///
    /// # Errors
    /// What ended it before.
    fn run(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> impl Future<Output = Result<(), Failure>>;
}

/// The whole program, with `args` (its name first) and this process's environment.
pub fn main<P: Program>(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let program: P = match parse(args) {
        Ok(program) => program,
        Err(exit) => return exit.report().into(),
    };
    let threads = program.common().threads;
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match runtime.worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end::<P>(Failure::cannot_start(format!("no runtime: {error}"))),
    };
    if program.is_healthcheck() {
        let healthy = runtime.block_on(healthcheck::check(program.http_addr()));
        return match healthy {
            Ok(()) => Exit::Stopped.into(),
            Err(why) => end::<P>(Failure {
                exit: Exit::CannotStart,
                why: why.to_string(),
            }),
        };
    }
    let guard = match logging::init(P::NAME, program.common().log_format) {
        Ok(guard) => guard,
        Err(exit) => return exit.report().into(),
    };
    let ended = runtime.block_on(async {
        let addr = program.http_addr();
        let listener = TcpListener::bind(addr).await;
        let listener =
            listener.map_err(|e| Failure::cannot_start(format!("cannot listen on {addr}: {e}")))?;
        let stop = signals::stop_requested();
        let stop = stop.map_err(|e| Failure::cannot_start(e.to_string()))?;
        let shutdown = async {
            let signal = stop.await;
            info!(signal, "stopping");
        };
        program.run(listener, shutdown).await
    });
    drop(guard); // the last lines are written before the reason
    match ended {
        Ok(()) => Exit::Stopped.into(),
        Err(failure) => end::<P>(failure),
    }
}

/// Serves until `shutdown` completes, or the owner of the log ends by itself; hands out what the owner ended with.
///
/// # Errors
/// What the owner ended with.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    mut owner: JoinHandle<Result<(), Failure>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut ended = None;
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            early = &mut owner => ended = Some(early),
        }
    };
    server::serve(listener, router, limits, stop).await;
    // With the last handler gone nobody can ask any more, and the owner ends.
    let ended = match ended {
        Some(early) => early,
        None => owner.await,
    };
    ended.unwrap_or_else(|panic| {
        Err(Failure::cannot_start(format!(
            "the owner of the log failed: {panic}"
        )))
    })
}

fn end<P: Program>(failure: Failure) -> ExitCode {
    eprintln!("{}: {}", P::NAME, failure.why);
    failure.exit.into()
}
