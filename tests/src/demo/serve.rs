//! A cluster on the usual ports, until it is asked to stop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::ServerAddr;
use futures_util::future::{join_all, select_all};
use replog_nats::{Credentials, without_user_info};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::commands::{self, Command, Fate};
use super::watch::Traffic;
use super::{asked_to_stop, table};
use crate::harness::cluster::wait_healthy;
use crate::harness::{BrokerOptions, NatsServer, Node, NodeSpec, Role};

const MASTER_PORT: u16 = 8000;
const BROKER_PORT: u16 = 4222;
/// The broker's name among the nodes.
pub(super) const BROKER: &str = "nats";
const STOP_WITHIN: Duration = Duration::from_secs(6);

/// What runs. Dropping it ends all of it.
pub(super) struct Running {
    /// The master first.
    pub(super) nodes: Vec<Node>,
    pub(super) nats_url: String,
    /// None: somebody else's broker.
    pub(super) broker: Option<NatsServer>,
    pub(super) logs: TempDir,
    /// The names of nodes that were stopped where they are.
    pub(super) paused: BTreeSet<String>,
}

/// The token that the demo shows to its own nodes.
pub(super) const OWN_TOKEN: &str = "REPLOG_TOKEN_ADMIN";

/// Whether a variable has a value.
pub(super) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The default command.
pub(super) async fn serve(secondaries: u16) -> Result<()> {
    let mut stop = pin!(asked_to_stop());
    let mut running = tokio::select! {
        started = Box::pin(start(secondaries)) => started?,
        stopped = &mut stop => return stopped,
    };
    println!("{}", table::describe(&running).await?);
    let (mut input, mut has_input) = (commands::lines(), true);
    let mut traffic = None;
    loop {
        let line = tokio::select! {
            stopped = &mut stop => {
                stopped?;
                break;
            }
            end = next_end(&mut running) => {
                println!("{end}");
                continue;
            }
            line = next_line(&mut traffic) => {
                match line {
                    Some(line) => println!("{line}"),
                    None => traffic = None,
                }
                continue;
            }
            line = input.recv(), if has_input => line,
        };
        let Some(line) = line else {
            has_input = false;
            continue;
        };
        if line.trim().is_empty() {
            continue;
        }
        let command = match line.parse() {
            Ok(Command::Quit) => break,
            Ok(command) => command,
            Err(why) => {
                println!("{why}");
                continue;
            }
        };
        tokio::select! {
            done = carry_out(command, &mut running, &mut traffic) => match done {
                Ok(said) => println!("{said}"),
                Err(error) => println!("{error:#}"),
            },
            stopped = &mut stop => {
                stopped?;
                break;
            }
        }
    }
    println!("stopping");
    stop_all(running).await
}

async fn next_line(traffic: &mut Option<Traffic>) -> Option<String> {
    match traffic {
        Some(traffic) => traffic.next().await,
        None => std::future::pending().await,
    }
}

/// Does what was typed in; what there is to say of it.
async fn carry_out(
    command: Command,
    running: &mut Running,
    traffic: &mut Option<Traffic>,
) -> Result<String> {
    match command {
        Command::Node(fate, name) => running.meets(fate, &name).await,
        Command::Status => table::nodes(running).await,
        Command::Watch => {
            if traffic.take().is_some() {
                return Ok("no longer watching".to_owned());
            }
            *traffic = Some(running.traffic().await?);
            Ok("watching what goes over the broker; `watch` again ends it".to_owned())
        }
        Command::Help | Command::Quit => Ok(commands::HELP.to_owned()),
    }
}

