//! Connecting, however long the broker takes to appear; only a refusal ends it.

use std::error::Error;
use std::io;
use std::sync::Arc;

use async_nats::rustls::{self, AlertDescription};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions};
use tokio::sync::mpsc;

use crate::denials::{AccessEvent, watch_access};
use crate::events::{Events, Occurrences};
use crate::link::LinkError;
use crate::nats_link::{Control, Subscription};
use crate::options::{LinkOptions, OptionsError, random_seed, reconnect_delay};

/// What may wait for the program: a few changes of the connection.
const CONTROL_CAPACITY: usize = 64;
/// What the broker says of this program's permissions, and was not looked at yet: more than any node has subjects.
const ACCESS_CAPACITY: usize = 64;

/// Starts the task that connects; it ends when the receiver that is handed out is dropped. `dropped` counts messages that this
/// program was too slow for.
pub(crate) fn start(
    options: LinkOptions,
    dropped: Arc<Occurrences>,
) -> Result<mpsc::Receiver<Control>, OptionsError> {
    let (control, receiver) = mpsc::channel(CONTROL_CAPACITY);
    let (to_access, access) = mpsc::channel(ACCESS_CAPACITY);
    let events = Arc::new(Events::new(
        control.clone(),
        to_access,
        options.publishes.clone(),
        options.service.is_some(),
        dropped,
    ));
    let called_back = Arc::clone(&events);
    let connect = options.connect_options()?.event_callback(move |event| {
        let events = Arc::clone(&called_back);
        async move { events.on_event(event).await }
    });
    tokio::spawn(async move {
        tokio::select! {
            () = control.closed() => {}
            () = run(&options, connect, &events, &control, access) => {}
        }
    });
    Ok(receiver)
}

async fn run(
    options: &LinkOptions,
    connect: ConnectOptions,
    events: &Events,
    control: &mpsc::Sender<Control>,
    access: mpsc::Receiver<AccessEvent>,
) {
    let connected = match connected(options, connect).await {
        Ok(client) => match subscribed(&client, &options.subscriptions).await {
            Ok(subscriptions) => Ok((client, subscriptions)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match connected {
        Ok((client, subscriptions)) => {
            events.set_ready();
            let ready = Control::Ready(client.clone(), subscriptions);
            if control.send(ready).await.is_ok() {
                let service = async {
                    if let Some(service) = &options.service {
                        service.serve(&client).await;
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = watch_access(client.clone(), access, control) => {}
                    () = service => {}
                }
            }
        }
        Err(error) => drop(control.send(Control::Fatal(error)).await),
    }
}

/// Tries until the broker is there.
async fn connected(options: &LinkOptions, connect: ConnectOptions) -> Result<Client, LinkError> {
    let urls: Vec<&str> = options.urls.iter().map(|url| url.address()).collect();
    let seed = random_seed();
    let mut warned_of = None;
    for attempt in 0.. {
        let error = match connect.clone().connect(&urls).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let obstacle = match diagnose(&error) {
            Diagnosis::Refused(refusal) => return Err(refusal),
            Diagnosis::Waiting(obstacle) => obstacle,
        };
        if warned_of.replace(obstacle) == Some(obstacle) {
            tracing::debug!(%error, "still no connection to the broker");
        } else {
            let urls = urls.join(", ");
            match obstacle {
                Obstacle::Absent => {
                    tracing::warn!(urls, %error, "the broker is not there; waiting for it");
                }
                Obstacle::Untrusted => tracing::warn!(
                    urls, %error,
                    "the broker is there, but its certificate is not trusted (NATS_CA); waiting for another one"
                ),
            }
        }
        tokio::time::sleep(reconnect_delay(attempt, seed)).await;
    }
    Err(LinkError::Closed)
}

async fn subscribed(client: &Client, subjects: &[String]) -> Result<Vec<Subscription>, LinkError> {
    let mut subscriptions = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let subscriber = client.subscribe(subject.clone()).await;
        subscriptions.push(Subscription {
            subject: subject.clone(),
            messages: subscriber.map_err(|error| LinkError::Subscription {
                subject: subject.clone(),
                reason: error.to_string(),
            })?,
        });
    }
    Ok(subscriptions)
}

/// What a failed try to connect means.
#[derive(Debug, PartialEq, Eq)]
enum Diagnosis {
    /// The broker will never take this program as it is.
    Refused(LinkError),
    /// It may be another time.
    Waiting(Obstacle),
}

/// What a program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// The broker is not there, or not ready.
    Absent,
    /// The broker is there, and its certificate is not to be trusted.
    Untrusted,
}

fn diagnose(error: &ConnectError) -> Diagnosis {
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            return Diagnosis::Refused(LinkError::User(error.to_string()));
        }
        // The client library could not sign with what it was given; the broker was not asked.
        ConnectErrorKind::Authentication => {
            return Diagnosis::Refused(LinkError::Credentials(error.to_string()));
        }
        _ => {}
    }
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_)) => Diagnosis::Waiting(Obstacle::Untrusted),
        Some(rustls::Error::AlertReceived(alert)) if is_about_our_certificate(*alert) => {
            Diagnosis::Refused(LinkError::Certificate(error.to_string()))
        }
        _ => Diagnosis::Waiting(Obstacle::Absent),
    }
}

/// TLS errors come inside of I/O errors, which do not show them as their source.
fn tls_error(error: &ConnectError) -> Option<&rustls::Error> {
    let error = error.source()?.downcast_ref::<io::Error>()?;
    error.get_ref()?.downcast_ref()
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, NoCertificate, UnknownCA, UnsupportedCertificate,
    };
    matches!(
        alert,
        AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | NoCertificate
            | UnknownCA
            | UnsupportedCertificate
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(error: rustls::Error) -> ConnectError {
        io::Error::new(io::ErrorKind::InvalidData, error).into()
    }

    #[test]
    fn refusals_are_told_from_a_broker_that_may_still_come() {
        let refused = ConnectError::new(ConnectErrorKind::AuthorizationViolation);
        assert_eq!(
            diagnose(&refused),
            Diagnosis::Refused(LinkError::User("authorization violation".into()))
        );
        let unsigned = ConnectError::new(ConnectErrorKind::Authentication);
        assert!(matches!(
            diagnose(&unsigned),
            Diagnosis::Refused(LinkError::Credentials(_))
        ));
        let ours = tls(rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired,
        ));
        assert!(matches!(
            diagnose(&ours),
            Diagnosis::Refused(LinkError::Certificate(_))
        ));
        let theirs = tls(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer,
        ));
        assert_eq!(diagnose(&theirs), Diagnosis::Waiting(Obstacle::Untrusted));
        let other_alert = tls(rustls::Error::AlertReceived(
            AlertDescription::InternalError,
        ));
        let absent = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        for error in [other_alert, absent] {
            assert_eq!(diagnose(&error), Diagnosis::Waiting(Obstacle::Absent));
        }
    }
}
