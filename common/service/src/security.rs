//! Who may call a node, and the certificate that it shows: what the settings say, read and kept up to date.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::readiness::Readiness;
use crate::http::server::Listener;
use crate::http::tls::{self, Certificate};
use crate::http::tokens::Tokens;
use crate::reloading::Reloading;

/// What keeps others out. The default lets everybody in.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Without them everybody may make every call.
    pub tokens: Option<Reloading<Tokens>>,
    /// Without it calls are made in the clear.
    pub certificate: Option<Certificate>,
}

impl Security {
    /// The same socket, which speaks TLS where there is a certificate.
    #[must_use]
    pub fn listener(&self, tcp: TcpListener) -> Listener {
        Listener {
            tcp,
            tls: self.certificate.as_ref().map(tls::acceptor),
        }
    }

    /// Whether the files are what holds: a node with tokens or a certificate of before serves all the same.
    #[must_use]
    pub fn check(&self, readiness: Readiness) -> Readiness {
        let readiness = match &self.tokens {
            None => readiness,
            Some(tokens) => match tokens.problem() {
                None => {
                    let count = tokens.current().count();
                    readiness.passed("tokens", format!("{count} of them"))
                }
                Some(problem) => {
                    let detail = format!("those read before stay: {problem}");
                    readiness.degraded("tokens", detail)
                }
            },
        };
        match self.certificate.as_ref().map(Reloading::problem) {
            None => readiness,
            Some(None) => readiness.passed("certificate", "as in its file"),
            Some(Some(problem)) => {
                let detail = format!("the one read before stays: {problem}");
                readiness.degraded("certificate", detail)
            }
        }
    }

    /// Reads the files again when they change, until `stop` is cancelled.
    pub async fn keep_up(self, stop: CancellationToken) {
        let tokens = async {
            if let Some(tokens) = self.tokens {
                tokens.keep_up(stop.clone()).await;
            }
        };
        let certificate = async {
            if let Some(certificate) = self.certificate {
                certificate.keep_up(stop.clone()).await;
            }
        };
        tokio::join!(tokens, certificate);
    }
}
