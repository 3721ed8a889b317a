//! Where clients reach a node.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Where clients reach a node over HTTP, by its own word: `http` or `https`, a host and maybe a port, at most 255 characters.
/// It travels for people and programs and decides nothing. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeUrl(Arc<str>);

impl NodeUrl {
    /// The longest one, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Takes a URL without a path; `None` for anything else. What other nodes say ends up in pages and headers, so only what a
    /// host and a port are made of is taken.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (ip, rest) = bracketed.split_once(']')?;
                ip.parse::<std::net::Ipv6Addr>().ok()?;
                ("ipv6", rest)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let is_port = |port: &str| {
            let digits = port.strip_prefix(':').unwrap_or_default();
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number && digits.parse::<u16>().is_ok()
        };
        let fits = matches!(scheme, "http" | "https")
            && text.len() <= Self::MAX_BYTES
            && !host.is_empty()
            && host.bytes().all(is_part)
            && (port.is_empty() || is_port(port));
        fits.then(|| Self(text.into()))
    }

    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for NodeUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scheme_a_host_and_a_port_are_taken() {
        for url in ["http://a", "https://log.example.com:8000", "http://[::1]:1"] {
            assert_eq!(NodeUrl::new(url).expect(url).as_str(), url);
        }
        let long = format!("http://{}", "a".repeat(NodeUrl::MAX_BYTES));
        for wrong in [
            "",
            "a:8000",
            "http://",
            "ftp://a",
            "http://a/",
            "http://a/path",
            "http://u@a",
            "http://a; script-src *",
            "http://a'",
            "http://[",
            "http://]:[",
            "http://[1.2.3.4]",
            "http://:1",
            "http://a:",
            "http://a:99999",
            "http://\u{e9}",
            &long,
        ] {
            assert_eq!(NodeUrl::new(wrong), None, "{wrong}");
        }
    }
}
