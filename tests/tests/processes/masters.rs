//! Two masters: the second one is refused, or overtakes the first for good.

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, Node};
use serde_json::{Value, json};

use crate::support::{health, refused, second_master, wait_health, wait_same};

async fn post(master: &Node, content: &str, w: u32) -> Result<Value> {
    let body = json!({"content": content, "w": w});
    let answer = master.http().post("/messages", &body).await?;
    answer.expect(200)?.json()
}

#[tokio::test]
async fn a_second_one_finds_the_living_one_and_ends() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            let mut second = second_master(cluster, &[])?;
            second.spawn()?;
            ensure!(second.exited().await? == 3);
            let said = second.log_tail(50);
            ensure!(
                said.contains("another master") && said.contains("--takeover"),
                "{said}"
            );
            let first = health(&cluster.master).await?;
            ensure!(first["status"] == "ok" && first["epoch"] == 1, "{first}");
            cluster.post("two", 2).await?.expect(200)?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn without_secondaries_it_finds_it_too() {
    Cluster::builder()
        .run(async |cluster| {
            cluster.post("one", 1).await?.expect(200)?;
            let mut second = second_master(cluster, &[])?;
            second.spawn()?;
            ensure!(second.exited().await? == 3);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn one_that_takes_over_fences_the_other() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env("REPLOG_ALLOW_CLEAR", "true")
        .run(async |cluster| {
            for i in 0..10 {
                cluster.post(&format!("m{i}"), 2).await?.expect(200)?;
            }
            cluster.secondary(2).stop().await?;
            let blocked = cluster.post_pending("blocked", 3);
            cluster.post("last", 2).await?.expect(200)?;
            let mut second = second_master(cluster, &["--takeover"])?;
            second.restart().await?;
            let next = post(&second, "next", 2).await?;
            ensure!(next["seq"] == 13 && next["epoch"] == 2, "{next}");
            // The overtaken one answers who waits, reads on, and takes nothing more.
            let problem = refused(blocked.answer().await?, 504)?;
            ensure!(
                problem["reason"] == "fenced" && problem["in_log"] == true,
                "{problem}"
            );
            wait_health(&cluster.master, "status", "fenced").await?;
            let problem = refused(cluster.post("too late", 1).await?, 503)?;
            ensure!(problem["reason"] == "fenced", "{problem}");
            cluster.master.http().get("/messages").await?.expect(200)?;
            let cleared = cluster.master.http().post("/clear", &json!({})).await?;
            ensure!(refused(cleared, 503)?["reason"] == "fenced");
            cluster.secondary(2).resume()?;
            post(&second, "for all", 3).await?;
            for i in [1, 2] {
                wait_same(&second, cluster.secondary(i)).await?;
            }
            // Started again it recovers like any other: it finds the one that lives, and ends.
            cluster.master.kill().await?;
            cluster.master.spawn()?;
            ensure!(cluster.master.exited().await? == 3);
            Ok(())
        })
        .await;
}

/// Stopped long enough to be replaced, it must not take a single append when it goes on.
#[tokio::test]
async fn one_that_slept_while_it_was_replaced_serves_nothing_but_reads() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("before", 3).await?.expect(200)?;
            cluster.master.stop().await?;
            // They lie in its socket when it goes on.
            let blind: Vec<_> = (0..5)
                .map(|i| cluster.post_pending(&format!("blind {i}"), 1))
                .collect();
            let mut second = second_master(cluster, &[])?;
            second.restart().await?;
            post(&second, "after", 3).await?;
            cluster.master.resume()?;
            for post in blind {
                let problem = refused(post.answer().await?, 503)?;
                ensure!(
                    problem["reason"] == "fenced" && problem["in_log"] == false,
                    "{problem}"
                );
            }
            wait_health(&cluster.master, "status", "fenced").await?;
            let list = cluster
                .master
                .http()
                .get("/messages")
                .await?
                .expect(200)?
                .json()?;
            ensure!(list["last_seq"] == 1, "{list}");
            wait_same(&second, cluster.secondary(1)).await?;
            let kept = health(cluster.secondary(1)).await?["put_aside"].clone();
            ensure!(kept == 0, "{kept}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn of_two_that_start_together_one_stays() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            cluster.master.kill().await?;
            let mut second = second_master(cluster, &[])?;
            cluster.master.spawn()?;
            second.spawn()?;
            let (stays, ended) = tokio::select! {
                code = second.exited() => (&cluster.master, code),
                code = cluster.master.exited() => (&second, code),
            };
            ensure!(ended.context("one ends")? == 3);
            wait_health(stays, "status", "ok").await?;
            post(stays, "two", 2).await?;
            wait_same(stays, cluster.secondary(1)).await
        })
        .await;
}
