//! What the client library says of the connection, for the log and for the link.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::denials::AccessEvent;
use crate::link::{Denial, LinkError};
use crate::nats_link::Control;
use crate::permissions::covers;
use crate::service::is_about_services;

/// A permission that is missing shows right after the first connection is made; one that is refused later was lost, and may come
/// back.
const START: Duration = Duration::from_secs(5);

/// Receives the client library's events.
#[derive(Debug)]
pub(crate) struct Events {
    control: mpsc::Sender<Control>,
    access: mpsc::Sender<AccessEvent>,
    /// The patterns of the subjects that this program publishes to by itself.
    publishes: Vec<String>,
    /// Whether the program is to be a NATS service.
    is_service: bool,
    /// When everything was subscribed to for the first time.
    ready_at: OnceLock<Instant>,
    was_connected: AtomicBool,
    dropped: Arc<Occurrences>,
    forbidden: Occurrences,
    not_admitted: Occurrences,
    no_service: Occurrences,
    misled: Occurrences,
}

/// Counts what may happen a thousand times a second, and says when it is worth a line: the first time, and each time when there
/// are twice as many.
#[derive(Debug, Default)]
pub(crate) struct Occurrences(AtomicU64);

impl Events {
    /// `control` leads to the link, `access` to the task that tries again what is refused; the program publishes to subjects of
    /// the patterns `publishes`, and is one of the NATS services if `is_service`; `dropped` counts messages that this program was
    /// too slow for.
    pub(crate) fn new(
        control: mpsc::Sender<Control>,
        access: mpsc::Sender<AccessEvent>,
        publishes: Vec<String>,
        is_service: bool,
        dropped: Arc<Occurrences>,
    ) -> Self {
        Self {
            control,
            access,
            publishes,
            is_service,
            ready_at: OnceLock::new(),
            was_connected: AtomicBool::new(false),
            dropped,
            forbidden: Occurrences::default(),
            not_admitted: Occurrences::default(),
            no_service: Occurrences::default(),
            misled: Occurrences::default(),
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
                    self.access.send(AccessEvent::Connected).await.ok();
                }
            }
            Event::Disconnected => {
                tracing::warn!("the broker is gone; waiting for it");
                self.control.send(Control::Down).await.ok();
                self.access.send(AccessEvent::Disconnected).await.ok();
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
            Event::ServerError(ServerError::AuthorizationViolation) => {
                self.on_not_admitted().await;
            }
            Event::ServerError(error) => tracing::warn!(%error, "the broker reports an error"),
            Event::ClientError(ClientError::Other(text)) if text.contains("authorization") => {
                self.on_not_admitted().await;
            }
            Event::ClientError(error) => tracing::debug!(%error, "the client library reports"),
        }
    }

    async fn on_forbidden(&self, text: String) {
        if self.is_service && is_about_services(&text) {
            if self.no_service.note() == Some(1) {
                tracing::warn!(
                    error = text,
                    "the broker does not permit NATS services: this node shows up in none (--no-nats-service leaves it out)"
                );
            }
            return;
        }
        let denial = denied(&text);
        if let Some(Denial::Publish(subject)) = &denial
            && !self
                .publishes
                .iter()
                .any(|pattern| covers(pattern, subject))
        {
            // Whoever may ask a service names the subject of the answer: no permission that this node needs is missing.
            if let Some(times) = self.misled.note() {
                tracing::warn!(
                    times,
                    error = text,
                    "somebody has asked a NATS service for an answer there"
                );
            }
            return;
        }
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
        if let Some(denial) = denial {
            self.access.send(AccessEvent::Denied(denial)).await.ok();
        }
    }

    async fn on_not_admitted(&self) {
        // Until everything was subscribed to, the task that connects tells why it cannot.
        if self.ready_at.get().is_some() {
            self.access
                .send(AccessEvent::Denied(Denial::User))
                .await
                .ok();
        }
        if let Some(times) = self.not_admitted.note() {
            tracing::warn!(times, "the broker refuses the user now; trying on");
        }
    }
}