impl Running {
    /// Something happens to a node, or to the broker.
    async fn meets(&mut self, fate: Fate, name: &str) -> Result<String> {
        let names: Vec<&str> = self.nodes.iter().map(Node::name).collect();
        let names = names.join(", ");
        if name == BROKER {
            let broker = self.broker.as_mut();
            let broker = broker.context("this broker was not started by the demo")?;
            match fate {
                Fate::Kill => broker.kill().await?,
                Fate::Start if broker.is_running() => bail!("{name} runs already"),
                Fate::Start => broker.restart().await?,
                Fate::Pause => broker.stop().await?,
                Fate::Resume => broker.resume()?,
            }
        } else {
            let mut nodes = self.nodes.iter_mut();
            let node = nodes.find(|node| node.name() == name);
            let node = node.with_context(|| {
                format!("there is no node {name:?}; these are: {names}, {BROKER}")
            })?;
            match fate {
                Fate::Kill if !node.is_running() => bail!("{name} does not run"),
                Fate::Kill => node.kill().await?,
                Fate::Start if node.is_running() => bail!("{name} runs already"),
                Fate::Start => node.restart().await?,
                Fate::Pause => node.stop().await?,
                Fate::Resume => node.resume()?,
            }
        }
        match fate {
            Fate::Pause => self.paused.insert(name.to_owned()),
            _ => self.paused.remove(name),
        };
        let done = match fate {
            Fate::Kill => "killed",
            Fate::Start => "started",
            Fate::Pause => "paused",
            Fate::Resume => "goes on",
        };
        Ok(format!("{name}: {done}"))
    }

    async fn traffic(&self) -> Result<Traffic> {
        let credentials = match self.broker {
            Some(_) => Credentials::default(),
            None => Credentials::from_variables(|name| std::env::var(name).ok())?,
        };
        let cluster = std::env::var("REPLOG_CLUSTER").unwrap_or_default();
        let cluster = if cluster.is_empty() {
            "default"
        } else {
            &cluster
        };
        Traffic::open(&self.nats_url, credentials, cluster, false).await
    }
}

async fn start(secondaries: u16) -> Result<Running> {
    let of_others = [
        "REPLOG_TOKENS_FILE",
        "REPLOG_TOKEN_READ",
        "REPLOG_TOKEN_APPEND",
    ];
    if let Some(variable) = of_others.into_iter().find(|variable| is_set(variable))
        && !is_set(OWN_TOKEN)
    {
        bail!("{variable} is set and {OWN_TOKEN} is not: the demo needs a token for its own calls");
    }
    let logs = TempDir::with_prefix("replog-demo-").context("a directory for the logs")?;
    let (nats_url, broker) = match reachable_broker().await {
        Some(url) => (url, None),
        None => {
            let broker = NatsServer::start(BrokerOptions::default().port(BROKER_PORT)).await?;
            if broker.port() != BROKER_PORT {
                println!(
                    "port {BROKER_PORT} is taken: nats-server listens on {} instead",
                    broker.port()
                );
            }
            (broker.url(), Some(broker))
        }
    };
    let mut env = vec![("NATS_URL".to_owned(), nats_url.clone())];
    // One directory holds those of all nodes.
    let data = std::env::var_os("REPLOG_DATA_DIR").filter(|dir| !dir.is_empty());
    let data = data.map(PathBuf::from);
    if let Some(data) = &data {
        std::fs::create_dir_all(data).with_context(|| format!("{}", data.display()))?;
    }
    if broker.is_some() {
        // These belong to another broker.
        env.extend(Credentials::VARIABLES.map(|name| (name.to_owned(), String::new())));
    }
    // The page of one node calls the others, whatever this machine is called in its address.
    if std::env::var_os("REPLOG_ALLOW_ORIGIN").is_none() {
        let scheme = if is_set("REPLOG_TLS_CERT") {
            "https"
        } else {
            "http"
        };
        let ports = MASTER_PORT..=MASTER_PORT + secondaries;
        let origins = ports.flat_map(|port| {
            ["localhost", "127.0.0.1"].map(|host| format!("{scheme}://{host}:{port}"))
        });
        let origins: Vec<String> = origins.collect();
        env.push(("REPLOG_ALLOW_ORIGIN".into(), origins.join(",")));
    }
    let members: Vec<String> = (1..=secondaries).map(|i| format!("secondary{i}")).collect();
    let mut nodes = Vec::new();
    for (port, name) in
        (MASTER_PORT..).zip(std::iter::once("master").chain(members.iter().map(String::as_str)))
    {
        let role = if port == MASTER_PORT {
            Role::Master
        } else {
            Role::Secondary
        };
        let mut env = env.clone();
        let data = data.as_ref().map(|data| data.join(name));
        let data = data.map_or(String::new(), |data| data.display().to_string());
        env.push(("REPLOG_DATA_DIR".into(), data));
        if role == Role::Master && std::env::var_os("REPLOG_SECONDARIES").is_none() {
            env.push(("REPLOG_SECONDARIES".into(), members.join(",")));
        }
        let spec = NodeSpec {
            role,
            name: name.into(),
            args: Vec::new(),
            env,
            inherit_settings: true,
            port: Some(port),
            dir: logs.path().into(),
        };
        let node = Node::start(spec).await?;
        if node.addr().port() != port {
            println!(
                "port {port} is taken: {name} listens on {} instead",
                node.addr().port()
            );
        }
        nodes.push(node);
    }
    let master = nodes.first().context("a master")?;
    wait_healthy(master, secondaries.into())
        .await
        .with_context(|| format!("master wrote:\n{}", master.log_tail(20)))?;
    Ok(Running {
        nodes,
        nats_url,
        broker,
        logs,
        paused: BTreeSet::new(),
    })
}

