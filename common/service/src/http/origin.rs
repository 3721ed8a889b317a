//! Hosts and origins: what a request is addressed to, and whose page makes it (RFC 9110, section 7.2; RFC 6454).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What an origin must look like, for the one who has set another one.
const ORIGIN_HINT: &str = "expected origins, http or https with a host and no path: \
                           https://log.example.com, http://localhost:3000";

/// A host, compared as browsers compare them: an address by its value, a name without its case and its last dot.
#[derive(Clone, Copy, Debug)]
pub enum Host<S = String> {
    /// An IP address.
    Ip(IpAddr),
    /// A name, without a dot at its end.
    Name(S),
}

impl<'a> Host<&'a str> {
    /// Takes a host as it stands in a URL but for the brackets of an IPv6 address; `None` for what can be none. As browsers have
    /// it, `127.0.0.1.` is an address, too.
    #[must_use]
    pub fn of(text: &'a str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(ip) = name.parse() {
            return Some(Self::Ip(IpAddr::V4(ip)));
        }
        let is_part_of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let is_name = !name.is_empty() && name.bytes().all(is_part_of_name);
        is_name.then_some(Self::Name(name))
    }

    /// The same host, with a text of its own.
    #[must_use]
    pub fn to_owned(self) -> Host {
        match self {
            Self::Ip(ip) => Host::Ip(ip),
            Self::Name(name) => Host::Name(name.to_owned()),
        }
    }
}

impl<S: AsRef<str>> Host<S> {
    /// Whether both are the same host.
    pub fn is<T: AsRef<str>>(&self, other: &Host<T>) -> bool {
        match (self, other) {
            (Self::Ip(a), Host::Ip(b)) => a == b,
            (Self::Name(a), Host::Name(b)) => a.as_ref().eq_ignore_ascii_case(b.as_ref()),
            _ => false,
        }
    }

    /// Whether nobody on the internet can have a name like that point to this machine: an address, `localhost` and what is
    /// below it, or a name without a dot.
    pub fn is_local(&self) -> bool {
        let Self::Name(name) = self else {
            return true;
        };
        let last = name.as_ref().rsplit_once('.').map(|(_, last)| last);
        last.is_none_or(|last| last.eq_ignore_ascii_case("localhost"))
    }
}

/// A host and, unless it is left out, a port, as the `Host` header has them.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// The host.
    pub host: Host<&'a str>,
    /// The port, if it is named.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes `host`, `host:port`, `[v6]` or `[v6]:port`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (ip, rest) = bracketed.split_once(']')?;
                (Host::Ip(IpAddr::V6(ip.parse().ok()?)), rest)
            }
            None => {
                let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::of(host)?, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits),
            None if rest.is_empty() => None,
            _ => return None,
        };
        // A colon without a port is allowed and says nothing (RFC 3986, section 3.2.3).
        let port = port.filter(|digits| !digits.is_empty());
        let port = port.map(str::parse).transpose().ok()?;
        Some(Self { host, port })
    }
}

/// The origin of a page: scheme, host and port.
#[derive(Clone, Debug)]
pub struct Origin {
    is_https: bool,
    host: Host,
    port: u16,
}

impl Origin {
    /// The host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether a request with that `Host` is addressed to where the page came from. A port that the header leaves out is the
    /// one that the origin's scheme stands for: the header does not name a scheme, and a proxy in front may speak TLS.
    #[must_use]
    pub fn is_at(&self, authority: &Authority<'_>) -> bool {
        let port = authority.port.unwrap_or(default_port(self.is_https));
        self.port == port && self.host.is(&authority.host)
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        (self.is_https, self.port) == (other.is_https, other.port) && self.host.is(&other.host)
    }
}

impl Eq for Origin {}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.trim().split_once("://").and_then(|(scheme, rest)| {
            let is_https = match scheme.to_ascii_lowercase().as_str() {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            let Authority { host, port } = Authority::parse(rest)?;
            Some(Self {
                is_https,
                host: host.to_owned(),
                port: port.unwrap_or(default_port(is_https)),
            })
        });
        parsed.ok_or_else(|| ORIGIN_HINT.to_owned())
    }
}

impl<S: AsRef<str>> fmt::Display for Host<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name.as_ref()),
        }
    }
}

fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_maybe_a_port() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            ("Log.Example.com.:80", "log.example.com", Some(80)),
            ("127.0.0.1:8000", "127.0.0.1", Some(8000)),
            ("127.0.0.1.:8000", "127.0.0.1", Some(8000)),
            ("[::1]:8000", "[0:0::1]", Some(8000)),
            ("[::1]", "[::1]", None),
            ("under_score:", "under_score", None),
        ] {
            let parsed = Authority::parse(text).expect(text);
            let expected = Authority::parse(host).expect(host).host;
            assert!(parsed.host.is(&expected), "{text}");
            assert_eq!(parsed.port, port, "{text}");
        }
        for wrong in [
            "",
            ".",
            ":80",
            "a b",
            "a/b",
            "user@host",
            "::1",
            "[::1",
            "[::1]8000",
            "[1.2.3.4]",
            "h:80:80",
            "h:65536",
            "h:+1",
            "h:x",
            "h\u{e9}",
        ] {
            assert!(Authority::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_compared_by_scheme_host_and_port() {
        let origin = |text: &str| text.parse::<Origin>();
        assert_eq!(origin("http://a.b"), origin(" HTTP://A.B:80"));
        assert_eq!(origin("https://a.b:443"), origin("https://a.b."));
        assert_ne!(origin("https://a.b"), origin("http://a.b"));
        assert_ne!(origin("https://a.b:8443"), origin("https://a.b"));
        for wrong in [
            "*",
            "null",
            "a.b",
            "//a.b",
            "ftp://a.b",
            "http://",
            "http://a.b/",
            "http://a.b/x",
            "http://u@a.b",
            "http://*.a.b",
            "http://a.b?x",
            "http://a.b:0x50",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
