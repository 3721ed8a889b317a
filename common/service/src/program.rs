//! From arguments to a running program, and to its exit code: the same for both.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use replog_protocol::ids::LogId;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::exit::{Exit, Failure};
use crate::healthcheck::{HealthcheckArgs, Question};
use crate::http::calls::Calls;
use crate::http::server::{self, HttpLimits, Listener};
use crate::http::tokens::Tokens;
use crate::security::Security;
use crate::settings::values::{HttpAddr, subject_token};
use crate::settings::{
    CommonArgs, Environment, SecurityArgs, Settings, WrongSetting, parse, process_environment,
    unknown_variables,
};
use crate::{allocator, backup, descriptors, healthcheck, logging, signals, systemd};

const HEALTHCHECK: &str = "healthcheck";

/// The settings that `healthcheck` reads, and no others: a file of another setting that is away for a moment makes no node sick.
#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct HealthcheckAlone {
    #[arg(long, env = "REPLOG_HTTP_ADDR", global = true)]
    http_addr: Option<HttpAddr>,
    #[arg(long, env = "REPLOG_TLS_CERT", global = true)]
    tls_cert: Option<PathBuf>,
    #[command(subcommand)]
    command: HealthcheckCommand,
}

#[derive(Debug, Subcommand)]
enum HealthcheckCommand {
    Healthcheck(HealthcheckArgs),
}

impl Settings for HealthcheckAlone {
    fn check(&self, _: Environment<'_>) -> Result<(), WrongSetting> {
        Ok(())
    }
}

/// What a program can do instead of serving.
pub enum OtherTask {
    /// Ask a node that runs.
    Ask(Question),
    /// Print what makes that shell complete the program's flags.
    Complete(Shell),
    /// Make a data directory of a backup.
    Restore(RestoreArgs),
    /// What only this program does: what it says when that is done, or why it cannot be done.
    Own(Box<dyn FnOnce() -> Result<String, String>>),
}

/// The flags of `restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// The backup, as `GET /backup` answers; `-` reads it from the input.
    #[arg(long, value_name = "TAR")]
    from: PathBuf,
    /// The directory to make; it must not be there, or be empty.
    #[arg(long = "data-dir", id = "restored_dir", value_name = "DIR")]
    dir: PathBuf,
    /// The cluster that the master will be of.
    #[arg(
        long = "cluster",
        id = "restored_cluster",
        env = "REPLOG_CLUSTER",
        value_name = "NAME",
        value_parser = subject_token,
        default_value = "default"
    )]
    cluster: String,
    /// A further history that is given up for what is restored (`log_id` in /health), such as one that began when the log was
    /// cleared since; may be given several times.
    #[arg(long, value_name = "LOG_ID", value_parser = log_id)]
    replaces: Vec<LogId>,
}

fn log_id(text: &str) -> Result<LogId, String> {
    let id = text.parse().map(LogId);
    id.map_err(|_| "expected a UUID, as log_id in /health".to_owned())
}

impl RestoreArgs {
    /// What was restored, or why nothing was, as a line for people.
    fn restore(&self) -> Result<String, String> {
        let dir = self.dir.display();
        let backup: Box<dyn io::Read> = match self.from.as_os_str() == "-" {
            true => Box::new(io::stdin().lock()),
            false => {
                let file = File::open(&self.from);
                Box::new(file.map_err(|error| format!("{}: {error}", self.from.display()))?)
            }
        };
        let target = backup::Target {
            dir: &self.dir,
            cluster: &self.cluster,
            replaces: &self.replaces,
        };
        let restored = backup::restore(backup, &target);
        let restored = restored.map_err(|error| format!("nothing was restored: {error}"))?;
        Ok(format!(
            "{} entries were restored into {dir}: history {}, which replaces {}; a node that holds another history than that one \
             goes on with it until POST /rejoin on it",
            restored.entries, restored.log_id, restored.replaces
        ))
    }
}