impl Occurrences {
    /// How many there were by now.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more; how many there are, if that is worth a line.
    fn note(&self) -> Option<u64> {
        let times = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        times.is_power_of_two().then_some(times)
    }
}

fn is_permission(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

/// What is refused by `Permissions Violation for Subscription to "subject"`, or `for Publish to "subject"`.
fn denied(text: &str) -> Option<Denial> {
    let (of, after) = text.split_once(" to \"")?;
    let subject = after.split('"').next()?.to_owned();
    match of.rsplit(' ').next()?.to_ascii_lowercase().as_str() {
        "subscription" => Some(Denial::Subscribe(subject)),
        "publish" => Some(Denial::Publish(subject)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Harness {
        events: Events,
        control: mpsc::Receiver<Control>,
        access: mpsc::Receiver<AccessEvent>,
        dropped: Arc<Occurrences>,
    }

    fn harness() -> Harness {
        let (to_control, control) = mpsc::channel(8);
        let (to_access, access) = mpsc::channel(8);
        let dropped = Arc::new(Occurrences::default());
        Harness {
            events: Events::new(
                to_control,
                to_access,
                vec!["replog.a.append.*".to_owned()],
                true,
                Arc::clone(&dropped),
            ),
            control,
            access,
            dropped,
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
            assert!(h.access.try_recv().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_permission_that_is_taken_away_later_is_asked_for_again() {
        let mut h = harness();
        h.events.set_ready();
        tokio::time::advance(START).await;
        let subject = || "replog.a.append.n".to_owned();
        for (of, denial) in [
            ("Publish", Denial::Publish(subject())),
            ("Subscription", Denial::Subscribe(subject())),
        ] {
            h.events.on_event(violation(of)).await;
            let event = h.access.try_recv().unwrap();
            assert_eq!(event, AccessEvent::Denied(denial));
        }
        assert!(h.control.try_recv().is_err(), "it goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_without_services_is_no_obstacle() {
        let mut h = harness();
        h.events.set_ready();
        for refused in ["Subscription to \"$SRV.PING\"", "Publish to \"_INBOX.a.b\""] {
            let text = format!("Permissions Violation for {refused}");
            let event = Event::ServerError(ServerError::Other(text));
            h.events.on_event(event).await;
        }
        assert!(h.control.try_recv().is_err() && h.access.try_recv().is_err());
    }

    /// Whoever may ask a service says where the answer is to go.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_somebody_wants_where_this_program_says_nothing_is_no_permission_of_its_own()
     {
        let mut h = harness();
        h.events.set_ready();
        for at in [Duration::ZERO, START] {
            tokio::time::advance(at).await;
            for subject in ["some.subject", "replog.a.ack.n.1", "replog.b.append.n"] {
                let text = format!("Permissions Violation for Publish to \"{subject}\"");
                let event = Event::ServerError(ServerError::Other(text));
                h.events.on_event(event).await;
            }
            assert!(h.control.try_recv().is_err() && h.access.try_recv().is_err());
        }
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

    #[tokio::test(start_paused = true)]
    async fn a_user_that_was_let_in_is_missed_only_later() {
        let mut h = harness();
        let refused = || Event::ServerError(ServerError::AuthorizationViolation);
        h.events.on_event(refused()).await;
        assert!(h.access.try_recv().is_err(), "who connects tells that");
        h.events.set_ready();
        h.events.on_event(refused()).await;
        assert_eq!(h.access.try_recv(), Ok(AccessEvent::Denied(Denial::User)));
    }

    #[tokio::test]
    async fn what_the_client_library_drops_is_counted() {
        let h = harness();
        for expected in 1..=3 {
            h.events.on_event(Event::SlowConsumer(7)).await;
            assert_eq!(h.dropped.count(), expected);
        }
    }

    #[test]
    fn what_happens_often_is_worth_a_line_now_and_then() {
        let occurrences = Occurrences::default();
        let lines: Vec<u64> = (0..1000).filter_map(|_| occurrences.note()).collect();
        assert_eq!(lines, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
