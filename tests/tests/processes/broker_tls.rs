//! What `replog-master nats-config` writes: a broker and its nodes start with it as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use async_nats::ConnectOptions;
use futures_util::StreamExt;
use replog_tests::harness::hidden::{NODE, program};
use replog_tests::harness::{BrokerOptions, Cluster, NatsServer, Node, Role};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::broker_users::{Guest, nodes, start_with};
use crate::settings::spec;
use crate::support::{SOON, health, wait_equal, wait_health};

/// A directory that the command has made.
struct Configured {
    dir: PathBuf,
    _parent: TempDir,
}

/// The exit code of `replog-master nats-config` with these flags, and what it wrote.
fn nats_config(flags: &[&str], out: &Path) -> Result<(Option<i32>, String)> {
    let mut child = Command::new(program()?)
        .args([NODE, "master", "nats-config", "--out"])
        .arg(out)
        .args(flags)
        // A child of the harness ends with its input.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let _input = child.stdin.take();
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((output.status.code(), said))
}

fn configured(flags: &[&str]) -> Result<Configured> {
    let parent = TempDir::with_prefix("replog-config-")?;
    let dir = parent.path().join("made");
    let flags = [&["--secondaries", "secondary1,secondary2"][..], flags].concat();
    let (code, said) = nats_config(&flags, &dir)?;
    ensure!(
        code == Some(0) && said.contains("exec nats-server"),
        "{code:?} {said}"
    );
    let again = nats_config(&flags, &dir)?;
    ensure!(
        again.0 == Some(3) && again.1.contains("is there already"),
        "{again:?}"
    );
    Ok(Configured {
        dir,
        _parent: parent,
    })
}

impl Configured {
    /// The variables of an env file: a line each, as every program that reads env files takes them.
    fn env(&self, file: &str) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.dir.join(file)).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn broker(&self, config: &str) -> BrokerOptions {
        let options = BrokerOptions::default().files(&self.dir.join("broker"), config);
        let env = self.env("broker/broker.env");
        env.iter()
            .fold(options, |options, (name, value)| options.env(name, value))
    }

    /// What that node is told.
    fn node(&self, name: &str) -> Vec<(String, String)> {
        self.env(&format!("{name}/nats.env"))
    }

    /// Somebody else with the password of that user.
    async fn guest(&self, cluster: &Cluster, user: &str) -> Result<Guest> {
        let env = self.node(user);
        let of = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let name = of("NATS_USER").context("a user")?;
        let password = of("NATS_PASSWORD").context("a password")?;
        let options = ConnectOptions::with_user_and_password(name, password);
        Guest::connect_with(&cluster.broker, options).await
    }
}

/// How a node ends that is started as `settings` say: the exit code and its last line.
async fn ends(cluster: &Cluster, settings: Vec<(String, String)>) -> Result<(i32, String)> {
    let mut spec = cluster.secondary(2).spec().clone();
    spec.name = "secondary3".to_owned();
    spec.env
        .retain(|(name, _)| !name.starts_with("NATS_") || name == "NATS_URL");
    spec.env.extend(settings);
    let mut node = Node::reserve(spec)?;
    node.spawn()?;
    let code = timeout(SOON, node.exited())
        .await
        .context(node.log_tail(20))??;
    Ok((code, node.log_tail(1)))
}

async fn replicates(cluster: &mut Cluster) -> Result<()> {
    for content in ["one", "two"] {
        cluster.post(content, 3).await?.expect(200)?;
    }
    cluster.broker.restart().await?;
    cluster.post("three", 3).await?.expect(200)?;
    ensure!(wait_equal(cluster).await? == ["one", "two", "three"]);
    let log = cluster.broker.log_tail(10_000);
    let violation = log.lines().find(|line| line.contains("Violation"));
    ensure!(violation.is_none(), "{violation:?}");
    Ok(())
}

