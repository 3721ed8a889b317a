//! The traffic on the broker, a line a message, for people without the `nats` CLI.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use replog_nats::{Credentials, LinkOptions, without_user_info};
use serde_json::Value;
use tokio::time::timeout;

use super::asked_to_stop;

/// How much of a content is shown.
const MAX_SHOWN_CHARS: usize = 40;
/// Longer lines are cut.
const MAX_LINE_CHARS: usize = 400;
/// How long a message to itself is waited for.
const ECHO_WITHIN: Duration = Duration::from_secs(1);
/// Secondaries whose last words are remembered.
const MAX_REMEMBERED: usize = 1_000;

/// What to watch.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Brokers of one NATS cluster, comma separated; who to be comes from the NATS_ variables.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    nats_url: String,
    /// The log to watch.
    #[arg(long, env = "REPLOG_CLUSTER", default_value = "default")]
    cluster: String,
    /// Heartbeats and the answers to them too.
    #[arg(long)]
    all: bool,
}

/// `demo watch`: until it is asked to stop.
pub(super) async fn run(args: Args) -> Result<()> {
    let credentials = Credentials::from_variables(|name| std::env::var(name).ok())?;
    let mut traffic = Traffic::open(&args.nats_url, credentials, &args.cluster, args.all).await?;
    println!("watching replog.{}.> (Ctrl-C ends it)", args.cluster);
    let mut stop = std::pin::pin!(asked_to_stop());
    loop {
        tokio::select! {
            stopped = &mut stop => return stopped,
            line = traffic.next() => match line {
                Some(line) => println!("{line}"),
                None => bail!("the connection to the broker has ended"),
            },
        }
    }
}

/// The messages of one cluster as lines.
pub(super) struct Traffic {
    _client: Client,
    messages: Subscriber,
    said: LastSaid,
    shows_all: bool,
}

/// What each secondary has acknowledged last: an ACK that says the same again answers a heartbeat.
#[derive(Debug, Default)]
struct LastSaid(BTreeMap<String, String>);

impl Traffic {
    /// Listens to what is said from now on.
    pub(super) async fn open(
        urls: &str,
        credentials: Credentials,
        cluster: &str,
        shows_all: bool,
    ) -> Result<Self> {
        let parsed: Result<Vec<_>, _> = urls.split(',').map(str::parse).collect();
        let options = LinkOptions {
            urls: parsed.with_context(|| without_user_info(urls))?,
            credentials,
            name: "replog-watch".to_owned(),
            cluster: cluster.to_owned(),
            subscriptions: Vec::new(),
            publishes: Vec::new(),
            service: None,
        };
        let addresses: Vec<&str> = options.urls.iter().map(|url| url.address()).collect();
        let client = options.connect_options()?.connect(&addresses).await;
        let client = client.with_context(|| without_user_info(urls))?;
        let messages = client.subscribe(format!("replog.{cluster}.>")).await?;
        // Whoever is told that it watches misses nothing from then on: the broker reads in order, so what comes back from there
        // was sent after the subscription was made. One that may publish nothing is told by the clock.
        let inbox = client.new_inbox();
        let mut echo = client.subscribe(inbox.clone()).await?;
        client.publish(inbox, Bytes::new()).await?;
        let _timed_out = timeout(ECHO_WITHIN, echo.next()).await;
        Ok(Self {
            _client: client,
            messages,
            said: LastSaid::default(),
            shows_all,
        })
    }

    /// The next message that is worth a line; `None` when the connection is gone for good.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            let message = self.messages.next().await?;
            let line = self
                .said
                .line(&message.subject, &message.payload, self.shows_all);
            if let Some(line) = line {
                return Some(format!("{} {line}", time_of_day()));
            }
        }
    }
}

impl LastSaid {
    /// A message as a line, if it is worth one.
    fn line(&mut self, subject: &str, payload: &[u8], shows_all: bool) -> Option<String> {
        let mut tokens = subject.split('.').skip(2);
        let (kind, node) = (tokens.next()?, tokens.next().unwrap_or_default());
        let last = tokens.next().unwrap_or_default();
        let body: Value = match serde_json::from_slice(payload) {
            Ok(body) => body,
            Err(_) => {
                return Some(visible(&format!(
                    "{subject}: no message of a replicated log"
                )));
            }
        };
        let arrow = match kind {
            "append" | "heartbeat" | "prepare" | "fetch" => format!("master -> {node}"),
            "announce" => "master -> all".to_owned(),
            "event" => format!("{node} -> whoever watches"),
            _ => format!("{node} -> master"),
        };
        let text = match kind {
            "append" => appended(&body),
            "heartbeat" if !shows_all => return None,
            "heartbeat" => format!(
                "the log ends at {}, {} committed",
                body["tail"], body["commit"]
            ),
            "ack" => {
                let said = visible(&acknowledged(&body, last));
                if self.is_said_again(node, &said) && !shows_all {
                    return None;
                }
                said
            }
            "prepare" => format!(
                "follow nobody below epoch {}; what do you hold?",
                body["epoch"]
            ),
            "promise" => format!(
                "promised; I hold up to {} of epoch {}",
                body["last"]["seq"], body["last"]["epoch"]
            ),
            "fetch" => format!("send what follows {}", body["prev"]["seq"]),
            "fetched" => format!(
                "{} entries after {}",
                entries(&body).len(),
                body["prev"]["seq"]
            ),
            "claim" => "is anybody there who has this name?".to_owned(),
            "announce" => format!("{}, epoch {}", text(&body["kind"]), body["epoch"]),
            "event" => format!("{last}: {}", without_head(&body)),
            _ => body.to_string(),
        };
        Some(visible(&format!("{kind:<9} {arrow:<24} {text}")))
    }

