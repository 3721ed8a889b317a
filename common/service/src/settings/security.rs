//! The settings of who may call, and how calls are kept from those who listen in.

use std::path::PathBuf;

use clap::Args;

use super::parse::Environment;
use super::refusal::WrongSetting;
use super::values::HttpAddr;
use crate::http::tls;
use crate::http::tokens::{Role, Tokens, WrongToken};
use crate::reloading::{Reloading, UnusableFile};
use crate::security::Security;

/// The variables of the tokens that stand in the environment.
pub(super) const TOKEN_VARIABLES: [(Role, &str); 3] = [
    (Role::Read, "REPLOG_TOKEN_READ"),
    (Role::Append, "REPLOG_TOKEN_APPEND"),
    (Role::Admin, "REPLOG_TOKEN_ADMIN"),
];

/// Who may call, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Who may call")]
pub struct SecurityArgs {
    /// Who may do what: on each line a role (read, append, admin), a name, and the SHA-256 of a token. Read again when it changes.
    #[arg(long, env = "REPLOG_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Serve HTTPS with this certificate, and those that vouch for it: PEM, read again when it changes.
    #[arg(long, env = "REPLOG_TLS_CERT", value_name = "FILE", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate: PEM.
    #[arg(long, env = "REPLOG_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Listen elsewhere than on loopback although nobody needs a token.
    #[arg(long, env = "REPLOG_INSECURE")]
    pub insecure: bool,
}

impl SecurityArgs {
    /// What these settings and the tokens of that environment ask for, for a node that is to listen at `http_addr`.
    ///
    /// # Errors
    /// A file or a token that cannot be used, a certificate without its key, and an address that others reach without any token
    /// unless [`SecurityArgs::insecure`] is set.
    pub fn open(
        &self,
        http_addr: &HttpAddr,
        environment: Environment<'_>,
    ) -> Result<Security, WrongSetting> {
        let tokens = self.tokens(environment)?;
        if tokens.is_none() && !http_addr.is_loopback() && !self.insecure {
            return Err(Self::reached_by_others(http_addr));
        }
        let certificate = match (&self.tls_cert, &self.tls_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                let certificate = tls::certificate(cert.clone(), key.clone());
                Some(certificate.map_err(|UnusableFile { path, why }| {
                    let flag = if path == *key && key != cert {
                        "--tls-key"
                    } else {
                        "--tls-cert"
                    };
                    unusable(flag, &UnusableFile { path, why })
                })?)
            }
            (Some(cert), None) => return Err(alone("--tls-cert", cert, "--tls-key")),
            (None, Some(key)) => return Err(alone("--tls-key", key, "--tls-cert")),
        };
        Ok(Security {
            tokens,
            certificate,
        })
    }

    /// The variables whose tokens are short enough to be guessed: wrong ones are not slowed down.
    pub fn short_tokens(environment: Environment<'_>) -> impl Iterator<Item = &'static str> {
        let variables = TOKEN_VARIABLES.map(|(_, variable)| variable);
        variables.into_iter().filter(move |variable| {
            environment(variable)
                .is_some_and(|token| (1..Tokens::MIN_SAFE_BYTES).contains(&token.len()))
        })
    }

    /// Others than this machine reach that address, and nobody needs a token there.
    #[must_use]
    pub fn reached_by_others(http_addr: &HttpAddr) -> WrongSetting {
        let expected = "expected a loopback address, or tokens (--tokens-file or REPLOG_TOKEN_ADMIN), or --insecure: \
                        who reaches this address could make every call";
        WrongSetting::new("--http-addr", http_addr.to_string(), expected.to_owned())
    }

    /// The tokens; `None` where nothing says that there are any.
    fn tokens(
        &self,
        environment: Environment<'_>,
    ) -> Result<Option<Reloading<Tokens>>, WrongSetting> {
        let mut named = Tokens::default();
        for (role, variable) in TOKEN_VARIABLES {
            let Some(token) = environment(variable).filter(|token| !token.is_empty()) else {
                continue;
            };
            let token = token.to_string_lossy();
            let wrong =
                |why: WrongToken| WrongSetting::new(variable, "set".to_owned(), why.to_string());
            named = named.with_variable(role, variable, &token).map_err(wrong)?;
        }
        if self.tokens_file.is_none() && named.count() == 0 {
            return Ok(None);
        }
        let paths: Vec<PathBuf> = self.tokens_file.iter().cloned().collect();
        let tokens = Reloading::read("tokens", paths, move |files| {
            let text = str::from_utf8(files.first().map_or(&[][..], Vec::as_slice));
            let text = text.map_err(|_| "expected text in UTF-8".to_owned())?;
            (named.clone().with_file(text)).map_err(|wrong| wrong.to_string())
        });
        tokens
            .map(Some)
            .map_err(|file| unusable("--tokens-file", &file))
    }
}

fn unusable(flag: &'static str, file: &UnusableFile) -> WrongSetting {
    let expected = match file.why.starts_with("expected") {
        true => file.why.clone(),
        false => format!("expected a file that can be used ({})", file.why),
    };
    WrongSetting::new(flag, file.path.display().to_string(), expected)
}

fn alone(flag: &'static str, path: &std::path::Path, other: &str) -> WrongSetting {
    let expected = format!("expected {other} beside it");
    WrongSetting::new(flag, path.display().to_string(), expected)
}