#[tokio::test]
async fn passwords_over_tls_and_nobody_without_a_certificate() -> Result<()> {
    let made = configured(&["--tls", "127.0.0.1,localhost"])?;
    let other = configured(&["--tls", "127.0.0.1"])?;
    nodes(made.broker("nats-tls.conf"))
        .run(async |cluster| {
            start_with(cluster, |node| made.node(node)).await?;
            replicates(cluster).await?;

            let trusted = |name: &str| name == "NATS_CA";
            let certificate = |name: &str| name == "NATS_CERT" || name == "NATS_KEY";
            let of = |from: &Configured, which: &dyn Fn(&str) -> bool| -> Vec<_> {
                let all = from.node("secondary2").into_iter();
                all.filter(|(name, _)| which(name)).collect()
            };
            let password = of(&made, &|name: &str| !trusted(name) && !certificate(name));
            let ca = of(&made, &trusted);
            let none = [password.clone(), ca.clone()].concat();
            let stranger = [password, ca.clone(), of(&other, &certificate)].concat();
            for settings in [none, stranger] {
                let (code, said) = ends(cluster, settings).await?;
                let is_clear =
                    said.contains("the broker refuses our certificate (NATS_CERT, NATS_KEY)");
                ensure!(code == 3 && is_clear, "{code}: {said}");
            }
            // The certificate lets in, and the password says who it is.
            let only_certificate = [ca, of(&made, &certificate)].concat();
            let (code, said) = ends(cluster, only_certificate).await?;
            ensure!(
                code == 3 && said.contains("the broker refuses the user"),
                "{code}: {said}"
            );
            Ok(())
        })
        .await;
    Ok(())
}

/// The master may make its stream, write to it and read it, and nothing it does is refused.
#[tokio::test]
async fn a_journal_in_a_stream_of_a_broker_that_lets_everybody_do_the_least() -> Result<()> {
    let made = configured(&["--journal"])?;
    let store = TempDir::with_prefix("replog-store-")?;
    let directory = format!("\"{}\"", store.path().display());
    let broker = made
        .broker("nats-public.conf")
        .env("NATS_STORE_DIR", &directory);
    let journal = [
        ("REPLOG_STORE", "jetstream"),
        ("REPLOG_JOURNAL_REPLICAS", "1"),
    ];
    let journal = journal.map(|(name, value)| (name.to_owned(), value.to_owned()));
    nodes(broker)
        .run(async |cluster| {
            start_with(cluster, |node| match node {
                "master" => [&made.node(node)[..], &journal].concat(),
                _ => made.node(node),
            })
            .await?;
            wait_health(&cluster.master, "status", "ok").await?;
            for content in ["one", "two"] {
                cluster.post(content, 3).await?.expect(200)?;
            }
            let health = health(&cluster.master).await?;
            ensure!(health["storage"]["kind"] == "jetstream", "{health}");
            nobody_comes_between_the_master_and_its_stream(cluster, &made).await?;
            // What it has written can be read: the next start has all of it.
            cluster.master.kill().await?;
            cluster.master.restart().await?;
            wait_health(&cluster.master, "status", "ok").await?;
            ensure!(wait_equal(cluster).await? == ["one", "two"]);
            let log = cluster.broker.log_tail(10_000);
            // But for what the guests have tried.
            let of_guests =
                |line: &&str| line.contains("replog-journal.x") || line.contains("\"$JS.API.>\"");
            let mut violations = log.lines().filter(|line| line.contains("Violation"));
            let violation = violations.find(|line| !of_guests(line));
            ensure!(violation.is_none(), "{violation:?}");
            Ok(())
        })
        .await;
    Ok(())
}

/// Neither reads an onlooker where the stream's answers go, nor can a secondary give one.
async fn nobody_comes_between_the_master_and_its_stream(
    cluster: &Cluster,
    made: &Configured,
) -> Result<()> {
    let answers = "_INBOX.replog-journal.x";
    let mut master = made.guest(cluster, "master").await?;
    let observer = made.guest(cluster, "observer").await?;
    let mut overheard = observer.client.subscribe("_INBOX.>").await?;
    observer.client.flush().await?;
    let mut own = master.client.subscribe(format!("{answers}.*")).await?;
    let info = "$JS.API.STREAM.INFO.replog-default";
    let asked = format!("{answers}.q1");
    master
        .client
        .publish_with_reply(info, asked, "".into())
        .await?;
    let answer = timeout(SOON, own.next()).await?.context("an answer")?;
    ensure!(answer.subject.as_str() == "_INBOX.replog-journal.x.q1");
    // It is heard after the answer, by whoever hears both.
    master.client.publish("_INBOX.mark", "".into()).await?;
    let heard = timeout(SOON, overheard.next()).await?.context("the mark")?;
    ensure!(heard.subject.as_str() == "_INBOX.mark", "{heard:?}");
    master.may_not_hear("$JS.API.>").await?;
    for user in ["secondary1", "secondary2"] {
        let mut guest = made.guest(cluster, user).await?;
        guest.may_not_say(&format!("{answers}.w1-1"), "{}").await?;
    }
    Ok(())
}

