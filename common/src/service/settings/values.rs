//! Parsers of single values, for clap's `value_parser`.
//!
//! Each error says what is expected, so that a refusal reads
//! `--delay (REPLOG_DELAY): "5" is not allowed: expected a duration with a unit: 500ms, 2s, 1m`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

const DURATION_HINT: &str = "expected a duration with a unit: 500ms, 2s, 1m";
const SIZE_HINT: &str = "expected a size with a unit: 512B, 256KiB, 1MiB";
const URL_HINT: &str = "expected nats://host:port or tls://host:port, several with commas between";

/// Longer ones are taken for a mistake, and would overflow deadlines.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

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

/// A [`duration`] above zero.
///
/// # Errors
/// As [`duration`], and for zero.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err("expected a duration above 0ms".into());
    }
    Ok(duration)
}

/// A size in bytes above zero: a whole number and a unit (`B`, `KB`, `MB`, `GB` in thousands; `KiB`,
/// `MiB`, `GiB` in 1,024s).
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

/// A whole number of at least 1.
///
/// # Errors
/// Anything else, also above 4,294,967,295.
pub fn count(text: &str) -> Result<usize, String> {
    u32::from_str(text)
        .ok()
        .filter(|count| *count > 0)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| format!("expected a whole number from 1 to {}", u32::MAX))
}

/// An IP address and a port, `127.0.0.1:8000` or `[::]:8000`; port 0 lets the system choose.
///
/// # Errors
/// Anything else, host names included: what is bound must not depend on a resolver.
pub fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port: 127.0.0.1:8000, 0.0.0.0:8000".into())
}

/// Any text but the empty one.
///
/// # Errors
/// The empty text.
pub fn nonempty(text: &str) -> Result<String, String> {
    match text {
        "" => Err("expected some text".into()),
        text => Ok(text.to_owned()),
    }
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

/// Where a broker listens: `nats://` or `tls://`, a host, a port (4222 when left out).
///
/// Shown without the user and password a URL may carry.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(String);

impl NatsUrl {
    /// The whole URL with its scheme, user and password included: for the client library, not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for NatsUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Without a scheme there are no credentials either: they are recognised by `://` and `@`.
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            None if text.contains('@') => return Err(URL_HINT.into()),
            None => ("nats", text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let address = authority.rsplit_once('@').map_or(authority, |(_, a)| a);
        if !matches!(scheme, "nats" | "tls") || !is_host_port(address) {
            return Err(URL_HINT.into());
        }
        let port = if has_port(address) { "" } else { ":4222" };
        Ok(Self(format!("{scheme}://{authority}{port}")))
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_credentials(&self.0))
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text with what stands before an `@` in each comma separated part replaced, scheme kept.
pub(super) fn without_credentials(text: &str) -> String {
    let hide = |part: &str| match part.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://***@{host}"),
            None => format!("***@{host}"),
        },
        None => part.to_owned(),
    };
    // A password may contain a comma: with an `@` somewhere, everything before the last one is hidden.
    match text.split(',').filter(|part| part.contains("://")).count() {
        0 | 1 => hide(text),
        _ => text.split(',').map(hide).collect::<Vec<_>>().join(","),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

fn has_port(address: &str) -> bool {
    !address.ends_with(']') && address.contains(':')
}

fn is_host_port(address: &str) -> bool {
    if let Some(bracketed) = address.strip_prefix('[') {
        let Some((ip, port)) = bracketed.split_once(']') else {
            return false;
        };
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return ip.parse::<std::net::Ipv6Addr>().is_ok() && port_fits;
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    };
    let host_fits = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    host_fits && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests;
