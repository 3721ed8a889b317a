//! What the programs say of their own calls (`GET /openapi.json`), and whether that is so.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_service::http::openapi::answers::{Entry, MessageList};
use replog_service::http::openapi::refusals::{ProblemDetails, Reason};
use replog_tests::harness::{Answer, Cluster, Node};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::streams::Stream;
use crate::support::{ALLOW_CLEAR, ALLOW_FAULTS};

/// A call, as the description has it.
struct Call {
    method: Method,
    path: String,
    operation: Value,
}

async fn description(node: &Node) -> Result<Value> {
    let answer = node.http().get("/openapi.json").await?.expect(200)?;
    ensure!(answer.header("content-type") == Some("application/json"));
    answer.json()
}

fn calls(description: &Value) -> Result<Vec<Call>> {
    let paths = description["paths"].as_object().context("paths")?;
    let calls = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(|(method, operation)| {
            Ok(Call {
                method: method.to_uppercase().parse()?,
                path: path.clone(),
                operation: operation.clone(),
            })
        })
    });
    calls.collect()
}

fn parsed<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    serde_json::from_slice(&answer.body).with_context(|| answer.text())
}

/// Every `$ref` in it.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(elements) => elements.iter().for_each(|each| references(each, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_whole_and_every_call_in_it_is_taken() {
    let builder = Cluster::builder()
        .secondaries(1)
        .env(ALLOW_FAULTS.0, ALLOW_FAULTS.1);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            for node in cluster.nodes() {
                let description = description(node).await?;
                ensure!(
                    description["openapi"] == "3.1.0",
                    "{}",
                    description["openapi"]
                );
                let mut found = Vec::new();
                references(&description, &mut found);
                ensure!(found.len() > 50, "{} references", found.len());
                for reference in found {
                    let pointer = reference.strip_prefix('#').context("elsewhere")?;
                    ensure!(
                        description.pointer(pointer).is_some(),
                        "{reference} leads nowhere"
                    );
                }
                let mut ids = BTreeSet::new();
                for Call {
                    method,
                    path,
                    operation,
                } in calls(&description)?
                {
                    let called = format!("{method} {path} of {}", node.name());
                    let id = operation["operationId"].as_str().context("an id")?;
                    ensure!(ids.insert(id.to_owned()), "{called}: {id} is there twice");
                    ensure!(operation["summary"].is_string(), "{called} says nothing");
                    ensure!(operation["tags"][0].is_string(), "{called} has no tag");
                    let refusal = &operation["responses"]["400"]["$ref"];
                    ensure!(refusal == "#/components/responses/BadRequest", "{called}");
                    // Streams do not end, and HEAD is answered as GET is.
                    let method = if method == Method::GET {
                        Method::HEAD
                    } else {
                        method
                    };
                    let path = path.replace("{seq}", "1").replace("{id}", "secondary1");
                    let http = node.http();
                    let answer = http.request(method, &path, &[], "".into()).await?;
                    ensure!(
                        ![404, 405].contains(&answer.status),
                        "{called}: {}",
                        answer.status
                    );
                    let status = answer.status.to_string();
                    ensure!(
                        !operation["responses"][&status].is_null(),
                        "{called}: {status}"
                    );
                }
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn options_and_refused_methods_say_what_a_path_takes() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            for node in cluster.nodes() {
                let http = node.http();
                let mut paths = BTreeSet::from(["/append".to_owned()]);
                let described = calls(&description(node).await?)?;
                paths.extend(described.iter().map(|call| call.path.clone()));
                for path in paths {
                    let of_path = described.iter().filter(|call| call.path == path);
                    let mut expected: BTreeSet<_> =
                        of_path.map(|call| call.method.as_str()).collect();
                    if expected.contains("GET") {
                        expected.insert("HEAD");
                    }
                    expected.insert("OPTIONS");
                    let path = path.replace("{seq}", "1").replace("{id}", "secondary1");
                    for (method, status) in [(Method::OPTIONS, 204), (Method::PATCH, 405)] {
                        let answer = http
                            .request(method, &path, &[], "".into())
                            .await?
                            .expect(status)?;
                        let allow = answer.header("allow").context("no Allow")?;
                        let allowed: BTreeSet<_> = allow.split(',').map(str::trim).collect();
                        ensure!(allowed == expected, "{path} of {}: {allow}", node.name());
                        if status == 405 {
                            let problem: ProblemDetails = parsed(&answer)?;
                            ensure!(problem.reason == Reason::MethodNotAllowed, "{problem:?}");
                        }
                    }
                }
                let nothing = http
                    .request(Method::OPTIONS, "/nothing", &[], "".into())
                    .await?;
                let problem: ProblemDetails = parsed(&nothing.expect(404)?)?;
                ensure!(problem.reason == Reason::NotFound, "{problem:?}");
            }
            let http = cluster.secondary(1).http();
            let append = http.request(Method::POST, "/append", &[], "".into());
            let problem: ProblemDetails = parsed(&append.await?.expect(405)?)?;
            ensure!(
                problem.detail.contains("the master takes appends"),
                "{problem:?}"
            );
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn answers_that_are_written_by_hand_are_as_described() {
    let builder = Cluster::builder()
        .secondaries(1)
        .env(ALLOW_CLEAR.0, ALLOW_CLEAR.1);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            let (master, secondary) = (cluster.master.http(), cluster.secondary(1).http());
            for node in [&master, &secondary] {
                for path in ["/messages", "/messages?committed=1&from=7"] {
                    let list: MessageList = parsed(&node.get(path).await?.expect(200)?)?;
                    ensure!(list.last_seq.0 == 1 && list.log_id.is_some(), "{list:?}");
                    ensure!(
                        list.committed_seq.is_some() == path.contains("committed"),
                        "{list:?}"
                    );
                }
                let late = node.get("/messages?min_seq=2&committed=all").await?;
                let problem: ProblemDetails = parsed(&late.expect(504)?)?;
                ensure!(problem.reason == Reason::Timeout, "{problem:?}");
                let problem: ProblemDetails = parsed(&node.get("/messages/9").await?.expect(404)?)?;
                ensure!(problem.reason == Reason::NotFound, "{problem:?}");
                let lines = [("accept", "application/x-ndjson")];
                let lines = node
                    .request(Method::GET, "/messages", &lines, "".into())
                    .await?;
                let entry: Entry = parsed(&lines)?;
                ensure!(entry.content == "one", "{entry:?}");
            }
            let entry: Entry = parsed(&secondary.get("/messages/1").await?.expect(200)?)?;
            ensure!(entry.seq.0 == 1, "{entry:?}");
            let mut stream = Stream::open(cluster.master.addr(), "/messages/stream", &[]).await?;
            stream.next("data: ").await?;
            let data = stream.next("\n").await?.context("an event")?;
            let entry: Entry = serde_json::from_str(&data)?;
            ensure!(entry.content == "one", "{entry:?}");

            let (path, accept) = ("/messages", [("accept", "text/html")]);
            let refused = master
                .request(Method::GET, path, &accept, "".into())
                .await?;
            let problem: ProblemDetails = parsed(&refused.expect(406)?)?;
            ensure!(problem.offered.is_some_and(|forms| forms.len() == 2));
            let lines = [("content-type", "application/x-ndjson")];
            for (body, headers, status) in [
                (r#"{"content":"x","w":9,"timeout_ms":0}"#, &[][..], 504),
                (r#"{"content":"x","expected_seq":9}"#, &[], 412),
                (r#"[{"content":"x"},{"contents":"y"}]"#, &[], 400),
                ("{\"content\":\"x\"}\n{\"contents\":\"y\"}\n", &lines, 400),
            ] {
                let answer = master
                    .request(Method::POST, path, headers, body.into())
                    .await?;
                let problem: ProblemDetails = parsed(&answer.expect(status)?)?;
                ensure!(problem.status == status, "{problem:?}");
            }
            Ok(())
        })
        .await;
}
