//! Who may call with which token, on real nodes, as curl would try it.

use std::fs;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_service::http::tokens::TokenDigest;
use replog_tests::harness::{
    Answer, BrokerOptions, Cluster, ClusterBuilder, HttpClient, Node, Role, eventually,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::settings::{end_of, spec};
use crate::support::{SOON, health, wait_equal};

const ROLES: [&str; 3] = ["read", "append", "admin"];
/// A page that may call, and one that may not.
const ALLOWED: &str = "https://pages.example.com";
const STRANGER: &str = "https://evil.example";

/// Every node takes one token for each role, which is the role and this behind it.
const SECRET: &str = "-7b1f0c55d9";

fn with_tokens(builder: ClusterBuilder) -> ClusterBuilder {
    let variable = |role: &str| format!("REPLOG_TOKEN_{}", role.to_uppercase());
    ROLES.into_iter().fold(builder, |builder, role| {
        builder.env(&variable(role), &format!("{role}{SECRET}"))
    })
}

/// A client with the token of that role.
fn as_role(node: &Node, role: Option<&str>) -> HttpClient {
    let token = role.map(|role| format!("{role}{SECRET}"));
    node.http().with_token(token)
}

/// Refused as a problem, with that status and reason.
fn refused(answer: &Answer, status: u16, reason: &str) -> Result<()> {
    let problem: Value = answer.json()?;
    ensure!(
        answer.status == status && problem["reason"] == reason,
        "expected {status} {reason}: {answer:?}"
    );
    Ok(())
}

/// What every call answers to every role: the status that a role gets which may make the call, and the least such role.
#[tokio::test]
async fn each_role_makes_the_calls_that_it_may() {
    let of_both = [
        ("GET", "/livez", "", 200, None),
        ("GET", "/readyz", "", 200, None),
        ("GET", "/", "", 200, None),
        ("HEAD", "/", "", 200, None),
        ("GET", "/messages", "", 200, Some("read")),
        ("HEAD", "/messages", "", 200, Some("read")),
        ("OPTIONS", "/messages", "", 204, Some("read")),
        ("GET", "/messages/1", "", 200, Some("read")),
        ("GET", "/list", "", 200, Some("read")),
        ("GET", "/diverged", "", 200, Some("read")),
        ("GET", "/health", "", 200, Some("read")),
        ("GET", "/metrics", "", 200, Some("read")),
        ("GET", "/openapi.json", "", 200, Some("read")),
        ("GET", "/no/such/path", "", 404, Some("read")),
        ("PUT", "/messages", "", 405, Some("admin")),
        ("POST", "/no/such/path", "", 404, Some("admin")),
        // Not opened by the settings, which is looked at after the role.
        ("POST", "/clear", "", 403, Some("admin")),
    ];
    let of_master = [
        ("GET", "/members", "", 200, Some("read")),
        ("GET", "/backup", "", 200, Some("read")),
        (
            "POST",
            "/messages",
            r#"{"content":"a","w":1}"#,
            200,
            Some("append"),
        ),
        (
            "POST",
            "/append",
            r#"{"msg":"a","w":1}"#,
            200,
            Some("append"),
        ),
        // The role is looked at before the body.
        ("POST", "/messages", "no JSON", 400, Some("append")),
        ("DELETE", "/members/nobody", "", 404, Some("admin")),
    ];
    let of_secondary = [
        ("POST", "/messages", "{}", 405, Some("append")),
        ("GET", "/faults", "", 403, Some("read")),
        ("PUT", "/faults", "{}", 403, Some("admin")),
        ("POST", "/rejoin", "", 409, Some("admin")),
    ];
    let builder = with_tokens(Cluster::builder().secondaries(1).listed(true));
    builder
        .run(async |cluster| {
            cluster.post("first", 2).await?.expect(200)?;
            let secondary = cluster.secondary(1);
            let of_master = of_both.iter().chain(&of_master);
            let of_master = of_master.map(|call| (&cluster.master, call));
            let of_secondary = of_both.iter().chain(&of_secondary);
            let calls = of_master.chain(of_secondary.map(|call| (secondary, call)));
            for (node, (method, path, body, status, needed)) in calls {
                let method: Method = method.parse()?;
                let name = node.name();
                for role in [None].into_iter().chain(ROLES.map(Some)) {
                    let http = as_role(node, role);
                    let answer = http.request(method.clone(), path, &[], (*body).into());
                    let answer = answer.await?;
                    let rank = |role: &str| ROLES.iter().position(|one| *one == role);
                    let expected = match (role, needed) {
                        (None, Some(_)) => 401,
                        (Some(role), Some(needed)) if rank(role) < rank(needed) => 403,
                        _ => *status,
                    };
                    ensure!(
                        answer.status == expected,
                        "{method} {path} of {name} as {role:?}: expected {expected}: {answer:?}"
                    );
                    let challenge = answer.header("www-authenticate").unwrap_or_default();
                    let is_about_role = expected == 403 && *status != 403;
                    ensure!(
                        challenge.starts_with("Bearer ") || !(expected == 401 || is_about_role),
                        "{answer:?}"
                    );
                }
            }
            wait_equal(cluster).await.map(drop)
        })
        .await;
}

#[tokio::test]
async fn tokens_are_asked_for_after_the_site_and_in_place_of_the_host() {
    let builder = with_tokens(Cluster::builder().secondaries(1));
    let builder = builder.env("REPLOG_ALLOW_ORIGIN", ALLOWED);
    builder
        .run(async |cluster| {
            for node in cluster.nodes() {
                let get = async |role, headers: &[(&str, &str)]| {
                    let http = as_role(node, role);
                    http.request(Method::GET, "/messages", headers, "".into())
                        .await
                };
                // Whatever name somebody's DNS has pointed here: no page has the token.
                let elsewhere = &[("host", "log.example.com")];
                get(Some("read"), elsewhere).await?.expect(200)?;
                refused(&get(None, elsewhere).await?, 401, "missing_token")?;
                let stranger = &[("origin", STRANGER)];
                refused(&get(None, stranger).await?, 403, "cross_site")?;
                refused(&get(Some("admin"), stranger).await?, 403, "cross_site")?;
                let allowed = &[("origin", ALLOWED)];
                get(Some("read"), allowed).await?.expect(200)?;
                // The page has to see that it needs a token.
                let answer = get(None, allowed).await?;
                refused(&answer, 401, "missing_token")?;
                ensure!(answer.header("access-control-allow-origin") == Some(ALLOWED));
                for headers in [&[][..], allowed] {
                    let http = as_role(node, None);
                    let answer = http.request(Method::OPTIONS, "/messages", headers, "".into());
                    refused(&answer.await?, 401, "missing_token")?;
                }
                // Browsers ask in nobody's name whether the page may send one.
                for (origin, status) in [(ALLOWED, 200), (STRANGER, 403)] {
                    let asks = [
                        ("origin", origin),
                        ("access-control-request-method", "POST"),
                        ("access-control-request-headers", "authorization"),
                    ];
                    let http = as_role(node, None);
                    let answer = http.request(Method::OPTIONS, "/messages", &asks, "".into());
                    answer.await?.expect(status)?;
                }
            }
            Ok(())
        })
        .await;
}

fn line(role: &str, name: &str, token: &str) -> String {
    format!("{role} {name} {}\n", TokenDigest::of(token.as_bytes()))
}

async fn verbose(node: &Node) -> Result<String> {
    let answer = node.http().get("/readyz?verbose").await?.expect(200)?;
    Ok(answer.text())
}

#[tokio::test]
async fn a_tokens_file_is_read_again_and_one_that_is_broken_or_gone_opens_nothing() -> Result<()> {
    let dir = TempDir::new()?;
    let file = dir.path().join("tokens");
    fs::write(&file, line("append", "ci", "one"))?;
    let builder = Cluster::builder().secondaries(1).listed(true);
    let builder = builder
        .env("REPLOG_TOKEN_ADMIN", "operator")
        .env("REPLOG_TOKENS_FILE", &file.display().to_string());
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            let node = &cluster.master;
            let status = async |token: &str| -> Result<u16> {
                let http = node.http().with_token(Some(token.to_owned()));
                Ok(http.get("/health").await?.status)
            };
            ensure!((status("one").await?, status("two").await?) == (200, 401));
            ensure!(verbose(node).await?.contains("[+] tokens: 2 of them\n"));
            fs::write(&file, line("append", "ci", "two"))?;
            eventually("the new token to be taken", SOON, async || {
                ensure!((status("one").await?, status("two").await?) == (401, 200));
                Ok(())
            })
            .await?;
            for broken in [Some("read everybody in\n"), None] {
                match broken {
                    Some(text) => fs::write(&file, text)?,
                    None => fs::remove_file(&file)?,
                }
                eventually("the file to be missed", SOON, async || {
                    let said = verbose(node).await?;
                    let is_missed = said.contains("[-] tokens: those read before stay: ");
                    ensure!(is_missed && said.ends_with("\nready\n"), "{said}");
                    Ok(())
                })
                .await?;
                ensure!((status("one").await?, status("two").await?) == (401, 200));
            }
            fs::write(&file, line("append", "ci", "three"))?;
            eventually("the file to be read again", SOON, async || {
                ensure!((status("two").await?, status("three").await?) == (401, 200));
                ensure!(verbose(node).await?.contains("[+] tokens: 2 of them\n"));
                Ok(())
            })
            .await?;
            let log = node.log_tail(100);
            ensure!(log.contains("tokens cannot be read again"), "{log}");
            ensure!(!log.contains("everybody"), "what is in the file: {log}");
            Ok(())
        })
        .await;
    Ok(())
}

