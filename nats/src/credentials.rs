//! Who to be at the broker: the `nats` CLI's own variables, with the same meaning.

use std::path::{Path, PathBuf};

use async_nats::{Auth, AuthError, ConnectOptions};
use nkeys::KeyPair;

/// Who to be at the broker. Never a flag, never logged.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `NATS_USER`: the user, or a token if there is no password.
    pub user: Option<String>,
    /// `NATS_PASSWORD`: the user's password.
    pub password: Option<String>,
    /// `NATS_TOKEN`: a token in place of user and password.
    pub token: Option<String>,
    /// `NATS_CREDS`: a file with a JWT and its seed.
    pub creds: Option<PathBuf>,
    /// `NATS_NKEY`: a file with an nkey seed.
    pub nkey: Option<PathBuf>,
    /// `NATS_CA`: a file with the certificate authority to trust, in PEM.
    pub ca: Option<PathBuf>,
    /// `NATS_CERT`: a file with this program's certificate, in PEM; goes with `key`.
    pub cert: Option<PathBuf>,
    /// `NATS_KEY`: a file with the certificate's key, in PEM.
    pub key: Option<PathBuf>,
}

/// A credential that cannot be used. Names its variable, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file that cannot be read, or does not hold what it should.
    #[error("{variable} names {path:?}, expected a file that can be used: {error}")]
    File {
        /// Which variable.
        variable: &'static str,
        /// The path that the variable names.
        path: PathBuf,
        /// Why the file cannot be used.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A variable that needs another one.
    #[error("{variable} is set without {other}: set both or neither")]
    Alone {
        /// The variable that is set.
        variable: &'static str,
        /// The variable that is missing.
        other: &'static str,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// The names of all variables that [`Credentials::from_variables`] looks up.
    pub const VARIABLES: [&'static str; 8] = [
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_TOKEN",
        "NATS_CREDS",
        "NATS_NKEY",
        "NATS_CA",
        "NATS_CERT",
        "NATS_KEY",
    ];

    /// From the variables that `get` looks up, usually in the environment; an empty one counts as unset.
    ///
    /// # Errors
    /// A password without a user, a certificate without its key, a key without its certificate.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialsError> {
        let text = |name: &str| get(name).filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let all = Self {
            user: text("NATS_USER"),
            password: text("NATS_PASSWORD"),
            token: text("NATS_TOKEN"),
            creds: path("NATS_CREDS"),
            nkey: path("NATS_NKEY"),
            ca: path("NATS_CA"),
            cert: path("NATS_CERT"),
            key: path("NATS_KEY"),
        };
        let alone = |variable, other| Err(CredentialsError::Alone { variable, other });
        match (&all.user, &all.password, &all.cert, &all.key) {
            (None, Some(_), _, _) => alone("NATS_PASSWORD", "NATS_USER"),
            (_, _, Some(_), None) => alone("NATS_CERT", "NATS_KEY"),
            (_, _, None, Some(_)) => alone("NATS_KEY", "NATS_CERT"),
            _ => Ok(all),
        }
    }

    /// Whether every file is there and can be used; for the check of the settings before anything is started.
    ///
    /// # Errors
    /// The first variable whose file cannot be used.
    pub fn check(&self) -> Result<(), CredentialsError> {
        self.sign(b"")?;
        for (variable, path) in [
            ("NATS_CA", &self.ca),
            ("NATS_CERT", &self.cert),
            ("NATS_KEY", &self.key),
        ] {
            path.as_ref().map(|path| read(variable, path)).transpose()?;
        }
        Ok(())
    }

    /// The client library's options with these credentials in them. All files are read again at each connect.
    pub(crate) fn into_connect_options(self) -> Result<ConnectOptions, CredentialsError> {
        self.check()?;
        let (ca, cert, key) = (self.ca.clone(), self.cert.clone(), self.key.clone());
        let mut options = ConnectOptions::with_auth_callback(move |nonce| {
            std::future::ready(self.sign(&nonce).map_err(AuthError::new))
        });
        if let Some(ca) = ca {
            options = options.add_root_certificates(ca);
        }
        if let (Some(cert), Some(key)) = (cert, key) {
            options = options.add_client_certificate(cert, key);
        }
        Ok(options)
    }

    /// What this program says of itself to a broker that has sent this nonce.
    fn sign(&self, nonce: &[u8]) -> Result<Auth, CredentialsError> {
        let mut auth = Auth::new();
        if let (Some(user), Some(password)) = (&self.user, &self.password) {
            auth.username = Some(user.clone());
            auth.password = Some(password.clone());
        }
        let user_as_token = self.user.as_ref().filter(|_| self.password.is_none());
        auth.token = self.token.as_ref().or(user_as_token).cloned();
        if let Some(path) = &self.nkey {
            let pair = key_pair("NATS_NKEY", path, &read("NATS_NKEY", path)?)?;
            auth.nkey = Some(pair.public_key());
            auth.signature = Some(signature("NATS_NKEY", path, &pair, nonce)?);
        }
        if let Some(path) = &self.creds {
            let creds = read("NATS_CREDS", path)?;
            let jwt = line_that_starts_with("ey", &creds);
            let jwt = jwt.ok_or_else(|| unusable("NATS_CREDS", path, "no JWT in the file"))?;
            let pair = key_pair("NATS_CREDS", path, &creds)?;
            auth.jwt = Some(jwt.to_owned());
            auth.signature = Some(signature("NATS_CREDS", path, &pair, nonce)?);
        }
        Ok(auth)
    }
}

