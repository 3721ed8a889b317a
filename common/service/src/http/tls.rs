//! HTTPS: the certificate of a node, renewed while the node runs, and the client that asks such a node on its own machine.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::client;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::reloading::{Reloading, UnusableFile};

/// What is spoken inside TLS (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// A certificate with those that vouch for it, and its key; read again when the files change.
pub type Certificate = Reloading<CertifiedKey>;

/// The certificate in the file `cert`, with the key in the file `key`: both in PEM.
///
/// # Errors
/// A file that cannot be read, that holds no certificate or no key, or a key of another certificate.
pub fn certificate(cert: PathBuf, key: PathBuf) -> Result<Certificate, UnusableFile> {
    Reloading::read(
        "certificate and its key",
        vec![cert, key],
        |files| match files {
            [cert, key] => certified(cert, key),
            _ => Err("a certificate and a key are needed".to_owned()),
        },
    )
}

/// Never says what is in a file: it may be a key in the wrong place.
fn certified(cert: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain = chain(cert)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "there is no private key in PEM in the file of the key".to_owned())?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the key is that of another certificate".to_owned(),
        error => error.to_string(),
    })
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err("there is no certificate in PEM in the file".to_owned()),
    }
}

/// Takes TLS 1.2 and 1.3 for whoever accepts connections, with what `certificate` is at the moment of each.
///
/// # Panics
/// Never: the cryptography that is compiled in has both versions.
#[must_use]
pub fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("both versions are compiled in");
    let resolver = Arc::new(Current(certificate.clone()));
    let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Whatever name the client asks for, this node has one certificate.
struct Current(Certificate);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

/// Asks a node whose certificate is known, whatever the node is called.
#[derive(Clone)]
pub struct KnownNode(TlsConnector);

impl fmt::Debug for KnownNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownNode(..)")
    }
}

impl KnownNode {
    /// The node whose certificate is the first one in `pem`.
    ///
    /// # Errors
    /// There is none.
    pub fn new(pem: &[u8]) -> io::Result<Self> {
        let chain = chain(pem).map_err(io::Error::other)?;
        let certificate = chain.into_iter().next();
        Self::with(Some(certificate.ok_or(io::ErrorKind::InvalidData)?))
    }

    /// Whoever listens on this machine, whatever certificate that one shows: for questions with nothing secret in them. A node
    /// whose files are broken, or just renewed, goes on with the certificate that they held before.
    ///
    /// # Errors
    /// As [`KnownNode::new`].
    pub fn on_this_machine() -> io::Result<Self> {
        Self::with(None)
    }

    fn with(certificate: Option<CertificateDer<'static>>) -> io::Result<Self> {
        let provider = provider();
        let verifier = Pinned {
            certificate,
            provider: Arc::clone(&provider),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Speaks TLS with the node at the other end of `stream`.
    ///
    /// # Errors
    /// It has another certificate, or does not speak TLS.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        // The name is not looked at, and has to be one.
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        self.0.connect(name, stream).await
    }
}

/// Trusts one certificate, and nobody who vouches for another: the file of the certificate is all that a healthcheck has, and
/// the certificate is rarely one for the loopback address that is asked.
#[derive(Debug)]
struct Pinned {
    /// Any one, where it is none.
    certificate: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.certificate {
            Some(own) if own != end_entity => Err(CertificateError::UnknownIssuer.into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// The cryptography of this program.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
mod tests;
