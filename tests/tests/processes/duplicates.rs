//! One `message_id`, one entry: however it is spelled, and however often it comes.

use anyhow::{Result, ensure};
use hyper::Method;
use replog_tests::harness::Cluster;
use serde_json::{Value, json};

use crate::support::{all_ok, wait_equal, wait_status};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

#[tokio::test]
async fn a_repeated_post_joins_the_first_ones_wait() {
    let builder = Cluster::builder().secondaries(2).absent(2).listed(true);
    builder
        .run(async |cluster| {
            wait_status(&cluster.master, "secondary1", "healthy").await?;
            let http = cluster.master.http();
            let body = |w: u32| json!({"content": "once", "w": w, "message_id": ID});
            let first = http
                .post("/messages", &body(1))
                .await?
                .expect(200)?
                .json()?;
            ensure!(
                first["duplicate"] == false && first["message_id"] == ID,
                "{first}"
            );
            let second = http
                .post("/messages", &body(2))
                .await?
                .expect(200)?
                .json()?;
            ensure!(
                second["duplicate"] == true && second["acks"] == 2,
                "{second}"
            );
            ensure!(
                second["seq"] == 1 && second["epoch"] == first["epoch"],
                "{second}"
            );

            // A higher one waits, and so do those that ask for it after it.
            let higher = (0..5)
                .map(|_| http.post_pending("/messages", &body(3)))
                .collect();
            let other = cluster.post("other", 2).await?.expect(200)?.json()?;
            ensure!(other["seq"] == 2, "{other}");
            let again = http
                .post("/messages", &body(1))
                .await?
                .expect(200)?
                .json()?;
            ensure!(again["duplicate"] == true, "{again}");
            cluster.start_secondary(2).await?;
            for answer in all_ok(higher).await? {
                ensure!(answer["duplicate"] == true && answer["w"] == 3, "{answer}");
            }
            ensure!(wait_equal(cluster).await? == ["once", "other"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn at_the_same_time_they_make_one_entry() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.master.http();
            let body = json!({"content": "once", "w": 3, "message_id": ID});
            let all = (0..40)
                .map(|_| http.post_pending("/messages", &body))
                .collect();
            let answers = all_ok(all).await?;
            ensure!(
                answers.iter().all(|answer| answer["seq"] == 1),
                "{answers:?}"
            );
            let fresh = answers
                .iter()
                .filter(|answer| answer["duplicate"] == false)
                .count();
            ensure!(fresh == 1, "{fresh} were first");
            ensure!(wait_equal(cluster).await? == ["once"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn an_id_has_many_spellings() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.master.http();
            let post = async |content: &str, id: Option<&str>, key: Option<&str>| {
                let body = json!({"content": content, "w": 1, "message_id": id}).to_string();
                let headers: Vec<_> = key
                    .map(|key| ("Idempotency-Key", key))
                    .into_iter()
                    .collect();
                let answer = http
                    .request(Method::POST, "/messages", &headers, body.into())
                    .await?;
                anyhow::Ok(answer.expect(200)?.json()?)
            };
            let is = |answer: &Value, seq: u64, duplicate: bool| -> Result<()> {
                ensure!(
                    answer["seq"] == seq && answer["duplicate"] == duplicate,
                    "{answer}"
                );
                Ok(())
            };
            let plain = ID.replace('-', "");
            let upper = ID.to_uppercase();
            is(&post("one", Some(&upper), None).await?, 1, false)?;
            for spelling in [ID, &plain, &plain.to_uppercase()] {
                let answer = post("one", Some(spelling), None).await?;
                is(&answer, 1, true)?;
                ensure!(answer["message_id"] == ID, "{answer}");
                is(&post("one", None, Some(spelling)).await?, 1, true)?;
            }
            is(&post("one", Some(ID), Some(&upper)).await?, 1, true)?;

            // Any string: the version-5 UUID of it in the URL namespace.
            let key = post("two", None, Some("order 66 / retry")).await?;
            is(&key, 2, false)?;
            ensure!(
                key["message_id"] == "3370dfb4-cb5b-554f-be2f-6012285ab13a",
                "{key}"
            );
            is(&post("two", None, Some("order 66 / retry")).await?, 2, true)?;
            is(
                &post("two", key["message_id"].as_str(), None).await?,
                2,
                true,
            )?;
            is(
                &post("three", None, Some(&"k".repeat(255))).await?,
                3,
                false,
            )?;
            // Escaped otherwise it is the same content.
            let escaped = format!(r#"{{"content":"\u006fne","w":1,"message_id":"{ID}"}}"#);
            let escaped = http
                .request(Method::POST, "/messages", &[], escaped.into())
                .await?;
            is(&escaped.expect(200)?.json()?, 1, true)
        })
        .await;
}