/// The pair of the seed in the text of a file, which may have other lines around it (`-----BEGIN USER NKEY SEED-----`).
fn key_pair(variable: &'static str, path: &Path, text: &str) -> Result<KeyPair, CredentialsError> {
    let seed = line_that_starts_with("SU", text);
    let seed =
        seed.ok_or_else(|| unusable(variable, path, "no nkey seed of a user in the file"))?;
    KeyPair::from_seed(seed).map_err(|error| unusable(variable, path, error))
}

fn signature(
    variable: &'static str,
    path: &Path,
    pair: &KeyPair,
    nonce: &[u8],
) -> Result<Vec<u8>, CredentialsError> {
    pair.sign(nonce)
        .map_err(|error| unusable(variable, path, error))
}

fn line_that_starts_with<'a>(start: &str, text: &'a str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with(start))
}

fn read(variable: &'static str, path: &Path) -> Result<String, CredentialsError> {
    std::fs::read_to_string(path).map_err(|error| unusable(variable, path, error))
}

fn unusable(
    variable: &'static str,
    path: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> CredentialsError {
    CredentialsError::File {
        variable,
        path: path.to_owned(),
        error: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        Credentials::from_variables(|name| {
            let pair = pairs.iter().find(|(variable, _)| *variable == name);
            pair.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_variable_is_read() {
        let looked_up = std::cell::RefCell::new(Vec::new());
        let all = Credentials::from_variables(|name| {
            looked_up.borrow_mut().push(name.to_owned());
            Some(format!("value of {name}"))
        });
        assert_eq!(*looked_up.borrow(), Credentials::VARIABLES);
        let all = all.unwrap();
        assert_eq!(all.token.unwrap(), "value of NATS_TOKEN");
        assert_eq!(all.key.unwrap(), Path::new("value of NATS_KEY"));
    }

    #[test]
    fn empty_variables_are_unset_and_halves_are_refused() {
        let unset = from(&[("NATS_USER", ""), ("NATS_PASSWORD", ""), ("NATS_CA", "")]).unwrap();
        assert!(unset.user.is_none() && unset.password.is_none() && unset.ca.is_none());
        assert!(from(&[("NATS_USER", "u"), ("NATS_PASSWORD", "x")]).is_ok());
        for (alone, message) in [
            (
                "NATS_PASSWORD",
                "NATS_PASSWORD is set without NATS_USER: set both or neither",
            ),
            (
                "NATS_CERT",
                "NATS_CERT is set without NATS_KEY: set both or neither",
            ),
            (
                "NATS_KEY",
                "NATS_KEY is set without NATS_CERT: set both or neither",
            ),
        ] {
            let error = from(&[(alone, "s3cret")]).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_variable() {
        // A directory is there and cannot be read; a manifest is no credentials file.
        for (variable, path) in [
            (
                "NATS_CREDS",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ),
            ("NATS_CREDS", "/"),
            ("NATS_NKEY", "/"),
            ("NATS_CA", "/"),
        ] {
            let error = from(&[(variable, path)]).unwrap().check().unwrap_err();
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("{variable} names {path:?}")),
                "{text}"
            );
        }
    }

    /// A file that goes with the value.
    struct TemporaryFile(PathBuf);

    impl TemporaryFile {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("replog-nats-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.0, text).unwrap();
        }

        fn path(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for TemporaryFile {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    #[test]
    fn seeds_are_read_again_at_each_connect() {
        let (first, second) = (KeyPair::new_user(), KeyPair::new_user());
        let file = TemporaryFile::new("nkey", &format!(" {}\n", first.seed().unwrap()));
        let credentials = from(&[("NATS_NKEY", file.path())]).unwrap();
        let nkey = || {
            let auth = credentials.sign(b"nonce").unwrap();
            let key = KeyPair::from_public_key(&auth.nkey.clone().unwrap()).unwrap();
            key.verify(b"nonce", &auth.signature.unwrap()).unwrap();
            auth.nkey.unwrap()
        };
        assert_eq!(nkey(), first.public_key());
        file.write(&second.seed().unwrap());
        assert_eq!(nkey(), second.public_key());
        file.write("nothing of the kind");
        let error = credentials.check().unwrap_err().to_string();
        assert!(error.contains("no nkey seed"), "{error}");
        file.write("SUAB");
        assert!(
            credentials.check().is_err(),
            "no seed, though it begins like one"
        );
    }

    #[test]
    fn a_credentials_file_has_a_jwt_and_a_seed_among_other_lines() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.e30.c2ln\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let file = TemporaryFile::new("creds", &text);
        let credentials = from(&[("NATS_CREDS", file.path())]).unwrap();
        let auth = credentials.sign(b"nonce").unwrap();
        assert_eq!(auth.jwt.unwrap(), "eyJ0.e30.c2ln");
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        file.write(&seed);
        let error = credentials.check().unwrap_err().to_string();
        assert!(error.contains("no JWT"), "{error}");
    }

    #[test]
    fn a_user_alone_is_a_token() {
        let who = |pairs: &[(&str, &str)]| {
            let auth = from(pairs).unwrap().sign(b"").unwrap();
            (auth.username, auth.password, auth.token)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(who(&[("NATS_USER", "u")]), (None, None, some("u")));
        assert_eq!(who(&[("NATS_TOKEN", "t")]), (None, None, some("t")));
        assert_eq!(
            who(&[("NATS_USER", "u"), ("NATS_PASSWORD", "p")]),
            (some("u"), some("p"), None)
        );
    }

    #[test]
    fn nothing_is_shown() {
        let credentials = from(&[("NATS_USER", "u"), ("NATS_PASSWORD", "s3cret")]).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
    }
}
