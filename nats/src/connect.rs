//! Connecting, however long the broker takes; what the client library says becomes link state.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError, Subscriber};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::link::Control;
use crate::options::{LinkOptions, OptionsError, reconnect_delay};

/// A permission that is missing shows right after the first connection is made; later ones are only warned of.
const START: Duration = Duration::from_secs(5);

pub(crate) fn start(options: LinkOptions, tell: mpsc::Sender<Control>) -> Result<(), OptionsError> {
    let ready = Arc::new(OnceLock::new());
    let (tell_events, seen_ready) = (tell.clone(), Arc::clone(&ready));
    let connect = options.connect_options()?.event_callback(move |event| {
        let (tell, since) = (tell_events.clone(), seen_ready.get().copied());
        async move { on_event(event, &tell, since).await }
    });
    tokio::spawn(async move {
        match connected(&options, connect).await {
            Ok((client, subscribers)) => {
                ready.get_or_init(Instant::now);
                tell.send(Control::Ready(client, subscribers)).await.ok();
            }
            Err(refused) => drop(tell.send(Control::Fatal(refused)).await),
        }
    });
    Ok(())
}

/// Tries until the broker is there; only a refusal ends it.
async fn connected(
    options: &LinkOptions,
    connect: ConnectOptions,
) -> Result<(Client, Vec<Subscriber>), String> {
    let mut attempt = 0;
    loop {
        match connect.clone().connect(options.urls.clone()).await {
            Ok(client) => {
                let mut subscribers = Vec::new();
                for subject in &options.subscriptions {
                    let subscriber = client.subscribe(subject.clone()).await;
                    subscribers.push(
                        subscriber.map_err(|e| format!("cannot subscribe to {subject}: {e}"))?,
                    );
                }
                return Ok((client, subscribers));
            }
            Err(error) => match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    return Err(format!("the broker refuses the user: {error}"));
                }
                _ if attempt == 0 => {
                    tracing::warn!(urls = ?redacted(&options.urls), %error, "the broker is not there; waiting for it");
                }
                _ => tracing::debug!(%error, "the broker is still not there"),
            },
        }
        tokio::time::sleep(reconnect_delay(attempt, u64::from(std::process::id()))).await;
        attempt += 1;
    }
}

/// Without what may stand before an `@`.
fn redacted(urls: &[String]) -> Vec<String> {
    let host = |url: &String| match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or(rest)),
        None => url.rsplit('@').next().unwrap_or(url).to_owned(),
    };
    urls.iter().map(host).collect()
}

/// `ready_since`: when the first connection had its subscriptions, if it has.
async fn on_event(event: Event, tell: &mpsc::Sender<Control>, ready_since: Option<Instant>) {
    match &event {
        Event::Connected => tracing::info!("the broker is there"),
        Event::Disconnected => tracing::warn!("the broker is gone; waiting for it"),
        Event::LameDuckMode => tracing::info!("the broker is about to stop"),
        Event::SlowConsumer(_) => tracing::warn!("messages were dropped here: too many at once"),
        Event::ClientError(error) => tracing::debug!(%error, "the client library reports"),
        other => tracing::warn!(%other, "the broker reports"),
    }
    let control = match event {
        Event::Connected if ready_since.is_some() => Control::Up,
        Event::Disconnected | Event::Closed => Control::Down,
        Event::ServerError(ServerError::Other(text))
            if is_permission(&text) && ready_since.is_none_or(|t| t.elapsed() < START) =>
        {
            Control::Fatal(format!("the broker refuses a permission: {text}"))
        }
        _ => return,
    };
    tell.send(control).await.ok();
}

fn is_permission(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

#[cfg(test)]
mod tests {
    #[test]
    fn secrets_in_urls_are_not_shown() {
        let urls = [
            "nats://me:secret@host:4222".to_owned(),
            "token@host".to_owned(),
            "nats://host".to_owned(),
        ];
        assert_eq!(
            super::redacted(&urls),
            ["nats://host:4222", "host", "nats://host"]
        );
    }
}
