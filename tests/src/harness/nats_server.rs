//! One real broker.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use super::eventually::eventually;
use super::guarded::{self, Ending, Guarded, Recipe, say};
use super::install;
use super::ports::PortLease;

const START_WITHIN: Duration = Duration::from_secs(20);
const CONFIG: &str = "nats-server.conf";
const PORT_ATTEMPTS: usize = 5;

/// What is unusual about a broker.
#[derive(Debug, Clone, Default)]
pub struct BrokerOptions {
    config: String,
    files: Option<Files>,
    env: Vec<(String, String)>,
    port: Option<u16>,
}

/// Configuration that is there, as it is.
#[derive(Debug, Clone)]
struct Files {
    /// All files of it, copied with their directories.
    dir: PathBuf,
    /// The one that nats-server is told.
    config: String,
}

impl BrokerOptions {
    /// Lines for its configuration file, in its own language.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self.config.push('\n');
        self
    }

    /// Configuration that is there already: copies what is in `dir`, as it is, and starts with the file `config` of it. Where it
    /// listens is the harness's all the same.
    #[must_use]
    pub fn files(mut self, dir: &Path, config: &str) -> Self {
        self.files = Some(Files {
            dir: dir.to_owned(),
            config: config.to_owned(),
        });
        self
    }

    /// A file that comes with the project, from `nats/`, with the files that it includes.
    #[must_use]
    pub fn shipped(self, config: &str) -> Self {
        self.files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats"),
            config,
        )
    }

    /// A variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The largest payload it takes.
    #[must_use]
    pub fn max_payload(self, bytes: usize) -> Self {
        self.config(&format!("max_payload: {bytes}"))
    }

    /// Who may connect: the inside of `authorization { users: [ … ] }`, one user a line, such as
    /// `{user: a, password: b, permissions: {publish: "replog.>", subscribe: ">"}}`.
    #[must_use]
    pub fn users(self, users: &str) -> Self {
        self.config(&format!("authorization {{ users: [\n{users}\n] }}"))
    }

    /// The port it should have; any other if that one is taken.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

/// A `nats-server` process on 127.0.0.1. Its port stays the same across restarts; dropping it kills it.
#[derive(Debug)]
pub struct NatsServer {
    running: Option<Running>,
    program: PathBuf,
    port: PortLease,
    /// Its working directory, with its configuration in it.
    dir: TempDir,
    /// The file that it is told, if any.
    config: Option<String>,
    /// Whether that file may name a port of its own for monitoring.
    is_from_files: bool,
    env: Vec<(String, String)>,
}

#[derive(Debug)]
struct Running {
    server: Pid,
    guard: Guarded,
}

