//! How to reach the broker and who to be there.

use std::path::PathBuf;
use std::time::Duration;

use replog_common::service::settings::WrongSetting;

/// Who to be: the `nats` CLI's own variables, same meaning. Never a flag, never logged.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `NATS_USER`: the user, or a token if there is no password.
    pub user: Option<String>,
    /// `NATS_PASSWORD`.
    pub password: Option<String>,
    /// `NATS_CREDS`: a file with a JWT and its seed.
    pub creds: Option<PathBuf>,
    /// `NATS_NKEY`: a file with an nkey seed.
    pub nkey: Option<PathBuf>,
    /// `NATS_CA`: a file with the certificate authority to trust.
    pub ca: Option<PathBuf>,
    /// `NATS_CERT`: a file with the client's certificate; goes with `key`.
    pub cert: Option<PathBuf>,
    /// `NATS_KEY`: a file with its key.
    pub key: Option<PathBuf>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A credential that cannot be used; names its variable.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A file that cannot be read.
    #[error("{variable} names {path:?}, which cannot be read: {error}")]
    File {
        /// Which variable.
        variable: &'static str,
        /// What it says.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// One that needs another.
    #[error("{0} is set without {1}: set both or neither")]
    Alone(&'static str, &'static str),
}

impl Credentials {
    /// From the variables that `get` looks up; an empty one counts as unset.
    ///
    /// # Errors
    /// A password without a user, a certificate without its key.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, OptionsError> {
        let text = |name: &str| get(name).filter(|v| !v.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let all = Self {
            user: text("NATS_USER"),
            password: text("NATS_PASSWORD"),
            creds: path("NATS_CREDS"),
            nkey: path("NATS_NKEY"),
            ca: path("NATS_CA"),
            cert: path("NATS_CERT"),
            key: path("NATS_KEY"),
        };
        match (&all.user, &all.password, &all.cert, &all.key) {
            (None, Some(_), _, _) => Err(OptionsError::Alone("NATS_PASSWORD", "NATS_USER")),
            (_, _, Some(_), None) => Err(OptionsError::Alone("NATS_CERT", "NATS_KEY")),
            (_, _, None, Some(_)) => Err(OptionsError::Alone("NATS_KEY", "NATS_CERT")),
            _ => Ok(all),
        }
    }

    /// From this process's environment.
    ///
    /// # Errors
    /// As [`Credentials::from_variables`].
    pub fn from_environment() -> Result<Self, OptionsError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Whether this process's environment has credentials that can be used; for the check of the settings.
    ///
    /// # Errors
    /// The variable that is wrong; never a secret.
    pub fn check_environment() -> Result<(), WrongSetting> {
        let checked = Self::from_environment()
            .and_then(|credentials| credentials.apply(async_nats::ConnectOptions::new()));
        checked.map(drop).map_err(|error| match &error {
            OptionsError::File {
                variable,
                path,
                error,
            } => {
                let expected = format!("expected a file that can be used ({error})");
                WrongSetting::new(variable, path.display().to_string(), expected)
            }
            OptionsError::Alone(variable, other) => WrongSetting::new(
                variable,
                "set".to_owned(),
                format!("expected {other} beside it"),
            ),
        })
    }

    fn read(variable: &'static str, path: &PathBuf) -> Result<String, OptionsError> {
        std::fs::read_to_string(path).map_err(|error| OptionsError::File {
            variable,
            path: path.clone(),
            error,
        })
    }

    /// Puts them into the client's options.
    pub(crate) fn apply(
        &self,
        options: async_nats::ConnectOptions,
    ) -> Result<async_nats::ConnectOptions, OptionsError> {
        let mut options = match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                options.user_and_password(user.clone(), password.clone())
            }
            (Some(token), None) => options.token(token.clone()),
            (None, _) => options,
        };
        if let Some(path) = &self.creds {
            options = options
                .credentials(&Self::read("NATS_CREDS", path)?)
                .map_err(|error| OptionsError::File {
                    variable: "NATS_CREDS",
                    path: path.clone(),
                    error,
                })?;
        }
        if let Some(path) = &self.nkey {
            options = options.nkey(Self::read("NATS_NKEY", path)?.trim().to_owned());
        }
        for (variable, path) in [
            ("NATS_CA", &self.ca),
            ("NATS_CERT", &self.cert),
            ("NATS_KEY", &self.key),
        ] {
            path.as_ref().map(|p| Self::read(variable, p)).transpose()?;
        }
        if let Some(path) = &self.ca {
            options = options.add_root_certificates(path.clone());
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(options)
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// The broker, or the members of a NATS cluster.
    pub urls: Vec<String>,
    /// Who to be.
    pub credentials: Credentials,
    /// The connection's name in `nats server report connections`.
    pub name: String,
    /// The second token of every subject.
    pub cluster: String,
    /// What to listen to.
    pub subscriptions: Vec<String>,
}

/// A dead broker is noticed after two to three of these; the client library's default is a minute.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Messages that may wait here; more than every window of every secondary together brings at once.
const SUBSCRIPTION_CAPACITY: usize = 16_384;
/// The longest wait between two tries to reach the broker.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Doubling from 20 ms to a second, with jitter: many clients of one broker do not come back in one moment.
pub(crate) fn reconnect_delay(attempt: usize, seed: u64) -> Duration {
    let step = Duration::from_millis(20 << attempt.min(6)).min(MAX_RECONNECT_DELAY);
    let mixed = (seed ^ attempt as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    step / 2 + (step / 2).mul_f64(mixed as f64 / f64::from(1 << 24))
}

impl LinkOptions {
    pub(crate) fn connect_options(&self) -> Result<async_nats::ConnectOptions, OptionsError> {
        let seed = u64::from(std::process::id());
        let options = async_nats::ConnectOptions::new()
            .name(&self.name)
            .no_echo()
            .ping_interval(PING_INTERVAL)
            .connection_timeout(Duration::from_secs(2))
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .reconnect_delay_callback(move |attempt| reconnect_delay(attempt, seed));
        self.credentials.apply(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_second_and_differ_between_processes() {
        for seed in [1, 99] {
            assert!((0..100).all(|n| reconnect_delay(n, seed) <= MAX_RECONNECT_DELAY));
            assert!(reconnect_delay(0, seed) < Duration::from_millis(21));
            assert!(reconnect_delay(50, seed) >= MAX_RECONNECT_DELAY / 2);
        }
        assert_ne!(reconnect_delay(9, 1), reconnect_delay(9, 2));
    }

    #[test]
    fn empty_variables_are_unset_and_halves_are_refused() {
        let from = |pairs: &'static [(&str, &str)]| {
            Credentials::from_variables(move |name| {
                pairs
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        assert!(from(&[("NATS_USER", ""), ("NATS_PASSWORD", "")]).is_ok_and(|c| c.user.is_none()));
        assert!(from(&[("NATS_PASSWORD", "x")]).is_err());
        assert!(from(&[("NATS_CERT", "x")]).is_err());
        assert!(from(&[("NATS_USER", "u"), ("NATS_PASSWORD", "x")]).is_ok());
    }
}
