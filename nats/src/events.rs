//! What the client library says of the connection, for the log and for the link.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::link::LinkError;
use crate::nats_link::Control;

/// A permission that is missing shows right after the first connection is made; one that is refused later was lost, and may come
/// back.
const START: Duration = Duration::from_secs(5);

/// Receives the client library's events.
#[derive(Debug)]
pub(crate) struct Events {
    control: mpsc::Sender<Control>,
    refused: mpsc::Sender<String>,
    /// When everything was subscribed to for the first time.
    ready_at: OnceLock<Instant>,
    was_connected: AtomicBool,
    dropped: Occurrences,
    forbidden: Occurrences,
    not_admitted: Occurrences,
}

/// Counts what may happen a thousand times a second, and says when it is worth a line: the first time, and each time when there
/// are twice as many.
#[derive(Debug, Default)]
struct Occurrences(AtomicU64);

impl Events {
    /// `control` leads to the link, `refused` to the task that subscribes again.
    pub(crate) fn new(control: mpsc::Sender<Control>, refused: mpsc::Sender<String>) -> Self {
        Self {
            control,
            refused,
            ready_at: OnceLock::new(),
            was_connected: AtomicBool::new(false),
            dropped: Occurrences::default(),
            forbidden: Occurrences::default(),
            not_admitted: Occurrences::default(),
        }
    }

    /// Everything is subscribed to: what the broker refuses from now on, it refuses knowingly.
    pub(crate) fn set_ready(&self) {
        self.ready_at.get_or_init(Instant::now);
    }

    pub(crate) async fn on_event(&self, event: Event) {
        match event {
            Event::Connected => {
                tracing::info!("the broker is there");
                // The first connection is up only when its subscriptions are made, and says so itself.
                if self.was_connected.swap(true, Ordering::Relaxed) {
                    self.control.send(Control::Up).await.ok();
                }
            }
            Event::Disconnected => {
                tracing::warn!("the broker is gone; waiting for it");
                self.control.send(Control::Down).await.ok();
            }
            Event::LameDuckMode => tracing::info!("the broker is about to stop"),
            // The link was dropped: this program's own doing.
            Event::Closed | Event::Draining => tracing::debug!("the connection is closed"),
            Event::SlowConsumer(_) => {
                if let Some(times) = self.dropped.note() {
                    tracing::warn!(times, "messages were dropped here: too many at once");
                }
            }
            Event::ServerError(ServerError::Other(text)) if is_permission(&text) => {
                self.on_forbidden(text).await;
            }
            Event::ServerError(ServerError::AuthorizationViolation) => self.on_not_admitted(),
            Event::ServerError(error) => tracing::warn!(%error, "the broker reports an error"),
            Event::ClientError(ClientError::Other(text)) if text.contains("authorization") => {
                self.on_not_admitted();
            }
            Event::ClientError(error) => tracing::debug!(%error, "the client library reports"),
        }
    }

    async fn on_forbidden(&self, text: String) {
        let is_start = self.ready_at.get().is_none_or(|at| at.elapsed() < START);
        if is_start {
            let fatal = Control::Fatal(LinkError::Permission(text));
            self.control.send(fatal).await.ok();
            return;
        }
        if let Some(times) = self.forbidden.note() {
            tracing::warn!(
                times,
                error = text,
                "the broker has taken a permission away"
            );
        }
        if let Some(subject) = refused_subscription(&text) {
            self.refused.send(subject.to_owned()).await.ok();
        }
    }

    fn on_not_admitted(&self) {
        if let Some(times) = self.not_admitted.note() {
            tracing::warn!(times, "the broker refuses the user now; trying on");
        }
    }
}

impl Occurrences {
    /// Counts one more; how many there are, if that is worth a line.
    fn note(&self) -> Option<u64> {
        let times = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        times.is_power_of_two().then_some(times)
    }
}

fn is_permission(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

/// The subject of `Permissions Violation for Subscription to "subject"`; `None` for what is said of a publish.
fn refused_subscription(text: &str) -> Option<&str> {
    let (_, after) = text.split_once("Subscription to \"")?;
    after.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Harness {
        events: Events,
        control: mpsc::Receiver<Control>,
        refused: mpsc::Receiver<String>,
    }

    fn harness() -> Harness {
        let (to_control, control) = mpsc::channel(8);
        let (to_refused, refused) = mpsc::channel(8);
        Harness {
            events: Events::new(to_control, to_refused),
            control,
            refused,
        }
    }

    fn violation(of: &str) -> Event {
        let text = format!("Permissions Violation for {of} to \"replog.a.append.n\"");
        Event::ServerError(ServerError::Other(text))
    }

    #[tokio::test(start_paused = true)]
    async fn a_permission_that_is_missing_at_the_start_ends_it() {
        for of in ["Subscription", "Publish"] {
            let mut h = harness();
            h.events.set_ready();
            h.events.on_event(violation(of)).await;
            assert!(matches!(
                h.control.try_recv(),
                Ok(Control::Fatal(LinkError::Permission(text))) if text.contains("replog.a.append.n")
            ));
            assert!(h.refused.try_recv().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_that_is_taken_away_later_is_made_again() {
        let mut h = harness();
        h.events.set_ready();
        tokio::time::advance(START).await;
        h.events.on_event(violation("Publish")).await;
        assert!(h.refused.try_recv().is_err());
        h.events.on_event(violation("Subscription")).await;
        assert_eq!(h.refused.try_recv().unwrap(), "replog.a.append.n");
        assert!(h.control.try_recv().is_err(), "it goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_connection_is_up_only_with_its_subscriptions() {
        let mut h = harness();
        h.events.set_ready();
        h.events.on_event(Event::Connected).await;
        assert!(h.control.try_recv().is_err(), "also where that comes late");
        h.events.on_event(Event::Disconnected).await;
        h.events.on_event(Event::Connected).await;
        assert!(matches!(h.control.try_recv(), Ok(Control::Down)));
        assert!(matches!(h.control.try_recv(), Ok(Control::Up)));
        h.events.on_event(Event::Closed).await;
        assert!(h.control.try_recv().is_err(), "our own close is no news");
    }

    #[test]
    fn what_happens_often_is_worth_a_line_now_and_then() {
        let occurrences = Occurrences::default();
        let lines: Vec<u64> = (0..1000).filter_map(|_| occurrences.note()).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
