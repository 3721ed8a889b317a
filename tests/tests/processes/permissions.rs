//! What each program needs from the broker, and no more: a cluster with exactly these permissions does everything.

use anyhow::{Result, ensure};
use replog_tests::harness::{BrokerOptions, Cluster, Node};
use serde_json::json;
use tokio::time::timeout;

use crate::names::namesake;
use crate::support::{ALLOW_CLEAR, SOON, health, wait_equal, wait_health, wait_status};
use crate::watch::Watch;

const PASSWORD: &str = "secret";

/// One user for each node, with what section 5 of the interface names, and one who may only look on.
fn users() -> String {
    let list = |names: &[String]| {
        let quoted: Vec<String> = names
            .iter()
            .map(|n| format!("\"replog.default.{n}\""))
            .collect();
        format!("[{}]", quoted.join(", "))
    };
    let user = |name: &str, publish: &[&str], subscribe: &[&str]| {
        let of = |subjects: &[&str]| {
            let named: Vec<String> = subjects.iter().map(|s| s.replace('X', name)).collect();
            list(&named)
        };
        let (publish, subscribe) = (of(publish), of(subscribe));
        format!(
            "{{user: {name}, password: {PASSWORD}, permissions: {{publish: {publish}, subscribe: {subscribe}}}}}"
        )
    };
    let master = user(
        "master",
        &[
            "append.*",
            "heartbeat.*",
            "prepare.*",
            "fetch.*",
            "announce",
            "event.master.*",
        ],
        &["ack.*.*", "promise.*", "fetched.*", "announce"],
    );
    let secondary = |name| {
        user(
            name,
            &["ack.X.*", "promise.X", "fetched.X", "claim.X", "event.X.*"],
            &[
                "append.X",
                "heartbeat.X",
                "prepare.X",
                "fetch.X",
                "claim.X",
                "ack.X.hello",
                "announce",
            ],
        )
    };
    // For the mark by which the test knows that it has seen everything; an observer needs to publish nothing.
    let observer = "{user: observer, password: unused, permissions: {publish: \"replog.watch.mark\", subscribe: [\"replog.>\", \"_INBOX.>\"]}}";
    [
        master,
        secondary("secondary1"),
        secondary("secondary2"),
        observer.to_owned(),
    ]
    .join("\n")
}

fn log_in(node: &mut Node) {
    let user = node.name().to_owned();
    let settings = [("NATS_USER", user), ("NATS_PASSWORD", PASSWORD.to_owned())];
    let env = &mut node.spec_mut().env;
    env.extend(settings.map(|(name, value)| (name.to_owned(), value)));
}

/// Starts all nodes, each as a user of its own.
async fn start_as_users(cluster: &mut Cluster) -> Result<()> {
    log_in(&mut cluster.master);
    for i in [1, 2] {
        log_in(cluster.secondary_mut(i));
    }
    cluster.start_nodes().await
}

#[tokio::test]
async fn the_least_ones_are_enough() {
    let broker = BrokerOptions::default()
        .users(&users())
        .config("no_auth_user: observer");
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .broker(broker)
        .absent(0)
        .absent(1)
        .absent(2)
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .run(async |cluster| {
            start_as_users(cluster).await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            for i in 0..5 {
                cluster.post(&format!("m{i}"), 3).await?.expect(200)?;
            }
            let mut second = namesake(cluster)?;
            second.spawn()?;
            ensure!(timeout(SOON, second.exited()).await?? == 3);
            cluster.kill_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            cluster.start_secondary(2).await?;
            // An empty master asks, fetches, and says that it serves.
            cluster.master.restart().await?;
            cluster.post("after", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 6);
            cluster
                .master
                .http()
                .post("/clear", &json!({}))
                .await?
                .expect(200)?;
            cluster.post("new", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["new"]);
            ensure!(cluster.secondary_mut(1).terminate().await? == 0);
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;

            let seen = watch.so_far().await?;
            for about in [
                "announce",
                "prepare.secondary1",
                "promise.secondary1",
                "fetched.secondary1",
                "claim.secondary2",
                "event.master.serving",
                "ack.secondary1.goodbye",
            ] {
                let times = seen.iter().filter(|s| s.about == about).count();
                // Either secondary may be the one that is fetched from.
                let other = about.replace("secondary1", "secondary2");
                let others = seen.iter().filter(|s| s.about == other).count();
                ensure!(times + others > 0, "nothing on {about}");
            }
            for node in cluster.nodes() {
                let log = node.log_tail(10_000);
                let denied = log.lines().find(|line| {
                    (line.contains("WARN") || line.contains("ERROR"))
                        && line.to_lowercase().contains("permission")
                        // Which is no obstacle.
                        && !line.contains("does not permit NATS services")
                });
                ensure!(denied.is_none(), "{denied:?}");
            }
            wait_health(&cluster.master, "broker", "connected").await?;
            let health = health(cluster.secondary(2)).await?;
            ensure!(health["broker"] == "connected", "{health}");
            Ok(())
        })
        .await;
}

/// The users of [`users`], the secondaries' of which may not be told entries.
fn users_without_appends() -> String {
    users().replace(
        "\"replog.default.append.secondary",
        "\"replog.default.else.",
    )
}

/// Case 53: a permission that is lost shows, and is asked for again until it is there.
#[tokio::test]
async fn a_permission_that_is_lost_shows_until_it_is_given_back() {
    let broker = BrokerOptions::default().users(&users());
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .broker(broker)
        .absent(0)
        .absent(1)
        .absent(2)
        .run(async |cluster| {
            start_as_users(cluster).await?;
            cluster.post("before", 3).await?.expect(200)?;
            let without = BrokerOptions::default().users(&users_without_appends());
            // A permission that is refused in the first seconds of a program was never there, and ends it.
            tokio::time::sleep(std::time::Duration::from_secs(6)).await;
            cluster.broker.reload(&without)?;
            for i in [1, 2] {
                let secondary = cluster.secondary(i);
                wait_health(secondary, "broker", "denied").await?;
                let answer = secondary.http().get("/readyz").await?.expect(503)?;
                ensure!(answer.json()?["reason"] == "denied", "{answer:?}");
            }
            let waiting = cluster.post_pending("meanwhile", 3);
            cluster
                .broker
                .reload(&BrokerOptions::default().users(&users()))?;
            timeout(SOON, waiting.answer()).await??.expect(200)?;
            for i in [1, 2] {
                let secondary = cluster.secondary(i);
                wait_health(secondary, "broker", "connected").await?;
                secondary.http().get("/readyz").await?.expect(200)?;
            }
            Ok(())
        })
        .await;
}
