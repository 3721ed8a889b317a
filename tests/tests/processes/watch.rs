//! Looking over the broker's shoulder, and speaking out of turn: a NATS client that is none of the nodes.

use anyhow::{Context, Result};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use replog_common::message::Ack;
use replog_tests::harness::NatsServer;
use serde_json::Value;
use tokio::time::timeout;

use crate::support::SOON;

/// Sees everything on `replog.>`.
pub(crate) struct Watch {
    client: Client,
    inbox: Subscriber,
}

/// One message.
#[derive(Debug)]
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

    /// Whether it is to a secondary of that name.
    pub(crate) fn is_to(&self, node: &str) -> bool {
        self.is("append", node) || self.is("heartbeat", node)
    }
}

impl Watch {
    /// From the moment this returns nothing is missed.
    pub(crate) async fn of(broker: &NatsServer) -> Result<Self> {
        let client = timeout(SOON, async_nats::connect(broker.url())).await??;
        let inbox = client.subscribe("replog.>").await?;
        let mut watch = Self { client, inbox };
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
        self.say("replog.watch.mark", "null").await?;
        let mut all = self
            .until("its own mark", |seen| seen.about == "mark")
            .await?;
        all.pop();
        Ok(all)
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
                let mut tokens = message.subject.splitn(3, '.');
                let about = tokens.nth(2).unwrap_or_default().to_owned();
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

    /// The next ACK of a node, to be forged.
    pub(crate) async fn ack_of(&mut self, node: &str) -> Result<Ack> {
        let until = self.until("ACK", |seen| seen.is("ack", node)).await?;
        let ack = until.last().context("an ACK")?;
        Ack::decode(ack.text.as_bytes()).context("an ACK that can be read")
    }
}
