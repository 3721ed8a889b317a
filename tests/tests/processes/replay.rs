//! Every message that was ever sent, sent again: a network may keep one and deliver it later, and so may whoever listens.

use anyhow::{Result, ensure};
use replog_tests::harness::Cluster;
use serde_json::json;

use crate::support::{
    ALLOW_CLEAR, acks_after, health, shown, wait_equal, wait_health, wait_status,
};
use crate::watch::{Seen, Watch};

async fn post_many(cluster: &Cluster, prefix: &str, many: usize) -> Result<()> {
    for i in 0..many {
        let content = format!("{prefix} {i}");
        cluster.post(&content, 3).await?.expect(200)?;
    }
    Ok(())
}

/// The same message in the name of the other secondary.
fn swapped(text: &str) -> String {
    let [one, two, between] = ["secondary1", "secondary2", "\u{1}"];
    text.replace(one, between)
        .replace(two, one)
        .replace(between, two)
}

async fn say_all<'a>(watch: &Watch, all: impl IntoIterator<Item = &'a Seen>) -> Result<()> {
    for Seen { about, text, .. } in all {
        let subject = format!("replog.default.{about}");
        watch.say(&subject, text.clone()).await?;
    }
    Ok(())
}

/// In order, backwards, and swapped between the nodes: on the subjects of the other one, and in its name as well.
async fn say_in_all_ways(watch: &mut Watch, recorded: &[Seen]) -> Result<()> {
    say_all(watch, recorded).await?;
    say_all(watch, recorded.iter().rev()).await?;
    for in_its_name in [false, true] {
        for Seen { about, text, .. } in recorded {
            let subject = format!("replog.default.{}", swapped(about));
            let payload = if in_its_name {
                swapped(text)
            } else {
                text.clone()
            };
            watch.say(&subject, payload).await?;
        }
    }
    // The broker has taken all of it.
    watch.so_far().await.map(drop)
}

/// Case 49: after a secondary was emptied, after the master was, after a clear.
#[tokio::test]
async fn nothing_is_lost_or_twice_or_released_or_fenced() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1)
        .env("RUST_LOG", "error")
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            let mut recorded = Vec::new();
            post_many(cluster, "of the cleared history", 10).await?;
            cluster.start_secondary(2).await?;
            post_many(cluster, "after an empty secondary", 5).await?;
            ensure!(cluster.secondary_mut(1).terminate().await? == 0);
            cluster.start_secondary(1).await?;
            cluster.master.restart().await?;
            post_many(cluster, "after an empty master", 5).await?;
            recorded.extend(watch.so_far().await?);

            // Each of these positions was acknowledged once, of the history that is cleared now.
            let http = cluster.master.http();
            http.post("/clear", &json!({})).await?.expect(200)?;
            post_many(cluster, "new", 3).await?;
            cluster.start_secondary(2).await?;
            post_many(cluster, "newer", 3).await?;
            cluster.master.restart().await?;
            post_many(cluster, "newest", 3).await?;
            recorded.extend(watch.so_far().await?);
            let kinds = ["append", "heartbeat", "ack", "event"];
            for kind in kinds {
                let of_kind = recorded.iter().filter(|seen| seen.about.starts_with(kind));
                ensure!(of_kind.count() > 10, "hardly any {kind}");
            }
            let expected = shown(&cluster.master).await?;
            ensure!(expected.len() == 9, "{expected:?}");
            let before = health(&cluster.master).await?;
            let pids: Vec<_> = cluster.nodes().map(|node| node.pid()).collect();

            cluster.secondary(2).stop().await?;
            let waits = cluster.post_pending("for all", 3);
            wait_health(&cluster.master, "last_seq", 10).await?;
            say_in_all_ways(&mut watch, &recorded).await?;
            ensure!(acks_after(cluster, "for all again", 3, 2000).await? == 2);
            ensure!(waits.is_pending(), "w=3 was met by an old message");
            cluster.secondary(2).resume()?;
            waits.answer().await?.expect(200)?;
            say_in_all_ways(&mut watch, &recorded).await?;
            cluster.post("after", 3).await?.expect(200)?;

            let all = wait_equal(cluster).await?;
            let more = ["for all", "for all again", "after"].map(str::to_owned);
            ensure!(all == [expected, more.into()].concat(), "{all:?}");
            let after = health(&cluster.master).await?;
            for field in ["status", "log_id", "epoch", "instance"] {
                ensure!(after[field] == before[field], "{field} of {after}");
            }
            for i in [1, 2] {
                let health = health(cluster.secondary(i)).await?;
                ensure!(
                    health["status"] == "ok" && health["put_aside"] == 0,
                    "{health}"
                );
            }
            ensure!(pids == cluster.nodes().map(|node| node.pid()).collect::<Vec<_>>());
            Ok(())
        })
        .await;
}

/// Case 49 again: the same name, the same epoch, and a storage that holds nothing any more.
#[tokio::test]
async fn what_an_emptied_secondary_once_acknowledged_does_not_count() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env("RUST_LOG", "error")
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            post_many(cluster, "held once", 10).await?;
            let recorded = watch.so_far().await?;
            ensure!(recorded.iter().any(|seen| seen.is("ack", "secondary2")));
            cluster.kill_secondary(2).await?;
            // Only then is `healthy` said of the one that comes.
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            let forgetful = ["--drop-rate", "1"].map(String::from);
            cluster.secondary_mut(2).spec_mut().args = forgetful.into();
            cluster.start_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            say_in_all_ways(&mut watch, &recorded).await?;
            ensure!(acks_after(cluster, "not there", 3, 2000).await? == 2);
            let http = cluster.master.http();
            for seq in [1, 10] {
                let one = http.get(&format!("/messages/{seq}")).await?;
                let one = one.expect(200)?.json()?;
                ensure!(one["acked_by"] == json!(["master", "secondary1"]), "{one}");
            }
            Ok(())
        })
        .await;
}