/// What [`main`] needs to know of a program.
pub trait Program: Settings + Send + 'static {
    /// The program's name, as in `--help`.
    const NAME: &'static str;

    /// The settings of every node.
    fn common(&self) -> &CommonArgs;

    /// The same, to be fitted to what this machine allows.
    fn common_mut(&mut self) -> &mut CommonArgs;

    /// The node's name, in log lines.
    fn node_name(&self) -> String;

    /// Where HTTP listens.
    fn http_addr(&self) -> &HttpAddr;

    /// Where HTTP listens unless the settings say otherwise.
    fn default_http_addr() -> HttpAddr;

    /// What is to be done instead of serving, if anything.
    fn other_task(&self) -> Option<OtherTask>;

    /// Runs until `stop` is cancelled, which everything that waits is to wait for as well; lets those call whom `security` lets in.
    ///
    /// # Errors
    /// What ended the program before.
    fn run(
        self,
        listener: TcpListener,
        security: Security,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), Failure>>;
}

/// The whole program, with `args` (its name first) and this process's environment.
pub fn main<P: Program>(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    allocator::avoid_huge_pages();
    let args: Vec<OsString> = args.into_iter().collect();
    if args.iter().any(|arg| arg == HEALTHCHECK)
        && let Ok(alone) = parse::<HealthcheckAlone>(args.clone())
    {
        let HealthcheckCommand::Healthcheck(question) = alone.command;
        let addr = alone.http_addr.unwrap_or_else(P::default_http_addr);
        return match runtime(1) {
            Ok(runtime) => ask::<P>(
                &runtime,
                &addr,
                alone.tls_cert.as_deref(),
                question.question(),
            ),
            Err(failure) => end::<P>(failure),
        };
    }
    let mut program: P = match parse(args) {
        Ok(program) => program,
        Err(exit) => return exit.report().into(),
    };
    let runtime = match runtime(program.common().threads) {
        Ok(runtime) => runtime,
        Err(failure) => return end::<P>(failure),
    };
    match program.other_task() {
        None => {}
        Some(OtherTask::Ask(question)) => {
            let certificate = program.common().security.tls_cert.as_deref();
            return ask::<P>(&runtime, program.http_addr(), certificate, question);
        }
        Some(OtherTask::Complete(shell)) => {
            clap_complete::generate(shell, &mut P::command(), P::NAME, &mut io::stdout());
            return Exit::Stopped.into();
        }
        Some(OtherTask::Restore(args)) => return done::<P>(args.restore()),
        Some(OtherTask::Own(task)) => return done::<P>(task()),
    }
    let node = program.node_name();
    let guard = match logging::init(P::NAME, &node, program.common().log_format) {
        Ok(guard) => guard,
        Err(exit) => return exit.report().into(),
    };
    warn_of_unknown_variables::<P>();
    leave_descriptors(program.common_mut());
    let ended = runtime.block_on(start(program));
    // A disk that hangs must not hang the exit: whatever still waits for it is left to itself.
    runtime.shutdown_background();
    drop(guard); // the last lines are written before the reason
    match ended {
        Ok(()) => Exit::Stopped.into(),
        Err(failure) => end::<P>(failure),
    }
}

fn runtime(threads: usize) -> Result<Runtime, Failure> {
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(threads).enable_all().build();
    runtime.map_err(|error| Failure::cannot_start(format!("no runtime: {error}")))
}

fn ask<P: Program>(
    runtime: &Runtime,
    addr: &HttpAddr,
    certificate: Option<&Path>,
    question: Question,
) -> ExitCode {
    match runtime.block_on(healthcheck::ask(addr, certificate, question)) {
        Ok(()) => Exit::Stopped.into(),
        Err(why) => end::<P>(Failure::cannot_start(why.to_string())),
    }
}

/// The end of what was done instead of serving.
fn done<P: Program>(said: Result<String, String>) -> ExitCode {
    match said {
        Ok(said) => {
            println!("{said}");
            Exit::Stopped.into()
        }
        Err(why) => end::<P>(Failure::cannot_start(why)),
    }
}

