//! The self-check, step by step, in words.

use std::fmt::Display;

use anyhow::{Context, Result, ensure};

use crate::harness::http::DEADLINE;
use crate::harness::{Answer, Cluster, Node, eventually};

const ALL: &str = "Msg1 Msg2 Msg3 Msg4";

/// Plays it; false when a step did not give what was expected.
pub(super) async fn play() -> Result<bool> {
    println!(
        "The acceptance check: a master and two listed secondaries, of which secondary2 starts late.\n"
    );
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    let mut cluster = Box::pin(builder.start()).await?;
    let mut steps = Steps::default();
    if let Err(failed) = steps.all(&mut cluster).await {
        println!("\n{failed:#}");
        for node in cluster.nodes() {
            println!(
                "\n---- the last that {} wrote:\n{}",
                node.name(),
                node.log_tail(30)
            );
        }
        return Ok(false);
    }
    println!("\nAll {} steps are as expected.", steps.done);
    Ok(true)
}

#[derive(Default)]
struct Steps {
    done: usize,
}

impl Steps {
    async fn all(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.step(
            "start the master and secondary1",
            "secondary1 is healthy",
            async {
                cluster
                    .wait_healthy(1)
                    .await
                    .map(|()| "secondary1 is healthy")
            },
        )
        .await?;
        self.step("POST Msg1 with w=1", "200", async {
            cluster.post("Msg1", 1).await.map(status)
        })
        .await?;
        self.step("POST Msg2 with w=2", "200", async {
            cluster.post("Msg2", 2).await.map(status)
        })
        .await?;

        let third = cluster.post_pending("Msg3", 3);
        self.step(
            "POST Msg3 with w=3",
            "in the master's log, not answered",
            async {
                shown(&cluster.master, "Msg1 Msg2 Msg3").await?;
                Ok(if third.is_pending() {
                    "in the master's log, not answered"
                } else {
                    "answered"
                })
            },
        )
        .await?;
        self.step(
            "POST Msg4 with w=1 meanwhile",
            "200, Msg3 still waits",
            async {
                let fourth = status(cluster.post("Msg4", 1).await?);
                Ok(format!(
                    "{fourth}, Msg3 {}",
                    if third.is_pending() {
                        "still waits"
                    } else {
                        "was answered"
                    }
                ))
            },
        )
        .await?;
        self.step(
            "GET /messages from the master",
            ALL,
            shown(&cluster.master, ALL),
        )
        .await?;
        self.step(
            "GET /messages from secondary1",
            ALL,
            shown(cluster.secondary(1), ALL),
        )
        .await?;
        self.step("Msg3 before secondary2 is there", "waits", async {
            Ok(if third.is_pending() {
                "waits"
            } else {
                "was answered"
            })
        })
        .await?;

        self.step("start secondary2", "live", async {
            cluster.start_secondary(2).await.map(|()| "live")
        })
        .await?;
        self.step("the answer to Msg3", "200", async {
            third.answer().await.map(status)
        })
        .await?;
        self.step(
            "GET /messages from secondary2",
            ALL,
            shown(cluster.secondary(2), ALL),
        )
        .await
    }

    /// One line, as soon as it is known.
    async fn step<S: Display>(
        &mut self,
        what: &str,
        expected: &str,
        seen: impl Future<Output = Result<S>>,
    ) -> Result<()> {
        self.done += 1;
        let seen = seen
            .await
            .map_or_else(|error| format!("{error:#}"), |seen| seen.to_string());
        let verdict = if seen == expected { "ok    " } else { "FAILED" };
        println!(
            "{verdict} {:>2}. {what:<34} expected: {expected:<35} seen: {seen}",
            self.done
        );
        ensure!(seen == expected, "step {} failed.", self.done);
        Ok(())
    }
}

/// `200` alone, or the status with what the body says about it.
fn status(answer: Answer) -> String {
    if answer.status == 200 {
        "200".into()
    } else {
        format!("{} {}", answer.status, answer.text())
    }
}

/// What a node shows, once it is what is expected.
async fn shown(node: &Node, expected: &str) -> Result<String> {
    let what = format!("{} to show {expected}", node.name());
    eventually(&what, DEADLINE, async || {
        let list = node.http().get("/messages").await?.expect(200)?.json()?;
        let messages = list["messages"].as_array().context("no messages")?;
        let contents: Vec<&str> = messages
            .iter()
            .filter_map(|one| one["content"].as_str())
            .collect();
        let seen = contents.join(" ");
        ensure!(seen == expected, "{seen}");
        Ok(seen)
    })
    .await
}
