//! What any protocol over NATS pays that sends each entry by itself: one message, two who receive it, an ACK from each.
//!
//! No log and no HTTP. All clients share one connection to the broker, as a master's clients do.

use std::io::Write;

use anyhow::{Context, Result};
use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{Process, System};
use crate::bench::child::Child;
use crate::harness::{BrokerOptions, NatsServer};

/// The first argument of a subscriber's process.
pub const SUBSCRIBER: &str = "fan-out-subscriber";

const SUBSCRIBERS: usize = 2;
const SUBJECT: Subject = Subject::from_static("fan.out");

/// A broker and two subscribers, each a process. Dropping it ends them.
#[derive(Debug)]
pub struct FanOut {
    client: Client,
    content: Bytes,
    subscribers: Vec<Child>,
    broker: NatsServer,
}

impl FanOut {
    /// Starts them.
    ///
    /// # Errors
    /// A process does not start.
    pub async fn start(content: &str) -> Result<Self> {
        let broker = NatsServer::start(BrokerOptions::default()).await?;
        let mut subscribers = Vec::new();
        for _ in 0..SUBSCRIBERS {
            let (child, _ready) = Child::start(&[SUBSCRIBER, &broker.url()]).await?;
            subscribers.push(child);
        }
        Ok(Self {
            client: async_nats::connect(broker.url()).await?,
            content: content.to_owned().into(),
            subscribers,
            broker,
        })
    }
}

impl System for FanOut {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection> {
        let inbox = Subject::from(self.client.new_inbox());
        Ok(Connection {
            acks: self.client.subscribe(inbox.clone()).await?,
            inbox,
            client: self.client.clone(),
            content: self.content.clone(),
        })
    }

    async fn request(connection: &mut Connection) -> Result<()> {
        let (inbox, content) = (connection.inbox.clone(), connection.content.clone());
        let publish = connection
            .client
            .publish_with_reply(SUBJECT, inbox, content);
        publish.await?;
        for _ in 0..SUBSCRIBERS {
            let ack = connection.acks.next().await.context("no more ACKs")?;
            anyhow::ensure!(ack.status.is_none(), "{:?}: nobody subscribes", ack.status);
        }
        Ok(())
    }

    fn processes(&self) -> Vec<Process> {
        self.subscribers
            .iter()
            .map(|child| Process::new("subscriber", child.pid()))
            .chain([Process::new("broker", self.broker.pid())])
            .collect()
    }
}

/// A client, with a subject of its own for ACKs.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    inbox: Subject,
    acks: Subscriber,
    content: Bytes,
}

/// The program of a subscriber: acknowledges every message, until the broker is gone.
///
/// # Errors
/// There is no broker at that address.
pub async fn subscribe(url: &str) -> Result<()> {
    let client = async_nats::connect(url).await?;
    let mut messages = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    // The broker answers in order: once it has answered this, the subscription holds.
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Bytes::new()).await?;
    echo.next().await.context("the broker went away")?;
    println!("ready");
    std::io::stdout().flush()?;
    while let Some(message) = messages.next().await {
        let reply = message.reply.context("a message without reply subject")?;
        client.publish(reply, Bytes::new()).await?;
    }
    Ok(())
}
