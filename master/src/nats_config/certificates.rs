//! A certificate authority for one broker and its clients.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// How long certificates hold, the authority's own too: nothing renews them by itself.
const VALID: Duration = Duration::days(5 * 365);
/// A clock may be behind the one of the machine that makes them.
const BEFORE: Duration = Duration::days(1);

/// Signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(super) struct Certified {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// By which nodes reach a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BrokerName {
    /// An address.
    Ip(IpAddr),
    /// A name in the DNS; the first label may be `*`.
    Dns(String),
}

impl Authority {
    /// A new one, named after the cluster.
    pub(super) fn new(cluster: &str) -> Result<Self, rcgen::Error> {
        let mut params = params(&format!("replog {cluster}"))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    /// What others trust, in PEM.
    pub(super) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// What signs, in PEM.
    pub(super) fn key(&self) -> String {
        self.0.key().serialize_pem()
    }

    /// For a broker that is reached by those names. With it a broker can be a client of another one as well.
    pub(super) fn broker(&self, names: &[BrokerName]) -> Result<Certified, rcgen::Error> {
        let mut params = params("broker")?;
        for name in names {
            params.subject_alt_names.push(match name {
                BrokerName::Ip(address) => SanType::IpAddress(*address),
                BrokerName::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.signed(params)
    }

    /// For a client; the name is for people, a broker does not go by it.
    pub(super) fn client(&self, name: &str) -> Result<Certified, rcgen::Error> {
        let mut params = params(name)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.signed(params)
    }

    fn signed(&self, mut params: CertificateParams) -> Result<Certified, rcgen::Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Certified {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - BEFORE, now + VALID);
    Ok(params)
}

impl BrokerName {
    /// As it stands in a URL; `HOST` for many names at once.
    pub(super) fn in_url(&self) -> String {
        match self {
            Self::Dns(name) if name.starts_with('*') => "HOST".to_owned(),
            Self::Ip(IpAddr::V6(address)) => format!("[{address}]"),
            other => other.to_string(),
        }
    }
}

impl FromStr for BrokerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let is_label = |label: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len())
                && label.bytes().all(fits)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let labels = text.strip_prefix("*.").unwrap_or(text);
        match text.len() <= 253 && labels.split('.').all(is_label) {
            true => Ok(Self::Dns(text.to_owned())),
            false => {
                Err("expected names and IP addresses of the broker, with commas between".to_owned())
            }
        }
    }
}

impl fmt::Display for BrokerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(name) => f.write_str(name),
        }
    }
}
