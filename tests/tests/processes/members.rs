//! Who the members are: shown, and taken out once they are gone.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Answer, Cluster, Node};
use serde_json::{Value, json};

use crate::support::{health, member, refused, wait_equal, wait_one_line, wait_status};
use crate::watch::Watch;

async fn remove(node: &Node, id: &str) -> Result<Answer> {
    let path = format!("/members/{id}");
    let http = node.http();
    http.request(Method::DELETE, &path, &[], "".into()).await
}

async fn members(master: &Node) -> Result<Value> {
    master.http().get("/members").await?.expect(200)?.json()
}

/// The names in one of the lists of `GET /members`.
fn names<'a>(members: &'a Value, list: &str) -> Vec<&'a str> {
    let all = members[list].as_array().into_iter().flatten();
    all.filter_map(|member| member["id"].as_str()).collect()
}

/// As every container does that is made anew: it comes back under another name.
#[tokio::test]
async fn one_that_is_gone_is_taken_out_and_whoever_waits_for_all_is_answered() {
    let builder = Cluster::builder().secondaries(2).absent(2);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            cluster.post("before", 2).await?.expect(200)?;
            let alive = refused(remove(&cluster.master, "secondary1").await?, 409)?;
            ensure!(alive["reason"] == "member_alive", "{alive}");
            let mut watch = Watch::of(&cluster.broker).await?;
            cluster.kill_secondary(1).await?;
            cluster.start_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            let body = json!({"content": "for all"});
            let waits = cluster.master.http().post_pending("/messages", &body);
            let second = cluster.secondary(2);
            cluster
                .wait_messages(second, &["before", "for all"])
                .await?;
            let three = cluster.post_pending("for three", 3);
            let all = ["before", "for all", "for three"];
            cluster.wait_messages(second, &all).await?;
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            ensure!(waits.is_pending());
            let removed = remove(&cluster.master, "secondary1").await?.expect(200)?;
            let expected = json!({"status": "removed", "id": "secondary1", "members": 1});
            ensure!(removed.json()? == expected, "{}", removed.text());
            let answer = waits.answer().await?.expect(200)?.json()?;
            ensure!(answer["w"] == 2 && answer["acks"] == 2, "{answer}");
            ensure!(three.is_pending(), "a number stays what it is");
            let seen = watch
                .until("event", |seen| seen.about == "event.master.removed")
                .await?;
            let event = &seen.last().context("the event")?.json;
            ensure!(event["node"] == "secondary1", "{event}");
            wait_one_line(&cluster.master, &["removed", "secondary1"]).await?;
            let known = members(&cluster.master).await?;
            ensure!(names(&known, "members") == ["secondary2"], "{known}");
            let gone = refused(remove(&cluster.master, "secondary1").await?, 404)?;
            ensure!(gone["reason"] == "not_found", "{gone}");

            cluster.start_secondary(1).await?;
            let answer = three.answer().await?.expect(200)?.json()?;
            ensure!(answer["w"] == 3 && answer["acks"] == 3, "{answer}");
            watch
                .until("event", |seen| {
                    seen.about == "event.master.joined" && seen.json["node"] == "secondary1"
                })
                .await?;
            let all = cluster.post("after", "all").await?.expect(200)?.json()?;
            ensure!(all["w"] == 3 && all["acks"] == 3, "{all}");
            ensure!(wait_equal(cluster).await?.len() == 4);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_master_that_has_lost_its_majority_goes_on_with_those_that_are_left() {
    let builder = Cluster::builder()
        .secondaries(2)
        .env("REPLOG_READ_ONLY_WITHOUT_QUORUM", "true");
    builder
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            for i in [1, 2] {
                cluster.kill_secondary(i).await?;
            }
            for name in ["secondary1", "secondary2"] {
                wait_status(&cluster.master, name, "unhealthy").await?;
            }
            let problem = refused(cluster.post("nobody", 1).await?, 503)?;
            ensure!(problem["reason"] == "no_quorum", "{problem}");
            for name in ["secondary1", "secondary2"] {
                remove(&cluster.master, name).await?.expect(200)?;
            }
            let answer = cluster.post("alone", "all").await?.expect(200)?.json()?;
            ensure!(answer["w"] == 1, "{answer}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn of_listed_members_none_is_taken_out_but_observers_are() {
    let builder = Cluster::builder()
        .secondaries(2)
        .env("REPLOG_SECONDARIES", "secondary1");
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            let known = members(&cluster.master).await?;
            ensure!(names(&known, "members") == ["secondary1"], "{known}");
            ensure!(names(&known, "observers") == ["secondary2"], "{known}");
            for i in [1, 2] {
                cluster.kill_secondary(i).await?;
            }
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            let listed = refused(remove(&cluster.master, "secondary1").await?, 409)?;
            ensure!(listed["reason"] == "member_listed", "{listed}");
            let detail = listed["detail"].as_str().context("a detail")?;
            ensure!(detail.contains("--secondaries"), "{listed}");
            let removed = remove(&cluster.master, "secondary2").await?.expect(200)?;
            ensure!(removed.json()?["members"] == 1, "{}", removed.text());
            let known = members(&cluster.master).await?;
            ensure!(names(&known, "members") == ["secondary1"], "{known}");
            ensure!(known.get("observers").is_none(), "{known}");
            cluster.start_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "healthy").await?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn the_members_are_those_of_health_and_only_the_master_knows_them() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            let known = members(&cluster.master).await?;
            let (shown, health) = (&known["members"][0], health(&cluster.master).await?);
            let fields = |member: &Value| {
                let fields = member.as_object().into_iter().flatten();
                fields.map(|(name, _)| name.clone()).collect::<Vec<_>>()
            };
            ensure!(fields(shown) == fields(&health["members"][0]), "{known}");
            ensure!(shown["id"] == "secondary1" && shown["status"] == "healthy");
            let head = cluster.master.http();
            let head = head
                .request(Method::HEAD, "/members", &[], "".into())
                .await?;
            ensure!(head.status == 200 && head.body.is_empty());

            for wrong in ["a.b", "%20", "master", &"x".repeat(33)] {
                let problem = refused(remove(&cluster.master, wrong).await?, 400)?;
                let detail = problem["detail"].as_str().context("a detail")?;
                ensure!(detail.contains("A-Z a-z 0-9 _ -"), "{wrong}: {problem}");
            }
            refused(remove(&cluster.master, "secondary1?w=2").await?, 400)?;
            refused(remove(&cluster.master, "nobody").await?, 404)?;
            let secondary = cluster.secondary(1);
            let list = secondary.http().get("/members").await?;
            for answer in [list, remove(secondary, "secondary1").await?] {
                let problem = refused(answer, 405)?;
                let detail = problem["detail"].as_str().context("a detail")?;
                ensure!(detail.contains("the master knows the members"), "{problem}");
            }
            ensure!(member(&cluster.master, "secondary1").await?["status"] == "healthy");
            Ok(())
        })
        .await;
}
