//! The [`Link`] over a real NATS connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{SelectAll, Stream, StreamExt};
use replog_protocol::wire::Address;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::connect;
use crate::events::Occurrences;
use crate::link::{Denial, Link, LinkError, LinkEvent, Payload};
use crate::options::{LinkOptions, OptionsError};
use crate::subjects::Subjects;

/// How long [`Link::flush`] waits, at most.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
/// After so long without the client library's event, its connection state is believed instead.
const EVENT_GRACE: Duration = Duration::from_secs(1);

/// The link over a real NATS connection. Dropping it closes the connection; what has not left yet is lost, see
/// [`Link::flush`].
#[derive(Debug)]
pub struct NatsLink {
    subjects: Subjects,
    control: mpsc::Receiver<Control>,
    /// `None` until the broker was there for the first time.
    client: Option<Client>,
    inbound: SelectAll<Subscription>,
    reported: Reported,
    /// Messages that this program was too slow for.
    dropped: Arc<Occurrences>,
}

/// What the program knows of the broker: the last event of this kind that it was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Up { max_payload: usize },
    Down { since: Instant },
}

/// What happens to the connection, in the order in which the program has to know it.
#[derive(Debug)]
pub(crate) enum Control {
    /// The broker is there for the first time, and everything is subscribed to.
    Ready(Client, Vec<Subscription>),
    /// The broker is there again.
    Up,
    /// The broker is gone.
    Down,
    /// A subscription was made again that the broker had refused or taken away.
    Subscribed(Subscription),
    /// The broker refuses something; it is being tried again.
    Denied(Denial),
    /// Nothing is refused any more.
    Granted,
    /// The link will never work.
    Fatal(LinkError),
}

/// A subscription, and what it is to.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) subject: String,
    pub(crate) messages: Subscriber,
}

impl NatsLink {
    /// A link that is connecting from now on, however long the broker takes to appear. Needs a tokio runtime.
    ///
    /// # Errors
    /// Options that cannot be used.
    pub fn open(options: LinkOptions) -> Result<Self, OptionsError> {
        let dropped = Arc::new(Occurrences::default());
        Ok(Self {
            subjects: Subjects::of(&options.cluster),
            control: connect::start(options, Arc::clone(&dropped))?,
            client: None,
            inbound: SelectAll::new(),
            reported: Reported::Down {
                since: Instant::now(),
            },
            dropped,
        })
    }

    fn connected_client(&self) -> Option<&Client> {
        let client = self.client.as_ref()?;
        (client.connection_state() == State::Connected).then_some(client)
    }

    fn on_control(&mut self, control: Control) -> Option<LinkEvent> {
        match control {
            Control::Ready(client, subscriptions) => {
                self.inbound.extend(subscriptions);
                let max_payload = client.max_payload();
                self.client = Some(client);
                Some(self.report_up(max_payload))
            }
            Control::Up => {
                let max_payload = self.client.as_ref()?.max_payload();
                Some(self.report_up(max_payload))
            }
            Control::Down => {
                self.reported = Reported::Down {
                    since: Instant::now(),
                };
                Some(LinkEvent::Down)
            }
            Control::Subscribed(subscription) => {
                // The client library would make the former one again at each reconnect, and everything would come twice.
                let inbound = std::mem::take(&mut self.inbound).into_iter();
                self.inbound = inbound
                    .filter(|other| other.subject != subscription.subject)
                    .collect();
                self.inbound.push(subscription);
                None
            }
            Control::Denied(denial) => Some(LinkEvent::Denied(denial)),
            Control::Granted => Some(LinkEvent::Granted),
            Control::Fatal(error) => Some(LinkEvent::Fatal(error)),
        }
    }

    fn report_up(&mut self, max_payload: usize) -> LinkEvent {
        self.reported = Reported::Up { max_payload };
        LinkEvent::Up { max_payload }
    }

    /// What the client library knows and has not said. Its events are hints: they come through a channel that drops what does
    /// not fit, and the one for a new connection leaves before the new connection's `max_payload` is stored.
    fn unreported(&mut self) -> Option<LinkEvent> {
        let is_due = match self.reported {
            Reported::Up { max_payload } => max_payload != self.connected_client()?.max_payload(),
            Reported::Down { since } => {
                self.connected_client().is_some() && since.elapsed() >= EVENT_GRACE
            }
        };
        let max_payload = self.client.as_ref()?.max_payload();
        is_due.then(|| self.report_up(max_payload))
    }

    fn delivered(&self, message: async_nats::Message) -> Option<LinkEvent> {
        let Some(address) = self.subjects.parse(&message.subject) else {
            tracing::debug!(subject = %message.subject, "a message on a subject that no node has");
            return None;
        };
        let payload = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Payload::NoResponders,
            _ => Payload::Frame(message.payload),
        };
        Some(LinkEvent::Delivered { address, payload })
    }
}

impl Link for NatsLink {
    fn send(&mut self, to: &Address, reply_to: Option<&Address>, payload: Bytes) -> bool {
        let Some(client) = self.connected_client() else {
            return false;
        };
        let subject = self.subjects.name(to);
        // An oversized message would cost the connection.
        let (bytes, max_payload) = (payload.len(), client.max_payload());
        if bytes > max_payload {
            tracing::error!(
                subject,
                bytes,
                max_payload,
                "a message is too large to send"
            );
            return false;
        }
        // The client queues commands; with the queue full its future would wait, for ever if the broker is stopped.
        // Polled once, it is queued or refused. (`unconstrained`: tokio's budget must not look like a full queue.)
        let queued = match reply_to {
            Some(reply_to) => {
                let reply_to = self.subjects.name(reply_to);
                let publish = client.publish_with_reply(subject, reply_to, payload);
                tokio::task::unconstrained(publish).now_or_never()
            }
            None => tokio::task::unconstrained(client.publish(subject, payload)).now_or_never(),
        };
        matches!(queued, Some(Ok(())))
    }

    async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(event) = self.unreported() {
                return event;
            }
            let event = tokio::select! {
                biased;
                control = self.control.recv() => match control {
                    Some(control) => self.on_control(control),
                    None => Some(LinkEvent::Fatal(LinkError::Closed)),
                },
                Some(message) = self.inbound.next() => self.delivered(message),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// At least so many: the client library's events are hints.
    fn dropped(&self) -> u64 {
        self.dropped.count()
    }

    async fn flush(&mut self) {
        if let Some(client) = self.connected_client() {
            // What has not left by then is lost, as any message may be.
            tokio::time::timeout(FLUSH_TIMEOUT, client.flush())
                .await
                .ok();
        }
    }
}

impl Stream for Subscription {
    type Item = async_nats::Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.messages.poll_next_unpin(cx)
    }
}