async fn start<P: Program>(program: P) -> Result<(), Failure> {
    let addr = program.http_addr();
    let security = program.common().security.open(addr, &process_environment);
    let security = security.map_err(|wrong| Failure {
        exit: Exit::Settings,
        why: wrong.to_string(),
    })?;
    if security.tokens.is_none() && !addr.is_loopback() {
        warn!(%addr, "--insecure: whoever reaches this address may make every call");
    }
    for variable in SecurityArgs::short_tokens(&process_environment) {
        let least = Tokens::MIN_SAFE_BYTES;
        warn!(
            variable,
            least, "a token as short as this one can be guessed"
        );
    }
    let listener = TcpListener::bind(addr.to_host_port()).await;
    let listener =
        listener.map_err(|e| Failure::cannot_start(format!("cannot listen on {addr}: {e}")))?;
    let is_loopback = (listener.local_addr()).is_ok_and(|at| at.ip().to_canonical().is_loopback());
    if security.tokens.is_none() && !is_loopback && !program.common().security.insecure {
        // A name that means this machine elsewhere.
        return Err(Failure {
            exit: Exit::Settings,
            why: SecurityArgs::reached_by_others(addr).to_string(),
        });
    }
    let stop = CancellationToken::new();
    let signals = signals::cancel_on_signal(stop.clone());
    signals.map_err(|e| Failure::cannot_start(format!("cannot be stopped by signals: {e}")))?;
    tokio::spawn(security.clone().keep_up(stop.clone()));
    program.run(listener, security, stop).await
}

/// Serves HTTP, and runs the node's task (of [`NodeTask::run`](crate::node_task::NodeTask::run)), until both have ended: when
/// `stop` is cancelled, or when the task ends by itself, which cancels `stop`. The service manager, where there is one, is told
/// what the node is `doing`: one line.
///
/// # Errors
/// What the task ended with; [`Exit::Panicked`] where it panicked.
pub async fn serve<D>(
    listener: impl Into<Listener>,
    calls: impl Into<Calls>,
    limits: HttpLimits,
    node: JoinHandle<Result<(), Failure>>,
    doing: impl Fn() -> D,
    stop: CancellationToken,
) -> Result<(), Failure>
where
    D: Future<Output = Option<String>>,
{
    let node = async {
        let ended = node.await;
        stop.cancel();
        ended
    };
    let http = server::serve(listener, calls, limits, stop.clone());
    let (ended, (), ()) = tokio::join!(node, http, systemd::tell(doing, &stop));
    ended.unwrap_or_else(|error| {
        Err(Failure {
            exit: Exit::Panicked,
            why: format!("the node's task failed, which is a bug: {error}"),
        })
    })
}

fn warn_of_unknown_variables<P: Program>() {
    for unknown in unknown_variables::<P>(std::env::vars_os().map(|(name, _)| name)) {
        let variable = unknown.name;
        match unknown.nearest {
            Some(nearest) => warn!(variable, "nothing knows this variable: is {nearest} meant?"),
            None => warn!(variable, "nothing knows this variable"),
        }
    }
}

/// Raises the limit of open files, and keeps connections from taking those that the broker's link and the log need.
fn leave_descriptors(common: &mut CommonArgs) {
    let limit = descriptors::raise_limit();
    let wanted = common.http.max_connections;
    let connections = descriptors::connections_within(wanted, limit);
    if connections < wanted {
        warn!(
            wanted,
            connections,
            limit,
            "fewer HTTP connections than --max-connections: the limit of open files leaves no more"
        );
        common.http.max_connections = connections;
    }
    // Streams that nobody ends must leave connections to those who append.
    let wanted = common.http.max_streams;
    let streams = descriptors::streams_within(wanted, common.http.max_connections);
    if streams < wanted {
        warn!(
            wanted,
            streams, "fewer streams than --max-streams: they may take half of the connections"
        );
        common.http.max_streams = streams;
    }
}

fn end<P: Program>(failure: Failure) -> ExitCode {
    eprintln!("{}: {failure}", P::NAME);
    failure.exit.into()
}

#[cfg(test)]
mod tests {
    use axum::Router;

    use super::*;

    async fn ended(node: JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let (router, limits) = (Router::new(), HttpLimits::default());
        let doing = || std::future::ready(None);
        serve(listener, router, limits, node, doing, stop).await
    }

    #[tokio::test]
    async fn a_node_that_ends_ends_the_program() {
        let failure = Failure::disk_failed("no such device");
        let ends_with = failure.clone();
        assert_eq!(
            ended(tokio::spawn(async { Err(ends_with) })).await,
            Err(failure)
        );
        assert_eq!(ended(tokio::spawn(async { Ok(()) })).await, Ok(()));
    }

    #[tokio::test]
    async fn a_panic_of_the_node_is_a_bug() {
        let panics = tokio::spawn(async { panic!("on purpose") });
        let failure = ended(panics).await.unwrap_err();
        assert_eq!(failure.exit.code(), 101);
    }
}
