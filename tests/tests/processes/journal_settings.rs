//! Journals in JetStream that cannot be used: the program says what is wrong in one line, and ends.

use anyhow::{Context, Result, ensure};
use replog_tests::harness::ha_cluster::{HaCluster, STREAM};
use replog_tests::harness::{BrokerOptions, NatsCluster, NatsServer, Node, Role};
use serde_json::{Value, json};

use crate::settings::end_of;
use crate::sharing::wait_standby;
use crate::support::wait_health;

/// Ends with that exit code, and a last line that has all the parts.
async fn ends(
    code: i32,
    urls: &str,
    env: &[(&str, &str)],
    args: &[&str],
    parts: &[&str],
) -> Result<()> {
    let mut all = vec![
        ("NATS_URL", urls),
        ("REPLOG_STORE", "jetstream"),
        ("REPLOG_JOURNAL_REPLICAS", "1"),
    ];
    all.extend(env);
    let (is, said) = end_of(Role::Master, args, &all).await?;
    let last = said.lines().last().unwrap_or_default();
    ensure!(is == code, "exit code {is}, not {code}: {said}");
    for part in parts {
        ensure!(last.contains(part), "no {part:?} in {last:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_do_not_go_together_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path().join("data").display().to_string();
    // Nobody is asked: there is no broker at this address.
    let urls = "nats://127.0.0.1:1";
    let of = async |args: &[&str], parts: &[&str]| ends(2, urls, &[], args, parts).await;
    of(&["--store", "disk"], &["--store", "--data-dir"]).await?;
    of(
        &["--store", "memory", "--data-dir", &dir],
        &["--store", "--data-dir"],
    )
    .await?;
    of(
        &["--takeover"],
        &["--store", "--takeover", "a standby takes over by itself"],
    )
    .await?;
    of(
        &["--journal-replicas", "2"],
        &["--journal-replicas", "1, 3 or 5"],
    )
    .await?;
    of(
        &["--secondaries", "a,b", "--recovery-requires", "majority"],
        &["--recovery-requires"],
    )
    .await
}

#[tokio::test]
async fn a_broker_without_jetstream_is_told_how_to_have_it() -> Result<()> {
    let broker = NatsServer::start(BrokerOptions::default()).await?;
    let parts = ["no JetStream", "start nats-server with -js"];
    ends(3, &broker.url(), &[], &[], &parts).await
}

/// A stream with the configuration that a master makes, but for some fields.
fn config(changes: &Value) -> Value {
    let mut config = json!({
        "name": STREAM,
        "subjects": ["replog.default.journal"],
        "retention": "limits",
        "discard": "new",
        "storage": "file",
        "num_replicas": 1,
        "max_age": 0,
        "deny_delete": true,
        "deny_purge": true,
        "allow_direct": true,
        "first_seq": 1_796_052_700_637_223_u64,
        "metadata": {"replog": "1"},
    });
    for (field, value) in changes.as_object().into_iter().flatten() {
        config[field] = value.clone();
    }
    config
}

async fn create(brokers: &NatsCluster, config: &Value) -> Result<()> {
    let name = config["name"].as_str().context("a name")?;
    let subject = format!("$JS.API.STREAM.CREATE.{name}");
    let answer = brokers.ask(&subject, &config.to_string()).await?;
    ensure!(answer.get("error").is_none(), "{answer}");
    Ok(())
}

async fn delete(brokers: &NatsCluster, name: &str) -> Result<()> {
    let answer = brokers
        .ask(&format!("$JS.API.STREAM.DELETE.{name}"), "")
        .await?;
    ensure!(answer["success"] == true, "{answer}");
    Ok(())
}

// A broker older than 2.11 is refused as well; none is at hand here, so that is a test of the stream's own module.
#[tokio::test]
async fn a_stream_that_could_lose_an_entry_is_refused_by_the_field() -> Result<()> {
    let brokers = NatsCluster::start(1, &BrokerOptions::default()).await?;
    brokers.wait_ready().await?;
    let urls = brokers.urls();
    let age = json!({"max_age": 86_400_000_000_000_u64});
    for (changes, part) in [
        (age, "max_age is 24h, must be 0: entries would vanish"),
        (json!({"discard": "old"}), "discard is old, must be new"),
        (json!({"deny_purge": false}), "deny_purge is"),
        (json!({"first_seq": 1}), "first_seq is"),
    ] {
        create(&brokers, &config(&changes)).await?;
        ends(3, &urls, &[], &[], &["--journal-stream", STREAM, part]).await?;
        delete(&brokers, STREAM).await?;
    }
    create(&brokers, &config(&json!({"name": "another"}))).await?;
    let parts = ["--journal-stream", STREAM, "another stream has its subject"];
    ends(3, &urls, &[], &[], &parts).await
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() -> Result<()> {
    for (missing, says) in [
        (
            "$JS.API.STREAM.INFO.replog-default",
            "$JS.API.STREAM.INFO.replog-default",
        ),
        ("replog.default.journal", "replog.default.journal"),
        (
            "$JS.API.DIRECT.GET.replog-default",
            "$JS.API.DIRECT.GET.replog-default",
        ),
    ] {
        let denied = json!([missing]);
        let users = format!(
            "{{user: master, password: secret, permissions: {{publish: {{allow: [\">\"], deny: {denied}}}, subscribe: \">\"}}}}"
        );
        let options = BrokerOptions::default().users(&users);
        let brokers = NatsCluster::start(1, &options).await?;
        let env = [("NATS_USER", "master"), ("NATS_PASSWORD", "secret")];
        ends(3, &brokers.urls(), &env, &[], &[says]).await?;
    }
    Ok(())
}

/// A directory that was made from another stream, and one with a log where the stream has one already.
#[tokio::test]
async fn a_directory_of_another_history_is_refused() {
    let builder = HaCluster::builder().durable(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 1).await?.expect(200)?;
            let (active, standby) = cluster.active_and_standby().await?;
            wait_standby(&cluster.masters[standby]).await?;
            cluster.masters[active].kill().await?;
            cluster.masters[standby].kill().await?;
            delete(&cluster.brokers, STREAM).await?;
            create(&cluster.brokers, &config(&json!({}))).await?;
            let master = &mut cluster.masters[active];
            master.spawn()?;
            let code = master.exited().await?;
            let said = master.log_tail(1);
            ensure!(
                code == 3 && said.contains("--data-dir") && said.contains("--journal-stream"),
                "{code}: {said}"
            );

            // A log that was not made from any stream, and a stream that has one already.
            let elsewhere = NatsServer::start(BrokerOptions::default()).await?;
            let own = cluster.dir().join("data-own").display().to_string();
            let urls = cluster.brokers.urls();
            let node = &mut cluster.masters[active];
            node.spec_mut()
                .env
                .push(("REPLOG_DATA_DIR".to_owned(), own));
            let set = |node: &mut Node, store: &str, url: String| {
                let env = &mut node.spec_mut().env;
                env.push(("REPLOG_STORE".to_owned(), store.to_owned()));
                env.push(("NATS_URL".to_owned(), url));
            };
            set(node, "disk", elsewhere.url());
            node.restart().await?;
            wait_health(node, "status", "ok").await?;
            let body = json!({"content": "of its own", "w": 1});
            node.http().post("/messages", &body).await?.expect(200)?;
            ensure!(node.terminate().await? == 0);
            set(node, "jetstream", urls);
            let data = cluster
                .dir()
                .join(format!("data-{}", cluster.masters[standby].name()));
            std::fs::remove_dir_all(data)?;
            let other = &mut cluster.masters[standby];
            other.restart().await?;
            wait_health(other, "status", "ok").await?;
            let node = &mut cluster.masters[active];
            node.spawn()?;
            let code = node.exited().await?;
            let said = node.log_tail(1);
            ensure!(
                code == 3 && said.contains("--data-dir") && said.contains("holds a log already"),
                "{code}: {said}"
            );
            Ok(())
        })
        .await;
}

/// What somebody else has written there is not carried out.
#[tokio::test]
async fn chunks_of_another_cluster_and_messages_that_are_none_are_refused() {
    HaCluster::builder()
        .masters(1)
        .run(async |cluster| {
            cluster.post("theirs", 1).await?.expect(200)?;
            let client = async_nats::connect(cluster.brokers.urls()).await?;
            let info = cluster.brokers.stream(STREAM).await?;
            let first = info.json["state"]["first_seq"]
                .as_u64()
                .context("first_seq")?;
            let question = json!({"seq": first}).to_string();
            let chunk = client
                .request(format!("$JS.API.DIRECT.GET.{STREAM}"), question.into())
                .await?;
            let head = chunk.headers.context("headers")?;
            let head = head
                .get("Replog-Chunk")
                .context("a chunk")?
                .as_str()
                .to_owned();
            let urls = cluster.brokers.urls();
            for (cluster_name, header) in [("other", Some(head)), ("third", None)] {
                let (name, subject) = (
                    format!("replog-{cluster_name}"),
                    format!("replog.{cluster_name}.journal"),
                );
                create(
                    &cluster.brokers,
                    &config(&json!({"name": name, "subjects": [subject.clone()]})),
                )
                .await?;
                let mut headers = async_nats::HeaderMap::new();
                if let Some(header) = header {
                    headers.insert("Replog-Chunk", header);
                }
                headers.insert("Of", "somebody else");
                let payload = chunk.payload.clone();
                let reply = client.new_inbox();
                let mut acks = client.subscribe(reply.clone()).await?;
                client
                    .publish_with_reply_and_headers(subject, reply, headers, payload)
                    .await?;
                futures_util::StreamExt::next(&mut acks)
                    .await
                    .context("an ack")?;
                let parts = ["--journal-stream", &*name, "no chunk of"];
                let env = [("REPLOG_CLUSTER", cluster_name)];
                // One that leaves the stream for the fault of it: 3 while it starts.
                ends(3, &urls, &env, &[], &parts)
                    .await
                    .with_context(|| name.clone())?;
            }
            Ok(())
        })
        .await;
}
