//! Case A7: what a client or an operator asks for and nobody knows is refused or warned of by name, never ignored.

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Answer, Cluster, Node};
use serde_json::json;

use crate::support::{ALLOW_FAULTS, refused, shown, wait_equal, wait_health};

async fn send(node: &Node, method: &str, path: &str, body: &str) -> Result<Answer> {
    let method = Method::from_bytes(method.as_bytes())?;
    let body = body.to_owned().into();
    node.http().request(method, path, &[], body).await
}

/// It is refused with 400, and all these parts are in the detail.
async fn named(node: &Node, method: &str, path: &str, body: &str, parts: &[&str]) -> Result<()> {
    let what = format!("{method} {path} {body} of {}", node.name());
    let problem =
        refused(send(node, method, path, body).await?, 400).with_context(|| what.clone())?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    for part in parts {
        ensure!(detail.contains(part), "no {part} in {detail:?}: {what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_query_parameter_is_named_with_the_nearest_one() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            for node in cluster.nodes() {
                for (path, parts) in [
                    ("/messages?form=1", ["form", "from"]),
                    ("/messages?limit=1&wiat=1s", ["wiat", "wait"]),
                    ("/messages?Limit=1", ["Limit", "limit"]),
                    ("/messages/stream?fromm=1", ["fromm", "from"]),
                    ("/messages?from=1&from=2", ["from", "from"]),
                ] {
                    named(node, "GET", path, "", &parts).await?;
                }
                for path in ["/messages/1?x=1", "/list?from=1", "/health?x=1"] {
                    let name = path.split(['?', '=']).nth(1).context("a name")?;
                    named(node, "GET", path, "", &[name]).await?;
                }
                for path in ["/messages?from=1&limit=9&wait=1ms", "/readyz"] {
                    let known = node.http().get(path).await?;
                    ensure!(known.status != 400, "{path}: {}", known.text());
                }
            }
            let secondary = cluster.secondary(1);
            let parts = ["min_sq", "min_seq"];
            named(secondary, "GET", "/messages?min_sq=1", "", &parts).await?;
            let body = json!({"content": "x", "w": 1}).to_string();
            let parts = ["timeout"];
            let path = "/messages?timeout=500";
            named(&cluster.master, "POST", path, &body, &parts).await?;
            ensure!(wait_equal(cluster).await? == ["one"]);
            Ok(())
        })
        .await;
}

/// A `w` in the URL asks for as much as one in the body: it is done, or refused, and never ignored.
#[tokio::test]
async fn a_write_concern_in_the_url_is_no_false_promise() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .master_arg("--default-w", "1")
        .run(async |cluster| {
            let master = &cluster.master;
            wait_health(master, "status", "ok").await?;
            let body = json!({"content": "x", "timeout_ms": 300}).to_string();
            let answer = send(master, "POST", "/messages?w=2", &body).await?;
            ensure!(
                answer.status == 504 || answer.status == 400,
                "{}: {}",
                answer.status,
                answer.text()
            );
            let answer = send(master, "POST", "/messages?w=1", &body).await?;
            ensure!(answer.status == 200 || answer.status == 400);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_field_of_a_body_is_named_with_the_nearest_one() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env(ALLOW_FAULTS.0, ALLOW_FAULTS.1)
        .run(async |cluster| {
            let master = &cluster.master;
            for (path, body, parts) in [
                (
                    "/messages",
                    r#"{"content":"x","timeout":500}"#,
                    ["timeout", "timeout_ms"],
                ),
                (
                    "/messages",
                    r#"{"content":"x","w":1,"mesage_id":"a"}"#,
                    ["mesage_id", "message_id"],
                ),
                ("/messages", r#"{"content":"x","W":2}"#, ["W", "w"]),
                ("/append", r#"{"msg":"x","w":1,"ww":2}"#, ["ww", "w"]),
            ] {
                named(master, "POST", path, body, &parts).await?;
            }
            let parts = ["delay", "delay_ms"];
            let body = r#"{"delay":5}"#;
            named(cluster.secondary(1), "PUT", "/faults", body, &parts).await?;
            ensure!(shown(master).await?.is_empty(), "something was appended");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_variable_is_warned_of_with_the_nearest_one() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_DEFUALT_W", "1")
        .env("REPLOG_CLUSTRE", "other")
        // What Kubernetes puts into every container, for a service that is called replog-master.
        .env("REPLOG_MASTER_SERVICE_HOST", "10.0.0.1")
        .env("REPLOG_MASTER_SERVICE_PORT_HTTP", "8000")
        .env("REPLOG_MASTER_PORT", "tcp://10.0.0.1:8000")
        .env("REPLOG_MASTER_PORT_8000_TCP_ADDR", "10.0.0.1")
        .run(async |cluster| {
            cluster
                .post("they run all the same", 2)
                .await?
                .expect(200)?;
            for node in cluster.nodes() {
                let log = node.log_tail(1000);
                let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
                let warned = |names: [&str; 2]| {
                    let has_both = |line: &&str| names.iter().all(|name| line.contains(name));
                    warnings.iter().any(has_both)
                };
                ensure!(
                    warned(["REPLOG_DEFUALT_W", "REPLOG_DEFAULT_W"])
                        && warned(["REPLOG_CLUSTRE", "REPLOG_CLUSTER"]),
                    "{}: {log}",
                    node.name()
                );
                // The last is set for every node of this cluster, and known to one of the programs.
                for name in ["REPLOG_MASTER_", "REPLOG_RECOVERY_TIMEOUT"] {
                    let false_alarm = warnings.iter().find(|line| line.contains(name));
                    ensure!(false_alarm.is_none(), "{false_alarm:?}");
                }
            }
            Ok(())
        })
        .await;
}

/// Case 10: the number that was sent.
#[tokio::test]
async fn a_number_that_is_too_large_is_named_as_it_was_sent() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .run(async |cluster| {
            for w in [
                "3",
                "4294967296",
                "9007199254740993",
                "18446744073709551615",
            ] {
                let body = format!(r#"{{"content":"t","w":{w}}}"#);
                let parts = [w, "from 1 to 2"];
                named(&cluster.master, "POST", "/messages", &body, &parts).await?;
            }
            Ok(())
        })
        .await;
}

/// Cases 12b and 12d: headers that contradict one another, and a coding that is not understood.
#[tokio::test]
async fn headers_that_cannot_be_followed_are_refused() {
    let builder = Cluster::builder().secondaries(1).absent(1).listed(true);
    builder
        .run(async |cluster| {
            let http = cluster.master.http();
            let post = async |headers: &[(&str, &str)]| {
                let body = json!({"content": "x", "w": 1}).to_string();
                http.request(Method::POST, "/messages", headers, body.into())
                    .await
            };
            let key = "idempotency-key";
            refused(post(&[(key, "a1"), (key, "b2")]).await?, 400)?;
            refused(post(&[("content-encoding", "gzip")]).await?, 415)?;
            refused(post(&[("content-encoding", "br")]).await?, 415)?;
            ensure!(shown(&cluster.master).await?.is_empty());
            post(&[(key, "a1"), (key, "a1")]).await?.expect(200)?;
            post(&[("content-encoding", "identity")])
                .await?
                .expect(200)?;
            ensure!(shown(&cluster.master).await?.len() == 2);
            Ok(())
        })
        .await;
}
