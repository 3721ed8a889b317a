//! What the broker refuses to a program that it had let in, tried again until it holds. The client library would never make a
//! subscription again that the broker has refused or taken away.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::link::Denial;
use crate::nats_link::{Control, Subscription};

/// The first wait before a subject is subscribed to again.
const MIN_DELAY: Duration = Duration::from_millis(500);
/// The longest wait. A broker writes a line into its log for each try that it refuses.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// A broker says nothing of a subscription that holds: one that was not refused for so long does.
const HOLDS_AFTER: Duration = Duration::from_secs(1);
/// Messages that the broker has not refused for so long are let through again, or nobody sends any.
const QUIET: Duration = Duration::from_secs(10);
/// So many refused subjects of messages are kept: one is enough to be denied, and a master has some for each secondary.
const MAX_PUBLISHES: usize = 64;

/// What is heard of the access to the broker.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AccessEvent {
    Connected,
    Disconnected,
    Denied(Denial),
}

/// Subscribes again, with a backoff for each subject, to what is refused, and says whether anything is.
pub(crate) async fn watch_access(
    client: Client,
    mut access: mpsc::Receiver<AccessEvent>,
    control: &mpsc::Sender<Control>,
) {
    let mut denials = Denials::default();
    let mut told = None;
    loop {
        let due = denials.next_due();
        tokio::select! {
            event = access.recv() => match event {
                Some(event) => denials.on_event(event, Instant::now()),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                for subject in denials.take_due(Instant::now()) {
                    // The client library takes every subject that it has taken before.
                    let Ok(messages) = client.subscribe(subject.clone()).await else {
                        return;
                    };
                    let subscription = Subscription { subject, messages };
                    if control.send(Control::Subscribed(subscription)).await.is_err() {
                        return;
                    }
                }
            }
        }
        let denial = denials.first();
        let news = match &denial {
            Some(denial) if told.is_none() => Control::Denied(denial.clone()),
            None if told.is_some() => Control::Granted,
            _ => continue,
        };
        told = denial;
        if control.send(news).await.is_err() {
            return;
        }
    }
}

/// What is refused, and when each of it is tried again.
#[derive(Debug, Default)]
struct Denials {
    is_user_denied: bool,
    /// Subjects that messages are refused to, and when the last one was.
    publishes: BTreeMap<String, Instant>,
    subscriptions: BTreeMap<String, Retry>,
}

#[derive(Debug)]
struct Retry {
    /// The wait before the latest try, or before the one to come.
    delay: Duration,
    state: RetryState,
}

#[derive(Debug)]
enum RetryState {
    /// The subject is to be tried at that moment.
    Waiting { until: Instant },
    /// The subject was tried at that moment.
    Tried { at: Instant },
    /// The subject was tried, and not refused since.
    Holds { since: Instant },
    /// The connection is gone; the client library tries the subject with the next one.
    Disconnected,
}

impl Denials {
    fn on_event(&mut self, event: AccessEvent, now: Instant) {
        match event {
            AccessEvent::Connected => {
                self.is_user_denied = false;
                for retry in self.subscriptions.values_mut() {
                    retry.state = RetryState::Tried { at: now };
                }
            }
            AccessEvent::Disconnected => {
                self.publishes.clear();
                for retry in self.subscriptions.values_mut() {
                    retry.state = RetryState::Disconnected;
                }
            }
            AccessEvent::Denied(Denial::User) => self.is_user_denied = true,
            AccessEvent::Denied(Denial::Publish(subject)) => {
                if self.publishes.len() < MAX_PUBLISHES || self.publishes.contains_key(&subject) {
                    self.publishes.insert(subject, now);
                }
            }
            AccessEvent::Denied(Denial::Subscribe(subject)) => self.on_refused(subject, now),
        }
    }

    fn on_refused(&mut self, subject: String, now: Instant) {
        let delay = match self.subscriptions.get(&subject) {
            // It was tried before that was known.
            Some(Retry {
                state: RetryState::Waiting { .. },
                ..
            }) => return,
            // Refused again, and not after having held for a good while.
            Some(Retry {
                delay,
                state: RetryState::Tried { at } | RetryState::Holds { since: at },
            }) if now.duration_since(*at) < MAX_DELAY => (*delay * 2).min(MAX_DELAY),
            _ => MIN_DELAY,
        };
        let state = RetryState::Waiting { until: now + delay };
        self.subscriptions.insert(subject, Retry { delay, state });
    }