/// `NATS_URL`, if anybody listens at one of its addresses.
async fn reachable_broker() -> Option<String> {
    let url = std::env::var("NATS_URL")
        .ok()
        .filter(|url| !url.is_empty())?;
    for one in url.split(',') {
        let Ok(server) = one.trim().parse::<ServerAddr>() else {
            continue;
        };
        let connect = TcpStream::connect((server.host(), server.port()));
        if let Ok(Ok(_connected)) = timeout(Duration::from_secs(2), connect).await {
            return Some(url);
        }
    }
    println!(
        "nobody answers at NATS_URL ({}): starting a broker of its own",
        without_user_info(&url)
    );
    None
}

/// Waits until one of the processes ends that should not, and says so.
async fn next_end(running: &mut Running) -> String {
    let broker = running.broker.as_mut();
    let broker_end = async {
        match broker {
            Some(broker) => {
                let how = broker
                    .exited()
                    .await
                    .unwrap_or_else(|error| format!("{error:#}"));
                format!("nats-server has ended: {how}")
            }
            None => std::future::pending().await,
        }
    };
    let waits = running.nodes.iter_mut().filter_map(|node| {
        let pid = node.pid()?;
        Some(Box::pin(async move {
            let how = node.exited().await.map_or_else(
                |error| format!("{error:#}"),
                |code| format!("exit code {code}"),
            );
            format!(
                "{} (process {pid}) has ended: {how}. Its last words:\n{}",
                node.name(),
                node.log_tail(10)
            )
        }))
    });
    let waits: Vec<_> = waits.collect();
    let node_end = async {
        if waits.is_empty() {
            std::future::pending().await
        } else {
            select_all(waits).await.0
        }
    };
    tokio::select! { end = broker_end => end, end = node_end => end }
}

/// Asks every node to end, kills those that do not, and ends the broker last.
async fn stop_all(mut running: Running) -> Result<()> {
    let ends = running
        .nodes
        .iter_mut()
        .filter(|node| node.pid().is_some())
        .map(
            async |node| match timeout(STOP_WITHIN, node.terminate()).await {
                Ok(Ok(0)) => {}
                Ok(Ok(code)) => println!("{} ended with exit code {code}", node.name()),
                Ok(Err(error)) => println!("{error:#}"),
                Err(_elapsed) => {
                    println!("{} did not end within {STOP_WITHIN:?}: killed", node.name())
                }
            },
        );
    join_all(ends).await;
    for node in &mut running.nodes {
        node.kill().await?;
    }
    match &mut running.broker {
        Some(broker) => broker.kill().await,
        None => Ok(()),
    }
}