/// The client libraries' own lines are among those of `trace`.
#[tokio::test]
async fn names_are_in_the_log_and_secrets_are_not_at_any_level() {
    const PASSWORD: &str = "pw-3f9c27ab66";
    let user = format!("{{user: node, password: \"{PASSWORD}\"}}");
    let builder = with_tokens(Cluster::builder().secondaries(1).listed(true))
        .broker(BrokerOptions::default().users(&user))
        .env("NATS_USER", "node")
        .env("NATS_PASSWORD", PASSWORD)
        .env("REPLOG_ALLOW_CLEAR", "true")
        .env("RUST_LOG", "trace");
    builder
        .run(async |cluster| {
            cluster.post("a", 2).await?.expect(200)?;
            let cleared = as_role(&cluster.master, Some("admin"));
            cleared.post("/clear", &json!({})).await?.expect(200)?;
            let wrong = cluster
                .master
                .http()
                .with_token(Some(format!("wrong{SECRET}")));
            ensure!(wrong.get("/health").await?.status == 401);
            health(cluster.secondary(1)).await?;
            for node in cluster.nodes() {
                let log = eventually("its lines to be written", SOON, async || {
                    let log = node.log_tail(1_000_000);
                    let is_whole = log.contains(" TRACE ") && log.contains("(REPLOG_TOKEN_ADMIN)");
                    is_whole.then_some(log).context("no line names the token")
                })
                .await?;
                for secret in [SECRET, PASSWORD] {
                    let line = log.lines().find(|line| line.contains(secret));
                    ensure!(line.is_none(), "{} wrote {line:?}", node.name());
                }
            }
            let log = cluster.master.log_tail(1_000_000);
            let mut lines = log
                .lines()
                .filter(|line| line.contains("the log was cleared"));
            let line = lines
                .next()
                .context("no line says who has cleared the log")?;
            ensure!(line.contains("(REPLOG_TOKEN_ADMIN)"), "{line}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn without_tokens_others_than_this_machine_reach_no_node() -> Result<()> {
    for role in [Role::Master, Role::Secondary] {
        for addr in [
            "0.0.0.0:0",
            "[::]:0",
            "log1.example.com:8000",
            "10.1.2.3:8000",
        ] {
            let (code, said) = end_of(role, &["--http-addr", addr], &[]).await?;
            ensure!(code == 2 && said.lines().count() == 1, "{code}: {said}");
            for part in [
                "--http-addr (REPLOG_HTTP_ADDR)",
                addr,
                "--tokens-file",
                "--insecure",
            ] {
                ensure!(said.contains(part), "no {part:?}: {said}");
            }
        }
        // What makes no node is not asked for tokens: one of them makes the first.
        let (code, said) = end_of(
            role,
            &["completions", "bash"],
            &[("REPLOG_TLS_KEY", "/none")],
        )
        .await?;
        ensure!(code == 0, "{said}");
        for (env, part) in [
            (
                &[("REPLOG_TOKEN_READ", "x")][..],
                "a token as short as this one can be guessed",
            ),
            (
                &[("REPLOG_INSECURE", "true")],
                "whoever reaches this address may make every call",
            ),
        ] {
            let dir = tempfile::tempdir()?;
            let mut node = Node::reserve(spec(role, &dir, &["--http-addr", "0.0.0.0:0"], env))?;
            node.spawn()?;
            eventually("it to listen", SOON, async || {
                let log = node.log_tail(10);
                ensure!(log.contains(" listens ") && log.contains(part), "{log}");
                Ok(())
            })
            .await?;
            node.kill().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tokens_file_or_certificate_that_cannot_be_used_is_named() -> Result<()> {
    let dir = TempDir::new()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (twice, none) = (path("twice"), path("none"));
    fs::write(
        &twice,
        line("read", "a", "x") + "\n" + &line("admin", "b", "x"),
    )?;
    for (env, parts) in [
        (
            &[("REPLOG_TOKENS_FILE", twice.as_str())][..],
            &[
                "--tokens-file (REPLOG_TOKENS_FILE)",
                &twice,
                "line 3",
                "each token once",
            ][..],
        ),
        (
            &[("REPLOG_TOKENS_FILE", none.as_str())],
            &["--tokens-file", &none, "No such file"],
        ),
        (
            &[
                ("REPLOG_TOKEN_READ", "same-secret"),
                ("REPLOG_TOKEN_ADMIN", "same-secret"),
            ],
            &["REPLOG_TOKEN_ADMIN", "REPLOG_TOKEN_READ"],
        ),
        (
            &[("REPLOG_TOKEN_READ", "two words")],
            &["REPLOG_TOKEN_READ", "without blanks"],
        ),
        (
            &[("REPLOG_TLS_CERT", none.as_str())],
            &["--tls-cert (REPLOG_TLS_CERT)", "--tls-key beside it"],
        ),
        (
            &[("REPLOG_TLS_KEY", none.as_str())],
            &["--tls-key (REPLOG_TLS_KEY)", "--tls-cert beside it"],
        ),
        (
            &[
                ("REPLOG_TLS_CERT", twice.as_str()),
                ("REPLOG_TLS_KEY", none.as_str()),
            ],
            &["--tls-key (REPLOG_TLS_KEY)", &none, "No such file"],
        ),
        (
            &[
                ("REPLOG_TLS_CERT", twice.as_str()),
                ("REPLOG_TLS_KEY", twice.as_str()),
            ],
            &[
                "--tls-cert (REPLOG_TLS_CERT)",
                &twice,
                "no certificate in PEM",
            ],
        ),
    ] {
        for role in [Role::Master, Role::Secondary] {
            let (code, said) = end_of(role, &[], env).await?;
            ensure!(
                code == 2 && said.lines().count() == 1,
                "{code} for {env:?}: {said}"
            );
            for part in parts {
                ensure!(said.contains(part), "no {part:?} for {env:?}: {said}");
            }
            ensure!(
                !said.contains("same-secret") && !said.contains("two words"),
                "{said}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_made_is_let_in_by_the_line_that_was_made_with_it() -> Result<()> {
    let args = ["token", "--role", "read", "--name", "a.reader"];
    // As in an image, whose address is not loopback.
    let (code, said) = end_of(Role::Master, &args, &[("REPLOG_HTTP_ADDR", "0.0.0.0:8000")]).await?;
    ensure!(code == 0, "{said}");
    let (token, its_line) = said.trim_end().split_once('\n').context("no two lines")?;
    let dir = TempDir::new()?;
    let file = dir.path().join("tokens");
    fs::write(&file, its_line)?;
    for wrong in [
        &["token", "--role", "reader", "--name", "a"][..],
        &["token", "--role", "read", "--name", "a b"],
    ] {
        ensure!(end_of(Role::Master, wrong, &[]).await?.0 == 2);
    }
    let builder = Cluster::builder().env("REPLOG_TOKENS_FILE", &file.display().to_string());
    builder
        .run(async |cluster| {
            let http = cluster.master.http().with_token(Some(token.to_owned()));
            http.get("/health").await?.expect(200)?;
            let answer = http.post("/messages", &Value::Null).await?;
            refused(&answer, 403, "insufficient_role")?;
            ensure!(answer.text().contains("a.reader"), "{answer:?}");
            Ok(())
        })
        .await;
    Ok(())
}