    /// Something that is refused, if anything is. Without a connection nothing is but the user.
    fn first(&self) -> Option<Denial> {
        let subscribe = self.subscriptions.iter().find_map(|(subject, retry)| {
            let is_refused = matches!(
                retry.state,
                RetryState::Waiting { .. } | RetryState::Tried { .. }
            );
            is_refused.then(|| Denial::Subscribe(subject.clone()))
        });
        let publish = || self.publishes.keys().next().cloned().map(Denial::Publish);
        let user = self.is_user_denied.then_some(Denial::User);
        user.or(subscribe).or_else(publish)
    }

    fn next_due(&self) -> Option<Instant> {
        let subscriptions = self.subscriptions.values();
        let subscriptions = subscriptions.filter_map(|retry| match retry.state {
            RetryState::Waiting { until } => Some(until),
            RetryState::Tried { at } => Some(at + HOLDS_AFTER),
            RetryState::Holds { .. } | RetryState::Disconnected => None,
        });
        let publishes = self.publishes.values().map(|at| *at + QUIET);
        subscriptions.chain(publishes).min()
    }

    /// Lets time pass; the subjects that are to be tried now, which count as tried.
    fn take_due(&mut self, now: Instant) -> Vec<String> {
        self.publishes.retain(|_, at| now < *at + QUIET);
        let mut due = Vec::new();
        for (subject, retry) in &mut self.subscriptions {
            match retry.state {
                RetryState::Waiting { until } if until <= now => {
                    retry.state = RetryState::Tried { at: now };
                    due.push(subject.clone());
                }
                RetryState::Tried { at } if at + HOLDS_AFTER <= now => {
                    retry.state = RetryState::Holds { since: at };
                }
                _ => {}
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(denials: &mut Denials, subject: &str, now: Instant) {
        let denial = Denial::Subscribe(subject.into());
        denials.on_event(AccessEvent::Denied(denial), now);
    }

    #[test]
    fn each_refusal_doubles_the_wait_and_a_subscription_that_held_begins_anew() {
        let (mut denials, mut now) = (Denials::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..7 {
            refuse(&mut denials, "a", now);
            refuse(&mut denials, "a", now);
            let due = denials.next_due().unwrap();
            assert!(denials.take_due(due - Duration::from_millis(1)).is_empty());
            assert_eq!(denials.take_due(due), ["a"]);
            waits.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        now += MAX_DELAY;
        refuse(&mut denials, "a", now);
        assert_eq!(denials.next_due(), Some(now + MIN_DELAY));
        refuse(&mut denials, "b", now - MIN_DELAY);
        assert_eq!(denials.take_due(now), ["b"]);
    }

    #[test]
    fn a_subscription_is_refused_until_it_was_tried_and_held() {
        let (mut denials, now) = (Denials::default(), Instant::now());
        assert_eq!(denials.first(), None);
        refuse(&mut denials, "a", now);
        assert_eq!(denials.first(), Some(Denial::Subscribe("a".into())));
        let tried = now + MIN_DELAY;
        assert_eq!(denials.take_due(tried), ["a"]);
        assert!(denials.first().is_some(), "not known yet");
        assert_eq!(denials.next_due(), Some(tried + HOLDS_AFTER));
        assert!(denials.take_due(tried + HOLDS_AFTER).is_empty());
        assert_eq!((denials.first(), denials.next_due()), (None, None));
    }

    #[test]
    fn a_connection_that_breaks_takes_its_refusals_along_until_the_next_one() {
        let (mut denials, now) = (Denials::default(), Instant::now());
        refuse(&mut denials, "a", now);
        let publish = Denial::Publish("p".into());
        denials.on_event(AccessEvent::Denied(publish), now);
        denials.on_event(AccessEvent::Disconnected, now);
        assert_eq!((denials.first(), denials.next_due()), (None, None));
        denials.on_event(AccessEvent::Denied(Denial::User), now);
        assert_eq!(denials.first(), Some(Denial::User));
        denials.on_event(AccessEvent::Connected, now);
        assert_eq!(denials.first(), Some(Denial::Subscribe("a".into())));
        assert!(denials.take_due(now + HOLDS_AFTER).is_empty());
        assert_eq!(denials.first(), None);
    }

    #[test]
    fn messages_that_are_not_refused_for_a_while_pass_again() {
        let (mut denials, now) = (Denials::default(), Instant::now());
        let publish = Denial::Publish("p".into());
        denials.on_event(AccessEvent::Denied(publish.clone()), now);
        assert_eq!(denials.first(), Some(publish));
        assert!(denials.take_due(denials.next_due().unwrap()).is_empty());
        assert_eq!((denials.first(), denials.next_due()), (None, None));
    }
}