/// What `--ports_file_dir` makes it write once it listens, in a file that has its process id in the name.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl NatsServer {
    /// Starts one and waits until it listens.
    ///
    /// # Errors
    /// When there is no `nats-server`, or it ends instead (its last words are in the message).
    pub async fn start(options: BrokerOptions) -> Result<Self> {
        let program = tokio::task::spawn_blocking(install::nats_server)
            .await
            .context("look for nats-server")??;
        let dir = TempDir::with_prefix("replog-broker-").context("a directory for the broker")?;
        let config = match &options.files {
            Some(files) => {
                copy_configuration(&files.dir, dir.path()).context("copy its configuration")?;
                Some(files.config.clone())
            }
            None if options.config.is_empty() => None,
            None => {
                fs::write(dir.path().join(CONFIG), &options.config)
                    .context("write its configuration")?;
                Some(CONFIG.to_owned())
            }
        };
        let port = options
            .port
            .map_or_else(PortLease::take, PortLease::prefer)?;
        let mut broker = Self {
            running: None,
            program,
            port,
            dir,
            config,
            is_from_files: options.files.is_some(),
            env: options.env,
        };
        for _ in 1..PORT_ATTEMPTS {
            match broker.run().await {
                // Somebody was faster; see `ports`.
                Err(_) if !broker.port.is_free() => broker.port = PortLease::take()?,
                result => return result.map(|()| broker),
            }
        }
        broker.run().await.map(|()| broker)
    }

    /// Its working directory, with whatever it stores.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What a client connects to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.port.addr())
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// Its process id, until its end was noticed.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        let server = self.running.as_ref()?.server;
        Some(server.as_raw_nonzero().get())
    }

    /// False after [`NatsServer::kill`], or when it ended by itself.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|running| running.guard.ended().is_none())
    }

    /// Waits until it ends by itself, and says how; without end when it does not run. Given up half-way, nothing has happened.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub async fn exited(&mut self) -> Result<String> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let status = running.guard.wait().await?;
        self.running = None;
        Ok(say(status))
    }

    /// Kills it (SIGKILL) and waits for its end. Nothing listens on its port afterwards.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        running.guard.end();
        running.guard.wait().await.map(drop)
    }

    /// Kills it if it runs, and starts it again on the same port, with the same configuration.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.run().await
    }

    /// Gives it another configuration while it runs (SIGHUP). It takes that some milliseconds later.
    ///
    /// # Errors
    /// When it does not run, or was started without a configuration file.
    pub fn reload(&mut self, options: &BrokerOptions) -> Result<()> {
        let config = self.dir.path().join(CONFIG);
        ensure!(config.exists(), "the broker has no configuration file");
        fs::write(config, &options.config).context("write its configuration")?;
        kill_process(self.server()?, Signal::HUP).context("SIGHUP to nats-server")
    }

    /// Stops it (SIGSTOP): from here on connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop(&mut self) -> Result<()> {
        guarded::stop(self.server()?).await
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self) -> Result<()> {
        kill_process(self.server()?, Signal::CONT).context("SIGCONT to nats-server")
    }

    /// The last lines it wrote, over all its starts.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        guarded::log_tail(&self.log_path(), lines)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("nats-server.log")
    }

    fn server(&mut self) -> Result<Pid> {
        ensure!(self.is_running(), "nats-server is not running");
        let running = self.running.as_ref();
        running
            .map(|running| running.server)
            .context("nats-server is not running")
    }

    async fn run(&mut self) -> Result<()> {
        let ports_dir = self.dir.path().join("ports");
        let _nothing_there = fs::remove_dir_all(&ports_dir);
        fs::create_dir(&ports_dir).context("a directory for the ports file")?;
        let mut args: Vec<OsString> = vec!["other".into(), self.program.clone().into()];
        args.extend(["-a", "127.0.0.1", "-p", &self.port().to_string()].map(OsString::from));
        if let Some(config) = &self.config {
            args.extend(["-c".into(), self.dir.path().join(config).into()]);
        }
        if self.is_from_files {
            // Another port for monitoring than the one that is named there: any.
            args.extend(["-m", "-1"].map(OsString::from));
        }
        args.extend(["--ports_file_dir".into(), ports_dir.clone().into()]);
        let mut guard = Guarded::spawn(&Recipe {
            name: "nats-server".into(),
            args,
            env: self.env.clone(),
            inherit_settings: false,
            log: self.log_path(),
            dir: Some(self.dir.path().to_owned()),
            ending: Ending::HangUp,
        })?;
        let end = eventually("nats-server to listen", START_WITHIN, async || {
            if let Some(status) = guard.ended() {
                return Ok(Err(anyhow!(
                    "nats-server did not start, {}:\n{}",
                    say(status),
                    guard.log_tail(20)
                )));
            }
            read_ports(&ports_dir).map(Ok)
        });
        let server = end.await.and_then(|started| started)?;
        self.running = Some(Running { server, guard });
        Ok(())
    }
}

/// Copies the `*.conf` and `*.pem` files of a directory, and those of its directories.
fn copy_configuration(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy_configuration(&path, &target)?;
        } else if path
            .extension()
            .is_some_and(|ext| ext == "conf" || ext == "pem")
        {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// The process id, once the file is there and complete.
fn read_ports(dir: &Path) -> Result<Pid> {
    let entry = fs::read_dir(dir)?.next().context("no ports file yet")??;
    let ports: Ports =
        serde_json::from_slice(&fs::read(entry.path())?).context("an incomplete ports file")?;
    ports.nats.first().context("no port for clients yet")?;
    let name = entry.file_name();
    let digits = name
        .to_str()
        .and_then(|name| name.strip_prefix("nats-server_")?.strip_suffix(".ports"));
    let id = digits
        .and_then(|digits| digits.parse().ok())
        .context("no process id in the ports file's name")?;
    Pid::from_raw(id).context("process id 0")
}
