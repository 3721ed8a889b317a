//! Looking over the broker's shoulder, and speaking out of turn: a NATS client that is none of the nodes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use replog_tests::harness::NatsServer;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::SOON;

/// Sees everything on `replog.>`.
pub(crate) struct Watch {
    client: Client,
    inbox: Subscriber,
    /// The subject by which it knows that it has seen everything.
    mark: String,
    /// The number of the latest mark.
    marks: u64,
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Without `replog.<cluster>.`
    pub(crate) about: String,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Seen {
    /// Whether it is `<kind>.<node>`, or an ACK of that node.
    pub(crate) fn is(&self, kind: &str, node: &str) -> bool {
        let mut tokens = self.about.split('.');
        tokens.next() == Some(kind) && tokens.next() == Some(node)
    }

    /// The same message with other values in some of its fields; a null takes the field out. Entries that are not changed
    /// stay as they are, byte for byte: in another form they would be refused whatever else the message says.
    pub(crate) fn with(&self, changes: &[(&str, Value)]) -> String {
        let entries = self.text.split_once(r#""entries":"#);
        let entries = entries.and_then(|(_, rest)| rest.rsplit_once(r#","at_ms":"#));
        let mut json = self.json.clone();
        let fields = json.as_object_mut().expect("a message is an object");
        if entries.is_some() {
            fields.remove("entries");
        }
        let mut is_new = false;
        for (field, value) in changes {
            is_new |= *field == "entries";
            match value {
                Value::Null => fields.remove(*field),
                value => fields.insert((*field).to_owned(), value.clone()),
            };
        }
        let line = json.to_string();
        match (entries, line.strip_suffix('}')) {
            (Some((entries, _)), Some(open)) if !is_new => {
                format!(r#"{open},"entries":{entries}}}"#)
            }
            _ => line,
        }
    }

    /// Whether it is to a secondary of that name.
    pub(crate) fn is_to(&self, node: &str) -> bool {
        self.is("append", node) || self.is("heartbeat", node)
    }
}

impl Watch {
    /// From the moment this returns nothing is missed.
    pub(crate) async fn of(broker: &NatsServer) -> Result<Self> {
        let client = timeout(SOON, async_nats::connect(broker.url())).await??;
        Self::over(&client.clone(), client, "replog.watch.mark").await
    }

    /// The same where whoever looks on may say nothing: `speaker` does, and may publish to `mark`.
    pub(crate) async fn over(onlooker: &Client, speaker: Client, mark: &str) -> Result<Self> {
        let mut watch = Self {
            client: speaker,
            inbox: onlooker.subscribe("replog.>").await?,
            mark: mark.to_owned(),
            marks: 0,
        };
        // What another connection says may overtake the subscription: it is there when something has come.
        let subscribed = async {
            loop {
                watch.say_mark().await?;
                if let Ok(first) = timeout(Duration::from_millis(100), watch.inbox.next()).await {
                    break first.context("the watch has ended");
                }
            }
        };
        timeout(SOON, subscribed).await??;
        watch.so_far().await?;
        Ok(watch)
    }

    /// Publishes anything anywhere.
    pub(crate) async fn say(&self, subject: &str, payload: impl Into<Bytes>) -> Result<()> {
        self.client
            .publish(subject.to_owned(), payload.into())
            .await
            .context("publish")
    }

    /// Everything that has passed the broker by now.
    pub(crate) async fn so_far(&mut self) -> Result<Vec<Seen>> {
        self.say_mark().await?;
        let (about, text) = (about(&self.mark), self.marks.to_string());
        let mut all = self
            .until("its own mark", |s| s.about == about && s.text == text)
            .await?;
        all.pop();
        Ok(all)
    }

    async fn say_mark(&mut self) -> Result<()> {
        self.marks += 1;
        self.say(&self.mark, self.marks.to_string()).await
    }

    /// Everything up to the first message that fits.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut fits: impl FnMut(&Seen) -> bool,
    ) -> Result<Vec<Seen>> {
        let mut all = Vec::new();
        let collect = async {
            loop {
                let message = self.inbox.next().await.context("the watch has ended")?;
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                let about = about(&message.subject);
                let json = serde_json::from_str(&text).unwrap_or_default();
                let seen = Seen { about, text, json };
                let is_last = fits(&seen);
                all.push(seen);
                if is_last {
                    return anyhow::Ok(());
                }
            }
        };
        let ended = timeout(SOON, collect).await;
        ended.with_context(|| format!("no {what} after {} messages", all.len()))??;
        Ok(all)
    }

    /// The next ACK of a node.
    pub(crate) async fn ack_of(&mut self, node: &str) -> Result<Seen> {
        let mut until = self.until("ACK", |seen| seen.is("ack", node)).await?;
        until.pop().context("an ACK")
    }

    /// Which storage a node has, as its next ACK says: another one after each start, and whenever it was emptied.
    pub(crate) async fn storage_of(&mut self, node: &str) -> Result<Value> {
        let ack = self.ack_of(node).await?;
        ensure!(
            ack.json["storage"].is_string(),
            "no storage in {}",
            ack.text
        );
        Ok(ack.json["storage"].clone())
    }

    /// Publishes the same again and again while something else happens; the outcome of that.
    pub(crate) async fn repeating<T>(
        &self,
        subject: &str,
        payload: &str,
        meanwhile: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let again = async {
            let mut pause = tokio::time::interval(Duration::from_millis(20));
            loop {
                pause.tick().await;
                if let Err(error) = self.say(subject, payload.to_owned()).await {
                    break error;
                }
            }
        };
        tokio::select! {
            outcome = meanwhile => outcome,
            error = again => Err(error),
        }
    }
}

/// A subject without `replog.<cluster>.`
fn about(subject: &str) -> String {
    let mut tokens = subject.splitn(3, '.');
    tokens.nth(2).unwrap_or_default().to_owned()
}
