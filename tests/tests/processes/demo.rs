//! The demo, played by its commands as somebody would at a terminal.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use replog_tests::harness::{HttpClient, eventually};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::SOON;

struct Demo {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// With those variables besides.
    fn start_with(variables: &[(&str, &str)]) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(["--secondaries", "1"])
            .env_remove("NATS_URL")
            .env_remove("REPLOG_SECONDARIES")
            .env_remove("REPLOG_DATA_DIR")
            .env_remove("REPLOG_CLUSTER")
            .env("REPLOG_HEARTBEAT_INTERVAL", "100ms")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("its input")?;
        let output = child.stdout.take().context("its output")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        })
    }

    async fn types(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Reads on until a line contains that; the line.
    async fn until(&mut self, part: &str) -> Result<String> {
        self.line(part, |line| line.contains(part)).await
    }

    /// Reads on to the row of a node in the table.
    async fn row(&mut self, node: &str) -> Result<String> {
        self.line(node, |line| line.split_whitespace().next() == Some(node))
            .await
    }

    async fn line(&mut self, part: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        let found = timeout(SOON, async {
            while let Some(line) = self.output.next_line().await? {
                if is_it(&line) {
                    return Ok(line);
                }
            }
            bail!("the demo ended before it said {part:?}")
        });
        found
            .await
            .with_context(|| format!("waiting for {part:?}"))?
    }
}

fn client(row: &str) -> Result<HttpClient> {
    let url = row.split_whitespace().nth(1).context("an address")?;
    let addr = url.strip_prefix("http://").context("a URL")?;
    Ok(HttpClient::new(addr.parse()?))
}

#[tokio::test]
async fn a_write_waits_for_a_node_that_was_killed_until_it_is_started_again() -> Result<()> {
    let mut demo = Demo::start()?;
    let master = client(&demo.row("master").await?)?;
    let secondary = client(&demo.row("secondary1").await?)?;
    demo.until("Ctrl-C stops all").await?;

    demo.types("watch").await?;
    demo.until("watching what goes over the broker").await?;
    master
        .post("/messages", &json!({"content": "one"}))
        .await?
        .expect(200)?;
    let line = demo.until("append ").await?;
    ensure!(
        line.contains("master -> secondary1") && line.contains("entry 1: \"one\""),
        "{line}"
    );
    demo.until("holds everything up to 1").await?;
    demo.types("watch").await?;
    demo.until("no longer watching").await?;

    demo.types("kill secondary1").await?;
    demo.until("secondary1: killed").await?;
    demo.types("status").await?;
    let row = demo.row("secondary1").await?;
    ensure!(row.trim_end().ends_with("killed"), "{row}");
    demo.types("kill secondary1").await?;
    demo.until("secondary1 does not run").await?;
    let waits = master.post_pending("/messages", &json!({"content": "two", "w": 2}));
    // It has its place before the next one comes.
    master.get("/messages?from=2&wait=30s").await?.expect(200)?;
    master
        .post("/messages", &json!({"content": "three", "w": 1}))
        .await?
        .expect(200)?;
    ensure!(waits.is_pending());
    demo.types("start secondary1").await?;
    demo.until("secondary1: started").await?;
    waits.answer().await?.expect(200)?;

    demo.types("pause secondary1").await?;
    demo.until("secondary1: paused").await?;
    demo.types("status").await?;
    let row = demo.row("secondary1").await?;
    ensure!(row.trim_end().ends_with("paused"), "{row}");
    demo.types("resume secondary1").await?;
    demo.until("secondary1: goes on").await?;
    let patient = secondary.with_deadline(Duration::from_secs(1));
    eventually("the list on the secondary", SOON, async || {
        let list = patient.get("/list").await?.expect(200)?.text();
        ensure!(list == "(0, 'one')\n(1, 'two')\n(2, 'three')\n", "{list}");
        Ok(())
    })
    .await?;

    demo.types("stop secondary1").await?;
    demo.until("there is no command \"stop\"").await?;
    demo.types("kill nobody").await?;
    demo.until("there is no node \"nobody\"; these are: master, secondary1, nats")
        .await?;
    demo.types("quit").await?;
    demo.until("stopping").await?;
    let status = timeout(SOON, demo.child.wait()).await??;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The demo's own calls show the token, and what it prints shows where the token is, never the token.
#[tokio::test]
async fn with_tokens_it_asks_its_nodes_as_their_operator() -> Result<()> {
    const SECRET: &str = "op-51c0ae";
    let mut demo = Demo::start_with(&[("REPLOG_TOKEN_ADMIN", SECRET)])?;
    let row = demo.row("master").await?;
    ensure!(row.trim_end().ends_with("ok"), "{row}");
    let master = client(&row)?;
    let line = demo.until("curl ").await?;
    let header = r#"-H "Authorization: Bearer $REPLOG_TOKEN_ADMIN""#;
    ensure!(line.contains(header) && !line.contains(SECRET), "{line}");
    demo.until("Ctrl-C stops all").await?;
    let body = json!({"content": "one", "w": 2});
    ensure!(master.post("/messages", &body).await?.status == 401);
    let operator = master.with_token(Some(SECRET.to_owned()));
    operator.post("/messages", &body).await?.expect(200)?;
    demo.types("status").await?;
    let row = demo.row("secondary1").await?;
    ensure!(row.trim_end().ends_with("healthy"), "{row}");
    demo.types("quit").await?;
    let status = timeout(SOON, demo.child.wait()).await??;
    ensure!(status.success(), "{status}");
    Ok(())
}