#[tokio::test]
async fn nkeys_without_a_secret_at_the_broker() -> Result<()> {
    let made = configured(&["--auth", "nkey"])?;
    ensure!(!made.dir.join("broker/broker.env").exists());
    let other = configured(&["--auth", "nkey"])?;
    nodes(made.broker("nats-public.conf"))
        .run(async |cluster| {
            start_with(cluster, |node| made.node(node)).await?;
            replicates(cluster).await?;
            // Another one's key, and that of another node.
            for settings in [other.node("secondary2"), made.node("secondary1")] {
                let (code, said) = ends(cluster, settings).await?;
                ensure!(
                    code == 3 && said.contains("the broker refuses"),
                    "{code}: {said}"
                );
            }
            Ok(())
        })
        .await;
    Ok(())
}

#[tokio::test]
async fn nkeys_over_tls_in_a_cluster_of_another_name_without_services() -> Result<()> {
    let made = configured(&[
        "--auth",
        "nkey",
        "--tls",
        "127.0.0.1",
        "--cluster",
        "blue",
        "--no-nats-service",
    ])?;
    let builder = nodes(made.broker("nats-tls.conf"));
    builder
        .env("REPLOG_CLUSTER", "blue")
        .env("REPLOG_NO_NATS_SERVICE", "true")
        .run(async |cluster| {
            start_with(cluster, |node| made.node(node)).await?;
            replicates(cluster).await
        })
        .await;
    Ok(())
}

/// A name that cannot have a user is a wrong setting: nothing is made.
#[tokio::test]
async fn a_name_that_is_taken_is_refused_by_name() -> Result<()> {
    let parent = TempDir::new()?;
    let out = parent.path().join("made");
    let (code, said) = nats_config(&["--secondaries", "a,observer"], &out)?;
    ensure!(
        code == Some(2) && said.contains("\"observer\""),
        "{code:?} {said}"
    );
    ensure!(!out.exists());
    // A broker that is not told its passwords does not start.
    let (code, _) = nats_config(&["--secondaries", "a"], &out)?;
    ensure!(code == Some(0));
    let options = BrokerOptions::default().files(&out.join("broker"), "nats-public.conf");
    let refused = NatsServer::start(options)
        .await
        .err()
        .context("it started")?;
    ensure!(
        format!("{refused:#}").contains("NATS_MASTER_PASSWORD"),
        "{refused:#}"
    );
    Ok(())
}

/// Whoever stands in between may leave out that TLS is there: with an authority to trust nothing is said without it.
#[tokio::test]
async fn no_password_is_told_to_a_broker_that_offers_no_tls() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = dir.path().join("ca.pem");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(&authority, made.cert.pem())?;
    let broker = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("nats://{}", broker.local_addr()?);
    let authority = authority.display().to_string();
    let env = [
        ("NATS_URL", url.as_str()),
        ("NATS_CA", &authority),
        ("NATS_USER", "master"),
        ("NATS_PASSWORD", "secret"),
    ];
    let mut node = Node::reserve(spec(Role::Master, &dir, &[], &env))?;
    node.spawn()?;
    let (mut stream, _) = timeout(SOON, broker.accept()).await??;
    let info =
        r#"INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"tls_required":false}"#;
    stream.write_all(format!("{info}\r\n").as_bytes()).await?;
    let mut first = [0];
    timeout(SOON, stream.read_exact(&mut first)).await??;
    // The record of a TLS handshake, and not the C of CONNECT.
    ensure!(first == [22], "{first:?}");
    Ok(())
}
