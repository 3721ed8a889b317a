//! Parsers of single values, for clap's `value_parser`.
//!
//! Each error says what is expected, so that a refusal reads
//! `--delay (REPLOG_DELAY): "5" is not allowed: expected a duration with a unit: 500ms, 2s, 1m`.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use replog_protocol::follower::reorder::HOLD_BACK_BYTES;
use replog_protocol::node_url::NodeUrl;
use replog_storage::disk::Fsync;

use crate::http::origin::Origin;

const DURATION_HINT: &str = "expected a duration with a unit: 500ms, 2s, 1m";
const SIZE_HINT: &str = "expected a size with a unit: 512B, 256KiB, 1MiB";
const ADDR_HINT: &str =
    "expected an IP address or a host name, and a port: 127.0.0.1:8000, 0.0.0.0:8000, [::]:8000";

/// Longer ones are taken for a mistake, and would overflow deadlines.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The shortest heartbeat interval: with shorter ones an ordinary pause of a busy machine looks like a dead node.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(20);
/// The longest heartbeat interval: with longer ones a dead node is noticed after minutes.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
/// The most of anything that is counted: as many files as Linux lets one process have open.
const MOST: usize = 1 << 20;

/// A whole number and a unit (`ms`, `s`, `m`, `h`); `0ms` is allowed, more than 365 days is not.
///
/// # Errors
/// A bare number, an unknown unit, a fraction or a sign.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text).ok_or(DURATION_HINT)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(DURATION_HINT.into()),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| "expected a duration of at most 8760h".into())
}

/// A [`duration`] from 20 ms to 60 s.
///
/// # Errors
/// As [`duration`], and outside that range.
pub fn heartbeat_interval(text: &str) -> Result<Duration, String> {
    let range = SHORTEST_HEARTBEAT..=LONGEST_HEARTBEAT;
    within(duration(text)?, range, "a duration from 20ms to 60s")
}

/// How long a client is waited for, from 50 ms to 24 hours: a shorter time cuts clients that do nothing wrong.
///
/// # Errors
/// As [`duration`], and outside that range.
pub fn client_timeout(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(50)..=24 * HOUR;
    within(duration(text)?, range, "a duration from 50ms to 24h")
}

/// A silence of a node that means something, above zero and up to 24 hours: after a longer one nobody would look any more.
///
/// # Errors
/// As [`duration`], and outside that range.
pub fn silence(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(1)..=24 * HOUR;
    within(duration(text)?, range, "a duration from 1ms to 24h")
}

/// How long an empty master waits for what the members hold, from 50 ms to 1 hour: in a shorter time none of them can answer.
///
/// # Errors
/// As [`duration`], and outside that range.
pub fn recovery_timeout(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(50)..=HOUR;
    within(duration(text)?, range, "a duration from 50ms to 1h")
}

/// A pause before something is sent again, from 10 ms to 10 minutes: after a shorter one a node that is slow gets everything
/// again and again, after a longer one what was lost is missing for too long.
///
/// # Errors
/// As [`duration`], and outside that range.
pub fn retry_pause(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(10)..=HOUR / 6;
    within(duration(text)?, range, "a duration from 10ms to 10m")
}

/// A size in bytes above zero: a whole number and a unit (`B`, `KB`, `MB`, `GB` in thousands; `KiB`, `MiB`, `GiB` in
/// 1,024s).
///
/// # Errors
/// A bare number, an unknown unit, a fraction, a sign, zero, or more than this machine can address.
pub fn size_bytes(text: &str) -> Result<usize, String> {
    let (number, unit) = number_and_unit(text).ok_or(SIZE_HINT)?;
    let unit_bytes: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(SIZE_HINT.into()),
    };
    let bytes = number
        .checked_mul(unit_bytes)
        .and_then(|bytes| isize::try_from(bytes).ok())
        .ok_or("expected a size this machine can address")?;
    match bytes.unsigned_abs() {
        0 => Err("expected a size above 0B".into()),
        bytes => Ok(bytes),
    }
}

/// The headers of a request, from 1 KiB, which the requests of ordinary clients need, to 1 MiB.
///
/// # Errors
/// As [`size_bytes`], and outside that range.
pub fn header_bytes(text: &str) -> Result<usize, String> {
    within(size_bytes(text)?, KIB..=MIB, "a size from 1KiB to 1MiB")
}

/// The body of a request, from 1 KiB to 1 GiB.
///
/// # Errors
/// As [`size_bytes`], and outside that range.
pub fn body_bytes(text: &str) -> Result<usize, String> {
    within(size_bytes(text)?, KIB..=GIB, "a size from 1KiB to 1GiB")
}

