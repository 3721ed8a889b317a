//! One node, a master or a secondary, as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;

use super::eventually::eventually;
use super::guarded::{self, Ending, Guarded, Recipe, log_tail, say};
use super::hidden;
use super::http::HttpClient;
use super::ports::PortLease;
use super::spec::{NodeSpec, Role};
use replog_service::http::tls::KnownNode;

const LIVE_WITHIN: Duration = Duration::from_secs(20);
const PORT_ATTEMPTS: usize = 5;

/// The variable that names a program which plays the secondaries in place of the real one: its path, from the root of the
/// workspace. It is given the same variables and flags, answers `/livez`, and ends when its standard input does.
pub const TEST_SECONDARY: &str = "REPLOG_TEST_SECONDARY";

/// A node's process. Its HTTP port stays the same across restarts; dropping it kills it.
#[derive(Debug)]
pub struct Node {
    spec: NodeSpec,
    port: PortLease,
    child: Option<Guarded>,
}

impl Node {
    /// Starts it and waits until `/livez` answers.
    ///
    /// # Errors
    /// When it ends instead; the message has its last words.
    pub async fn start(spec: NodeSpec) -> Result<Self> {
        let mut node = Self::reserve(spec)?;
        for _ in 1..PORT_ATTEMPTS {
            match node.restart().await {
                // Exit code 3 because somebody was faster; see `ports`.
                Err(_) if node.child.is_none() && !node.port.is_free() => {
                    node.port = PortLease::take()?
                }
                result => return result.map(|()| node),
            }
        }
        node.restart().await.map(|()| node)
    }

    /// Takes its port but starts nothing yet: see [`Node::restart`] and [`Node::spawn`].
    ///
    /// # Errors
    /// When there is no free port.
    pub fn reserve(spec: NodeSpec) -> Result<Self> {
        let port = spec.port.map_or_else(PortLease::take, PortLease::prefer)?;
        Ok(Self {
            spec,
            port,
            child: None,
        })
    }

    /// Starts the process and waits for nothing: for a node that is expected to refuse.
    ///
    /// # Errors
    /// When it runs already, or the process cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("{} is running", self.spec.name);
        }
        let role = match self.spec.role {
            Role::Master => "master",
            Role::Secondary => "secondary",
        };
        let mut env = self.spec.env.clone();
        env.push(("REPLOG_HTTP_ADDR".into(), self.addr().to_string()));
        if self.spec.role == Role::Secondary {
            env.push(("REPLOG_NODE_ID".into(), self.spec.name.clone()));
            env.extend(other_secondary().map(|path| (hidden::OTHER_SECONDARY.into(), path)));
        }
        self.child = Some(Guarded::spawn(&Recipe {
            name: self.spec.name.clone(),
            args: std::iter::once(role)
                .chain(self.spec.args.iter().map(String::as_str))
                .map(Into::into)
                .collect(),
            env,
            inherit_settings: self.spec.inherit_settings,
            log: self.log_path(),
            dir: None,
            ending: Ending::Kill,
        })?);
        Ok(())
    }

    /// Kills it if it runs, starts it with the same settings on the same port, and waits until `/livez` answers.
    ///
    /// # Errors
    /// When it ends instead; the message has its last words.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.spawn()?;
        let http = self.http().with_deadline(Duration::from_secs(1));
        let what = format!("{} to be live", self.spec.name);
        let live = eventually(&what, LIVE_WITHIN, async || match self.ended() {
            Some(end) => Ok(Err(anyhow!(
                "{} did not start, {end}:\n{}",
                self.spec.name,
                self.log_tail(20)
            ))),
            None => http.get("/livez").await?.expect(200).map(|_live| Ok(())),
        });
        let result = live.await.and_then(|started| started);
        if self.ended().is_some() {
            self.child = None;
        }
        result
    }

    /// Kills it (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.end();
        child.wait().await.map(drop)
    }

    /// Asks it to end (SIGTERM), waits for that, and returns its exit code.
    ///
    /// # Errors
    /// When it does not run, or ended by a signal.
    pub async fn terminate(&mut self) -> Result<i32> {
        self.signal(Signal::TERM)?;
        self.exited().await
    }

    /// Waits for its end and returns its exit code. Given up half-way, nothing has happened.
    ///
    /// # Errors
    /// When it does not run, or ended by a signal.
    pub async fn exited(&mut self) -> Result<i32> {
        let child = self
            .child
            .as_mut()
            .with_context(|| format!("{} is not running", self.spec.name))?;
        let status = child.wait().await?;
        self.child = None;
        status
            .code()
            .with_context(|| format!("{}: {}", self.spec.name, say(status)))
    }

    /// Stops it (SIGSTOP): from here on connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop(&self) -> Result<()> {
        let child = self.child.as_ref().and_then(Guarded::pid);
        guarded::stop(child.with_context(|| format!("{} is not running", self.spec.name))?).await
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.child
            .as_ref()
            .with_context(|| format!("{} is not running", self.spec.name))?
            .signal(signal)
    }

    /// True while its process is there, stopped or not.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.ended().is_none())
    }

    /// How it ended by itself, if it did and has not been started again.
    #[must_use]
    pub fn ended(&mut self) -> Option<String> {
        self.child.as_mut().and_then(Guarded::ended).map(say)
    }

    /// How it is started.
    #[must_use]
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// How it is started; changes count from the next start on.
    pub fn spec_mut(&mut self) -> &mut NodeSpec {
        &mut self.spec
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.child
            .as_ref()
            .and_then(Guarded::pid)
            .map(|pid| pid.as_raw_nonzero().get())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Where its HTTP listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// A client for it, which may do everything there: with the token and the certificate of the node's own settings.
    #[must_use]
    pub fn http(&self) -> HttpClient {
        let http = HttpClient::new(self.addr()).with_token(self.spec.setting("REPLOG_TOKEN_ADMIN"));
        match self.tls() {
            Some(tls) => http.over_tls(tls),
            None => http,
        }
    }

    /// Its certificate, where it serves HTTPS, as its file is now.
    fn tls(&self) -> Option<KnownNode> {
        let file = self.spec.setting("REPLOG_TLS_CERT")?;
        KnownNode::new(&std::fs::read(file).ok()?).ok()
    }

    /// Where its HTTP listens, as the beginning of a URL.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.spec.setting("REPLOG_TLS_CERT") {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.addr())
    }

    /// The last lines it wrote, over all its starts.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log_path(), lines)
    }

    fn log_path(&self) -> PathBuf {
        self.spec.dir.join(format!("{}.log", self.spec.name))
    }
}

/// The program that [`TEST_SECONDARY`] names, if it does.
fn other_secondary() -> Option<String> {
    let program = std::env::var(TEST_SECONDARY).ok();
    let program = program.filter(|path| !path.is_empty())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Some(root.join(program).display().to_string())
}
