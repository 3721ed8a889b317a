//! First lab report: one order on every node, every message once, whatever is lost, late or sent twice.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use replog_tests::harness::{Cluster, ClusterBuilder};
use serde_json::json;

use crate::support::{all_ok, health, wait_equal};

const POSTERS: usize = 8;
const EACH: usize = 25;

#[tokio::test]
async fn concurrent_posters_see_one_order() {
    let builder = Cluster::builder().secondaries(3).listed(true);
    builder.run(async |cluster| flood(cluster).await).await;
}

#[tokio::test]
async fn a_fifth_of_the_entries_lost_and_a_fifth_of_the_acks_wrong() {
    let faulty = |builder: ClusterBuilder| {
        let builder = builder.env("REPLOG_ERROR_RATE", "0.2");
        builder.env("REPLOG_DROP_RATE", "0.2")
    };
    faulty(Cluster::builder().secondaries(2).listed(true))
        .run(async |cluster| {
            flood(cluster).await?;
            for i in [1, 2] {
                let health = health(cluster.secondary(i)).await?;
                ensure!(
                    health["duplicates"] != 0,
                    "nothing was sent twice? {health}"
                );
                ensure!(health["held_back"] == 0, "{health}");
            }
            Ok(())
        })
        .await;
}

/// Every poster waits for its own message before it sends the next, so its own order is known.
async fn flood(cluster: &Cluster) -> Result<()> {
    let members = cluster.nodes().count() - 1;
    cluster.wait_healthy(members).await?;
    let posters = (0..POSTERS).map(async |poster| {
        for i in 0..EACH {
            let w = 1 + (poster + i) % (members + 1);
            let answer = cluster.post(&format!("{poster} {i}"), w).await?;
            let answer = answer.expect(200)?.json()?;
            ensure!(answer["acks"].as_u64() >= Some(w as u64), "{answer}");
        }
        Ok(())
    });
    try_join_all(posters).await?;
    let all = wait_equal(cluster).await?;
    ensure!(all.len() == POSTERS * EACH, "{} entries", all.len());
    for poster in 0..POSTERS {
        let prefix = format!("{poster} ");
        let own: Vec<_> = all
            .iter()
            .filter(|content| content.starts_with(&prefix))
            .collect();
        let expected: Vec<_> = (0..EACH).map(|i| format!("{poster} {i}")).collect();
        ensure!(
            own.into_iter().eq(&expected),
            "the messages of poster {poster} in {all:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn equal_contents_are_one_message_by_the_lab_reports_rule() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .env("REPLOG_DEDUPLICATE_BY", "content")
        .run(async |cluster| {
            let first = cluster.post("same", 3).await?.expect(200)?.json()?;
            ensure!(first["duplicate"] == false, "{first}");
            let id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
            let again = json!({"content": "same", "w": 3, "message_id": id});
            let again = cluster.master.http().post("/messages", &again).await?;
            let again = again.expect(200)?.json()?;
            for (field, expected) in [("duplicate", &json!(true)), ("seq", &json!(1))] {
                ensure!(&again[field] == expected, "{again}");
            }
            ensure!(
                again["message_id"] == first["message_id"],
                "{again} {first}"
            );
            let http = cluster.master.http();
            let lab = http
                .post("/append", &json!({"msg": "same", "w": 1}))
                .await?;
            let lab = lab.expect(200)?.text();
            ensure!(lab == "Appended 00 \"same\" to the log list\n", "{lab}");
            let at_once = (0..10)
                .map(|_| cluster.post_pending("at once", 3))
                .collect();
            let answers = all_ok(at_once).await?;
            let fresh = answers
                .iter()
                .filter(|answer| answer["duplicate"] == false)
                .count();
            ensure!(fresh == 1, "{answers:?}");
            ensure!(wait_equal(cluster).await? == ["same", "at once"]);
            Ok(())
        })
        .await;
}