/// Entries on their way to a secondary, from 1 KiB to 64 MiB, which is what a secondary holds back.
///
/// # Errors
/// As [`size_bytes`], and outside that range.
pub fn replication_bytes(text: &str) -> Result<usize, String> {
    let range = KIB..=HOLD_BACK_BYTES;
    within(size_bytes(text)?, range, "a size from 1KiB to 64MiB")
}

/// A probability, 0 to 1 with both ends.
///
/// # Errors
/// Anything outside, `NaN` included.
pub fn rate(text: &str) -> Result<f64, String> {
    f64::from_str(text)
        .ok()
        .filter(|rate| (0.0..=1.0).contains(rate))
        .ok_or_else(|| "expected a number from 0 to 1".into())
}

/// A number of clients, connections or streams, 1 to 1,048,576.
///
/// # Errors
/// Anything else.
pub fn count(text: &str) -> Result<usize, String> {
    whole_number(text, MOST)
}

/// A number of threads, 1 to 64.
///
/// # Errors
/// Anything else.
pub fn threads(text: &str) -> Result<usize, String> {
    whole_number(text, 64)
}

fn whole_number(text: &str, most: usize) -> Result<usize, String> {
    let number = usize::from_str(text).ok();
    let number = number.filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {most}"))
}

/// The value, if it is in its range.
fn within<T: PartialOrd>(value: T, range: RangeInclusive<T>, expected: &str) -> Result<T, String> {
    match range.contains(&value) {
        true => Ok(value),
        false => Err(format!("expected {expected}")),
    }
}

/// `always` or `never`.
///
/// # Errors
/// Anything else.
pub fn fsync(text: &str) -> Result<Fsync, String> {
    [Fsync::Always, Fsync::Never]
        .into_iter()
        .find(|fsync| fsync.as_str() == text)
        .ok_or_else(|| "expected always or never".into())
}

/// Where clients reach a node: `http` or `https`, a host and maybe a port.
///
/// # Errors
/// Anything else; a slash at the end does no harm.
pub fn node_url(text: &str) -> Result<NodeUrl, String> {
    let text = text.trim();
    let text = text.strip_suffix('/').unwrap_or(text);
    let is_origin = text.parse::<Origin>().is_ok();
    let url = NodeUrl::new(text).filter(|_| is_origin);
    url.ok_or_else(|| {
        "expected http or https with a host and no path: http://log1.example.com:8000".to_owned()
    })
}

/// One token of a NATS subject: 1 to 32 of `A-Z a-z 0-9 _ -`.
///
/// # Errors
/// Anything else; dots, wildcards and spaces would change the subject's meaning.
pub fn subject_token(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match fits {
        true => Ok(text.to_owned()),
        false => Err("expected 1 to 32 characters of A-Z a-z 0-9 _ -".into()),
    }
}

/// Where HTTP listens: an IP address or a host name, and a port; port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAddr {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl HttpAddr {
    /// The loopback, and that port.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    /// The host, without the brackets of an IPv6 address, and the port: what sockets are bound and connected with.
    #[must_use]
    pub fn to_host_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether only this machine reaches who listens here. Of names only `localhost` is known to mean that.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        let is_localhost = || {
            let name = self.host.to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        };
        (self.host.parse()).map_or_else(|_| is_localhost(), is_loopback)
    }

    /// Where a client reaches who listens here, on `port`, by that scheme; `None` for a wildcard, which is no address.
    #[must_use]
    pub fn url(&self, scheme: &str, port: u16) -> Option<NodeUrl> {
        let is_wildcard = (self.host.parse::<IpAddr>()).is_ok_and(|ip| ip.is_unspecified());
        let host = self.host.clone();
        let listening = Self { host, port };
        let url = || NodeUrl::new(&format!("{scheme}://{listening}"));
        (!is_wildcard).then(url).flatten()
    }

    /// The address at which a client on this machine reaches who listens here: the loopback for a wildcard.
    #[must_use]
    pub fn reachable(&self) -> Self {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1",
            Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "::1",
            _ => &self.host,
        };
        Self {
            host: host.to_owned(),
            port: self.port,
        }
    }
}

impl FromStr for HttpAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or(ADDR_HINT)?;
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|_| is_port);
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bracketed {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().ok().map(|_| ip),
            None => Some(host).filter(|host| is_host_name(host)),
        };
        let (host, port) = host.zip(port).ok_or(ADDR_HINT)?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HttpAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// A host name or an IPv4 address.
fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}
