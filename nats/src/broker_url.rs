//! Where a broker listens, and who to be there: a URL as the `nats` CLI takes it.

use std::fmt;
use std::str::FromStr;

/// Stands for what is not shown.
const HIDDEN: &str = "…";
/// The port of a URL without one.
const DEFAULT_PORT: &str = "4222";

/// Where a broker listens: `nats://` or `tls://`, a host, a port (4222 when left out), perhaps a user.
///
/// Shown without the user, password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Scheme, host and port.
    address: String,
    user_info: Option<UserInfo>,
}

/// What stands before the `@` of a URL, percent-decoded. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum UserInfo {
    /// `user:password@`
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// `token@`
    Token(String),
}

/// A text that is no broker's URL. Says what is expected, and shows nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected nats://host:port or tls://host:port, several with commas between")]
pub struct InvalidUrl;

impl BrokerUrl {
    /// Scheme, host and port, without user, password and token: for the client library and for logs.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Who to be at this broker, where the URL says so.
    #[must_use]
    pub fn user_info(&self) -> Option<&UserInfo> {
        self.user_info.as_ref()
    }
}

impl FromStr for BrokerUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (UserInfo::parse(user_info)?, address),
            None => (None, authority),
        };
        if !matches!(scheme, "nats" | "tls") || !is_host_port(address) {
            return Err(InvalidUrl);
        }
        let address = match has_port(address) {
            true => format!("{scheme}://{address}"),
            false => format!("{scheme}://{address}:{DEFAULT_PORT}"),
        };
        Ok(Self { address, user_info })
    }
}

