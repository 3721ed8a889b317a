//! How to reach the broker, and the numbers of the connection with their reasons.

use std::time::Duration;

use async_nats::ConnectOptions;

use crate::broker_url::{BrokerUrl, UserInfo};
use crate::credentials::{Credentials, CredentialsError};
use crate::service::NatsService;

/// How many messages may wait in this process, for each subscription; a message that comes beyond is dropped, the newest first.
/// It has to exceed what can be in flight at one time: the window of a secondary on its side, the windows of all secondaries on
/// the master's side. A window is bounded in bytes and in messages, so this is room for thousands of secondaries.
/// (async-nats: `subscription_capacity`.)
pub const SUBSCRIPTION_CAPACITY: usize = 16_384;
/// A dead broker is noticed after two to three of these; the client library's default is a minute.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long one try to connect takes, at most.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait between two tries to reach the broker.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// How to connect.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The broker, or the members of a NATS cluster; at least one.
    pub urls: Vec<BrokerUrl>,
    /// Who to be, unless the URLs say so.
    pub credentials: Credentials,
    /// The connection's name in `nats server report connections`.
    pub name: String,
    /// The second token of every subject.
    pub cluster: String,
    /// The subjects to listen to, see [`Subjects`](crate::Subjects).
    pub subscriptions: Vec<String>,
    /// The patterns of the subjects that the program itself publishes to: what the broker refuses elsewhere is somebody's question
    /// to a NATS service that asks for an answer there.
    pub publishes: Vec<String>,
    /// What to be among the NATS services, if anything.
    pub service: Option<NatsService>,
}

/// Options that cannot be used. Each is one line and shows no secret.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A credential that cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The client library uses the same credentials for all brokers.
    #[error(
        "the URLs of the broker name different users: give all of them the same one, or use NATS_USER and NATS_PASSWORD"
    )]
    DifferentUsers,
}

impl LinkOptions {
    /// The client library's options, without what is called back: for tools that only listen.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    pub fn connect_options(&self) -> Result<ConnectOptions, OptionsError> {
        let seed = random_seed();
        let wants_tls = self.wants_tls();
        let options = self.credentials()?.into_connect_options()?;
        Ok(options
            .name(&self.name)
            .require_tls(wants_tls)
            .no_echo()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECTION_TIMEOUT)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .reconnect_delay_callback(move |attempt| reconnect_delay(attempt, seed)))
    }

    /// Whether nobody is told a password without TLS, as in the `nats` CLI: where a URL asks for TLS, or an authority or a
    /// certificate is given. It holds for brokers of the same cluster too, of which the first one tells.
    fn wants_tls(&self) -> bool {
        let Credentials { ca, cert, .. } = &self.credentials;
        let is_tls = |url: &BrokerUrl| url.address().starts_with("tls://");
        ca.is_some() || cert.is_some() || self.urls.iter().any(is_tls)
    }

    /// Who to be. Users, passwords and tokens of URLs come before those of the environment, as in the `nats` CLI; the client
    /// library would ignore them.
    fn credentials(&self) -> Result<Credentials, OptionsError> {
        let mut named = self.urls.iter().filter_map(BrokerUrl::user_info);
        let Some(first) = named.next() else {
            return Ok(self.credentials.clone());
        };
        if named.any(|other| other != first) {
            return Err(OptionsError::DifferentUsers);
        }
        let mut credentials = self.credentials.clone();
        (credentials.user, credentials.password, credentials.token) = match first.clone() {
            UserInfo::Password { user, password } => (Some(user), Some(password), None),
            UserInfo::Token(token) => (None, None, Some(token)),
        };
        Ok(credentials)
    }
}

/// Doubling from 20 ms to a second, with jitter: many clients of one broker do not come back in one moment.
pub(crate) fn reconnect_delay(attempt: usize, seed: u64) -> Duration {
    let step = Duration::from_millis(20 << attempt.min(6)).min(MAX_RECONNECT_DELAY);
    let mixed = (seed ^ attempt as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    step / 2 + (step / 2).mul_f64(mixed as f64 / f64::from(1 << 24))
}

/// Differs between processes, also between containers whose process ids are equal.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(urls: &[&str]) -> LinkOptions {
        LinkOptions {
            urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
            credentials: Credentials {
                user: Some("environment".into()),
                password: Some("secret".into()),
                ..Credentials::default()
            },
            name: "test".into(),
            cluster: "test".into(),
            subscriptions: Vec::new(),
            publishes: Vec::new(),
            service: None,
        }
    }

    #[test]
    fn delays_grow_to_a_second_and_differ_between_processes() {
        for seed in [1, 99, u64::MAX] {
            assert!((0..100).all(|n| reconnect_delay(n, seed) <= MAX_RECONNECT_DELAY));
            assert!(reconnect_delay(0, seed) < Duration::from_millis(21));
            assert!(reconnect_delay(50, seed) >= MAX_RECONNECT_DELAY / 2);
        }
        assert_ne!(reconnect_delay(9, 1), reconnect_delay(9, 2));
        assert_ne!(random_seed(), random_seed());
    }

    #[test]
    fn tls_is_required_where_anything_asks_for_it() {
        assert!(!options(&["h:1", "nats://h:2"]).wants_tls());
        assert!(options(&["h:1", "tls://h:2"]).wants_tls());
        let (mut with_ca, mut with_cert) = (options(&["h:1"]), options(&["h:1"]));
        with_ca.credentials.ca = Some("file".into());
        with_cert.credentials.cert = Some("file".into());
        assert!(with_ca.wants_tls() && with_cert.wants_tls());
    }

    #[test]
    fn the_user_of_the_urls_comes_before_that_of_the_environment() {
        let who = |urls: &[&str]| {
            let credentials = options(urls).credentials();
            credentials.map(|c| (c.user, c.password, c.token))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            who(&["h:1"]).unwrap(),
            (some("environment"), some("secret"), None)
        );
        assert_eq!(
            who(&["nats://me:pw@h:1", "h:2"]).unwrap(),
            (some("me"), some("pw"), None)
        );
        assert_eq!(
            who(&["nats://t0k3n@h:1", "nats://t0k3n@h:2"]).unwrap(),
            (None, None, some("t0k3n"))
        );
        let refused = who(&["nats://me:pw@h:1", "nats://you:pw@h:2"]).unwrap_err();
        assert!(matches!(refused, OptionsError::DifferentUsers));
    }
}