    fn is_said_again(&mut self, node: &str, said: &str) -> bool {
        if self.0.get(node).is_some_and(|before| before == said) {
            return true;
        }
        if self.0.len() < MAX_REMEMBERED || self.0.contains_key(node) {
            self.0.insert(node.to_owned(), said.to_owned());
        }
        false
    }
}

fn appended(body: &Value) -> String {
    let entries = entries(body);
    let first = entries.first().map_or(&Value::Null, |entry| &entry["seq"]);
    let content = entries.first().map_or("", |entry| text(&entry["content"]));
    let shown: String = content.chars().take(MAX_SHOWN_CHARS).collect();
    let more = if shown.len() < content.len() {
        "…"
    } else {
        ""
    };
    match entries.len() {
        1 => format!("entry {first}: {shown:?}{more}"),
        n => format!(
            "entries {first} to {} ({n}): {shown:?}{more}, …",
            body["seq"]
        ),
    }
}

fn acknowledged(body: &Value, of: &str) -> String {
    let mut said = format!("holds everything up to {}", body["seq"]);
    if !body["held_from"].is_null() {
        said += &format!(", holds back from {}", body["held_from"]);
    }
    if !body["damaged"].is_null() {
        said += &format!(", cannot read {}", body["damaged"]);
    }
    if !body["error"].is_null() {
        said += &format!(", error: {}", text(&body["error"]));
    }
    match of {
        "hello" | "goodbye" => format!("{of}: {said}"),
        _ => said,
    }
}

/// What an event says beside what every message says.
fn without_head(event: &Value) -> String {
    const HEAD: [&str; 5] = ["kind", "v", "at_ms", "log_id", "instance"];
    let fields = event.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !HEAD.contains(&name.as_str()));
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    fields.join(", ")
}

fn entries(body: &Value) -> &[Value] {
    body["entries"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// Whatever was published, it does nothing to a terminal.
fn visible(line: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    line.chars().take(MAX_LINE_CHARS).map(shown).collect()
}

/// The time in UTC, to the millisecond.
fn time_of_day() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (s, ms) = (since.as_secs() % 86_400, since.subsec_millis());
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_line_and_what_is_said_again_is_none() {
        let mut said = LastSaid::default();
        let mut line = |subject: &str, payload: &str| said.line(subject, payload.as_bytes(), false);
        let append = r#"{"kind":"append","seq":4,"entries":[{"seq":3,"content":"a\u001b[1m"},{"seq":4,"content":"b"}]}"#;
        assert_eq!(
            line("replog.default.append.s1", append).expect("a line"),
            r#"append    master -> s1             entries 3 to 4 (2): "a\u{1b}[1m", …"#
        );
        let ack = r#"{"kind":"ack","seq":4,"held_from":9}"#;
        let expected =
            "ack       s1 -> master             holds everything up to 4, holds back from 9";
        assert_eq!(
            line("replog.default.ack.s1.4", ack).expect("a line"),
            expected
        );
        assert_eq!(line("replog.default.ack.s1.4", ack), None);
        assert!(line("replog.default.ack.s2.4", ack).is_some());
        assert_eq!(line("replog.default.heartbeat.s1", "{}"), None);
        let event = r#"{"kind":"unhealthy","node":"s1","from":"suspected","v":2}"#;
        assert_eq!(
            line("replog.default.event.master.unhealthy", event).expect("a line"),
            r#"event     master -> whoever watches unhealthy: from "suspected", node "s1""#
        );
        assert!(
            line("replog.default.append.\u{1b}", "no")
                .expect("a line")
                .contains("no message")
        );
        assert!(
            !line("replog.default.append.\u{1b}", "no")
                .expect("a line")
                .contains('\u{1b}')
        );
    }
}