impl UserInfo {
    /// `None` for the empty text.
    fn parse(text: &str) -> Result<Option<Self>, InvalidUrl> {
        Ok(match text.split_once(':') {
            Some((user, password)) => Some(Self::Password {
                user: percent_decoded(user)?,
                password: percent_decoded(password)?,
            }),
            None if text.is_empty() => None,
            None => Some(Self::Token(percent_decoded(text)?)),
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserInfo(..)")
    }
}

/// A text that may be a list of broker URLs, or a wrong one, without anything that stands before an `@`: for messages that show
/// what could not be parsed.
#[must_use]
pub fn without_user_info(text: &str) -> String {
    let hide = |part: &str| match part.rsplit_once('@') {
        // An address has one scheme, before its user: what has another is no address.
        Some((_, address)) if address.contains('/') => HIDDEN.to_owned(),
        Some((before, address)) => match before.split_once("://") {
            // Anything else before it may be a piece of a password.
            Some((scheme, _)) if scheme.trim().bytes().all(|b| b.is_ascii_alphanumeric()) => {
                format!("{scheme}://{address}")
            }
            _ => address.to_owned(),
        },
        None => part.to_owned(),
    };
    // A password may contain a comma: in a single URL everything before the last `@` is hidden.
    match text.matches("://").count() {
        0 | 1 => hide(text),
        // What stands before a comma may be half of a password, too.
        _ => {
            let hide = |part: &str| without_password(&hide(part));
            text.split(',').map(hide).collect::<Vec<_>>().join(",")
        }
    }
}

/// What may be one URL of a list that was split at its commas, without what may be the beginning of a password or token: what
/// follows the name of a host, unless that is a port.
#[must_use]
pub fn without_password(part: &str) -> String {
    let address = part.split_once("://").map_or(part, |(_, address)| address);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = match address.starts_with('[') {
        true => address.find(']').map_or(0, |at| at + 1),
        false => address.find(|c| !is_of_name(c)).unwrap_or(address.len()),
    };
    let after = &address[name..];
    let is_port = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    match after.strip_prefix(':') {
        Some(port) if is_port(port) => part.to_owned(),
        Some(port) => format!("{}{HIDDEN}", &part[..part.len() - port.len()]),
        None if after.is_empty() || after == "/" => part.to_owned(),
        None => format!("{}{HIDDEN}", &part[..part.len() - after.len()]),
    }
}

fn percent_decoded(text: &str) -> Result<String, InvalidUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(InvalidUrl)?;
        rest = after;
        // `from_str_radix` alone would take a sign, too.
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or(InvalidUrl)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| InvalidUrl)?);
    }
    String::from_utf8(bytes).map_err(|_| InvalidUrl)
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
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<UserInfo> {
        Some(UserInfo::Password {
            user: user.into(),
            password: password.into(),
        })
    }

    #[test]
    fn users_passwords_and_tokens_are_split_off() {
        let token = |text: &str| Some(UserInfo::Token(text.into()));
        for (text, address, user_info) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", None),
            ("tls://broker.example", "tls://broker.example:4222", None),
            (" nats:4222", "nats://nats:4222", None),
            ("nats://[::1]:4222/", "nats://[::1]:4222", None),
            ("nats://[::1]", "nats://[::1]:4222", None),
            ("nats://u:p@h:1", "nats://h:1", password("u", "p")),
            ("u:p@h:1", "nats://h:1", password("u", "p")),
            ("nats://u:@h:1", "nats://h:1", password("u", "")),
            (
                "nats://u:a@b/c:d@h",
                "nats://h:4222",
                password("u", "a@b/c:d"),
            ),
            (
                "nats://u%40x:p%2Fq%25@h",
                "nats://h:4222",
                password("u@x", "p/q%"),
            ),
            ("tls://t0k3n@[::1]:1", "tls://[::1]:1", token("t0k3n")),
            ("token@host", "nats://host:4222", token("token")),
            ("nats://@host", "nats://host:4222", None),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!(url.address(), address, "{text}");
            assert!(url.user_info() == user_info.as_ref(), "{text}");
        }
    }

    #[test]
    fn what_is_no_broker_is_refused() {
        for text in [
            "",
            "ws://h:1",
            "http://h",
            "nats://",
            "nats://h:0",
            "nats://h:99999",
            "nats://h:",
            "nats://h:+1",
            "nats://a b",
            "nats://::1:4222",
            "nats://h:1/path",
            "nats://[::1",
            "nats://[::1]4222",
            "nats://u:%@h",
            "nats://u:%+1@h",
            "nats://u:%ff@h",
            "nats://u:%e2%8@h",
        ] {
            assert_eq!(text.parse::<BrokerUrl>(), Err(InvalidUrl), "{text}");
        }
    }

    #[test]
    fn nothing_before_an_at_sign_is_ever_shown() {
        let url: BrokerUrl = "nats://me:s3cret@h:1".parse().unwrap();
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("nats://h:1".into(), "nats://h:1".into())
        );
        assert_eq!(format!("{:?}", url.user_info()), "Some(UserInfo(..))");
        for (text, shown) in [
            ("nats://a:b@h:1,tls://c:d@i:2,j", "nats://h:1,tls://i:2,j"),
            ("nats://a:s3,cret@h:1", "nats://h:1"),
            ("token@h:x", "h:x"),
            ("nats://h:x", "nats://h:x"),
            ("nats://a:s3,c://r@h:1", "nats://a:…,c://h:1"),
            ("nats://a:b@c,@ls://d@e", "nats://c,e"),
            ("@nats://me:s3cret", "…"),
        ] {
            assert_eq!(without_user_info(text), shown);
        }
    }

    #[test]
    fn half_of_a_password_is_not_shown() {
        for (part, shown) in [
            ("nats://me:s3cret", "nats://me:…"),
            ("me:s3cret", "me:…"),
            ("nats://h:99999", "nats://h:99999"),
            ("nats://h", "nats://h"),
            ("nats://h/", "nats://h/"),
            ("nats://[::1]:1", "nats://[::1]:1"),
            ("nats://[::1", "nats://…"),
            ("nats://me;s3cret", "nats://me…"),
            ("a:////me:s3cret", "a://…"),
            ("nats://", "nats://"),
            ("h", "h"),
        ] {
            assert_eq!(without_password(part), shown);
        }
    }
}
