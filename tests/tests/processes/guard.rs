//! Who may call: a host that is this node's, and pages that are its own or allowed.

use anyhow::{Result, ensure};
use hyper::Method;
use replog_tests::harness::{Answer, Cluster, Node, RawConnection};
use serde_json::Value;

use crate::support::shown;

const PAGES: &str = "https://pages.example.com";

async fn ask(node: &Node, method: Method, headers: &[(&str, &str)]) -> Result<Answer> {
    let body = match method {
        Method::POST => r#"{"content":"x","w":1}"#.into(),
        _ => "".into(),
    };
    let http = node.http();
    http.request(method, "/messages", headers, body).await
}

/// Refused as a problem, with that status and reason.
fn refused(answer: &Answer, status: u16, reason: &str) -> Result<()> {
    let problem: Value = answer.json()?;
    ensure!(
        answer.status == status && problem["reason"] == reason,
        "{answer:?}"
    );
    Ok(())
}

/// What is answered to a request with that head, of which only the body is awaited.
async fn ask_raw(node: &Node, head: &str) -> Result<String> {
    let mut client = RawConnection::open(node.addr()).await?;
    client
        .send(&format!("{head}Connection: close\r\n\r\n"))
        .await?;
    client.read_to_end().await
}

#[tokio::test]
async fn a_request_for_somebody_else_is_not_answered() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            for node in cluster.nodes() {
                for (head, status, reason) in [
                    ("GET /livez HTTP/1.1\r\n", 400, "missing_host"),
                    ("GET /livez HTTP/1.0\r\n", 400, "missing_host"),
                    ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", 400, "several_hosts"),
                    ("GET /livez HTTP/1.1\r\nHost: a/b\r\n", 400, "invalid_host"),
                    ("GET /livez HTTP/1.1\r\nHost: evil.example\r\n", 421, "misdirected"),
                    ("GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n", 421, "misdirected"),
                    // Before anything else is looked at: the path, the method, the body.
                    ("PUT /nothing HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 99999999\r\n", 421, "misdirected"),
                    ("POST /messages HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 99999999\r\n", 421, "misdirected"),
                ] {
                    let answer = ask_raw(node, head).await?;
                    let is_refused = answer.starts_with(&format!("HTTP/1.1 {status} "))
                        || answer.starts_with(&format!("HTTP/1.0 {status} "));
                    ensure!(is_refused && answer.contains(reason), "{head:?}: {answer}");
                    ensure!(answer.contains("\r\nx-request-id: "), "{answer}");
                }
                for host in ["localhost:1", "a.localhost", node.name(), "127.0.0.1", "[::1]:8000"] {
                    let head = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n");
                    let answer = ask_raw(node, &head).await?;
                    ensure!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
                    ensure!(!answer.to_ascii_lowercase().contains("\r\nserver:"), "{answer}");
                }
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_page_of_another_site_may_not_call() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            let own = format!("http://{}", cluster.master.addr());
            let other = format!("http://{}", cluster.secondary(1).addr());
            for headers in [
                &[("origin", "null")][..],
                &[("origin", "https://evil.example")],
                &[("origin", PAGES)],
                &[("origin", &other)],
                &[("sec-fetch-site", "cross-site")],
                &[("origin", &own), ("sec-fetch-site", "same-site")],
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("sec-fetch-mode", "navigate"),
                ],
            ] {
                for method in [Method::POST, Method::OPTIONS] {
                    let answer = ask(&cluster.master, method, headers).await?;
                    refused(&answer, 403, "cross_site")?;
                    ensure!(!answer.headers.contains_key("access-control-allow-origin"));
                }
            }
            ensure!(
                shown(&cluster.master).await?.is_empty(),
                "appended by a stranger"
            );
            let headers = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
            ask(&cluster.master, Method::POST, &headers)
                .await?
                .expect(200)?;
            let link = [
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ];
            ask(&cluster.master, Method::GET, &link)
                .await?
                .expect(200)?;
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn an_allowed_origin_calls() {
    let origins = format!("http://localhost:3000, {PAGES}");
    let builder = Cluster::builder()
        .secondaries(1)
        .env("REPLOG_ALLOW_ORIGIN", &origins);
    builder
        .run(async |cluster| {
            let header = |answer: &Answer, name: &str| -> Result<String> {
                let values: Vec<_> = answer.headers.get_all(name).iter().collect();
                ensure!(!values.is_empty(), "no {name}: {answer:?}");
                let values: Vec<&str> = values
                    .iter()
                    .map(|v| v.to_str())
                    .collect::<Result<_, _>>()?;
                Ok(values.join(",").to_ascii_lowercase())
            };
            let asks = [
                ("origin", PAGES),
                ("sec-fetch-site", "cross-site"),
                ("access-control-request-method", "POST"),
                (
                    "access-control-request-headers",
                    "content-type,idempotency-key",
                ),
            ];
            for node in cluster.nodes() {
                let preflight = ask(node, Method::OPTIONS, &asks).await?.expect(200)?;
                ensure!(header(&preflight, "access-control-allow-origin")? == PAGES);
                ensure!(
                    header(&preflight, "access-control-allow-methods")? == "get,post,put,delete"
                );
                let headers = header(&preflight, "access-control-allow-headers")?;
                let expected =
                    "authorization,content-type,idempotency-key,last-event-id,x-request-id";
                ensure!(headers == expected, "{headers}");
                ensure!(preflight.body.is_empty());
            }

            let page = &asks[..2];
            let posted = ask(&cluster.master, Method::POST, page)
                .await?
                .expect(200)?;
            ensure!(header(&posted, "access-control-allow-origin")? == PAGES);
            let exposed = header(&posted, "access-control-expose-headers")?;
            ensure!(
                exposed == "location,link,etag,x-request-id,replog-log-id",
                "{exposed}"
            );
            ensure!(header(&posted, "vary")?.contains("origin"));
            // An error can be read by the page too; and whoever has no origin gets an answer that is not kept for a page.
            let http = cluster.master.http();
            let wrong = http.request(Method::POST, "/nothing", page, "".into());
            let wrong = wrong.await?.expect(404)?;
            ensure!(header(&wrong, "access-control-allow-origin")? == PAGES);
            let plain = ask(&cluster.master, Method::GET, &[]).await?.expect(200)?;
            ensure!(header(&plain, "vary")?.contains("origin"));
            ensure!(!plain.headers.contains_key("access-control-allow-origin"));

            // The others may not, nor the same host by another scheme or port; but the host itself is taken.
            for origin in [
                "http://pages.example.com",
                "https://pages.example.com:1",
                "null",
            ] {
                let answer = ask(&cluster.master, Method::POST, &[("origin", origin)]).await?;
                refused(&answer, 403, "cross_site")?;
            }
            let head = "GET /livez HTTP/1.1\r\nHost: pages.example.com\r\n";
            let answer = ask_raw(&cluster.master, head).await?;
            ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn an_origin_that_is_none_ends_the_program() {
    Cluster::builder()
        .run(async |cluster| {
            cluster.master.kill().await?;
            for wrong in ["*", "https://a.b/", "a.b", "https://a.b,,https://c.d"] {
                let name = "REPLOG_ALLOW_ORIGIN";
                let env = &mut cluster.master.spec_mut().env;
                env.retain(|(known, _)| known != name);
                env.push((name.into(), wrong.into()));
                cluster.master.spawn()?;
                let code = cluster.master.exited().await?;
                let said = cluster.master.log_tail(1);
                let says = said.contains("--allow-origin") && said.contains("http or https");
                ensure!(code == 2 && says, "{wrong}: {code}: {said}");
            }
            Ok(())
        })
        .await;
}
