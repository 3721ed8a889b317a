//! The line to the broker as the programs see it: send without waiting, receive what comes, know whether it is there.

use std::future::Future;

use async_nats::connection::State;
use async_nats::{Client, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{SelectAll, StreamExt};
use replog_common::service::program::Failure;
use replog_common::service::settings::CommonArgs;
use tokio::sync::mpsc;

use crate::connect;
use crate::options::{Credentials, LinkOptions, OptionsError};
use crate::subject::{Subject, Subjects};

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub to: Subject,
    /// Where an answer goes.
    pub reply: Option<Subject>,
    /// The line of JSON.
    pub payload: Bytes,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A message.
    Line(Bytes),
    /// The broker's word, on the reply subject, that nobody listens where the message was sent (status 503).
    NoResponders,
}

/// A message that came, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The subject it came on.
    pub subject: Subject,
    /// What it carries.
    pub payload: Payload,
}

/// What happens on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The broker is there; messages of at most that many bytes pass.
    Up {
        /// The broker's `max_payload`.
        max_payload: usize,
    },
    /// The broker is gone. What was in flight may be lost.
    Down,
    /// A message has come.
    Delivered(Delivered),
    /// It will never work: the broker refuses the user or a permission. Says which.
    Fatal(String),
}

/// A line to the other nodes that may lose, repeat and reorder.
pub trait Link: Send + 'static {
    /// Hands a message over without waiting. `false` when it was not taken: the link is down or full. A message that was
    /// taken may be lost all the same.
    fn send(&mut self, message: Message) -> bool;

    /// The next event. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = LinkEvent> + Send;
}

/// The link over a real NATS connection.
#[derive(Debug)]
pub struct NatsLink {
    subjects: Subjects,
    control: mpsc::Receiver<Control>,
    client: Option<Client>,
    inbound: SelectAll<Subscriber>,
}

/// What the connecting task tells.
#[derive(Debug)]
pub(crate) enum Control {
    Ready(Client, Vec<Subscriber>),
    Up,
    Down,
    Fatal(String),
}

impl NatsLink {
    /// A link that is connecting from now on, however long the broker takes to appear. Needs a tokio runtime.
    ///
    /// # Errors
    /// A credential that cannot be used.
    pub fn of(
        args: &CommonArgs,
        name: String,
        subscriptions: Vec<String>,
    ) -> Result<Self, Failure> {
        let refused = |error: OptionsError| Failure::cannot_start(error.to_string());
        let urls = args.nats_url.iter().map(|url| url.expose().to_owned());
        Self::open(LinkOptions {
            urls: urls.collect(),
            credentials: Credentials::from_environment().map_err(refused)?,
            name,
            cluster: args.cluster.clone(),
            subscriptions,
        })
        .map_err(refused)
    }

    /// The same with options of one's own.
    ///
    /// # Errors
    /// A credential that cannot be used.
    pub fn open(options: LinkOptions) -> Result<Self, OptionsError> {
        let subjects = Subjects::of(&options.cluster);
        let (tell, control) = mpsc::channel(64);
        connect::start(options, tell)?;
        Ok(Self {
            subjects,
            control,
            client: None,
            inbound: SelectAll::new(),
        })
    }

    fn control(&mut self, control: Control) -> LinkEvent {
        match control {
            Control::Ready(client, subscribers) => {
                let max_payload = client.max_payload();
                self.inbound.extend(subscribers);
                self.client = Some(client);
                LinkEvent::Up { max_payload }
            }
            Control::Up => LinkEvent::Up {
                max_payload: self.client.as_ref().map_or(0, Client::max_payload),
            },
            Control::Down => LinkEvent::Down,
            Control::Fatal(why) => LinkEvent::Fatal(why),
        }
    }

    fn delivered(&self, message: async_nats::Message) -> Option<LinkEvent> {
        let Some(subject) = self.subjects.parse(&message.subject) else {
            tracing::debug!(subject = %message.subject, "a message on a subject that is not one of ours");
            return None;
        };
        let payload = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Payload::NoResponders,
            _ => Payload::Line(message.payload),
        };
        Some(LinkEvent::Delivered(Delivered { subject, payload }))
    }
}

impl Link for NatsLink {
    fn send(&mut self, message: Message) -> bool {
        let Some(client) = self
            .client
            .as_ref()
            .filter(|c| c.connection_state() == State::Connected)
        else {
            return false;
        };
        // An oversized message would cost the connection.
        if message.payload.len() > client.max_payload() {
            tracing::error!(
                bytes = message.payload.len(),
                max_payload = client.max_payload(),
                "too large to send"
            );
            return false;
        }
        let subject = self.subjects.name(&message.to);
        // The client queues commands; with the queue full its future would wait, for ever if the broker is stopped.
        // Polled once, it is queued or refused. (`unconstrained`: tokio's budget must not look like a full queue.)
        let queued = match message.reply {
            Some(reply) => {
                let reply = self.subjects.name(&reply);
                tokio::task::unconstrained(client.publish_with_reply(
                    subject,
                    reply,
                    message.payload,
                ))
                .now_or_never()
            }
            None => {
                tokio::task::unconstrained(client.publish(subject, message.payload)).now_or_never()
            }
        };
        matches!(queued, Some(Ok(())))
    }

    async fn next(&mut self) -> LinkEvent {
        loop {
            tokio::select! {
                biased;
                control = self.control.recv() => return match control {
                    Some(control) => self.control(control),
                    None => LinkEvent::Fatal("the connection to the broker was closed".to_owned()),
                },
                Some(message) = self.inbound.next() => {
                    if let Some(event) = self.delivered(message) {
                        return event;
                    }
                }
            }
        }
    }
}
