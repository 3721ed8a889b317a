//! Tokens: who may make which calls.
//!
//! A token is a secret that a client sends with each request (`Authorization: Bearer`, RFC 6750). A node knows only the SHA-256
//! of each, so whoever reads its settings or its memory dump cannot make calls with what stands there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::problem::Problem;

/// How a token begins in its header.
const SCHEME: &str = "Bearer ";
/// The longest name of a token.
const MAX_NAME_CHARS: usize = 64;
/// No token at all, in `WWW-Authenticate` (RFC 6750, section 3).
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Bearer realm="replog""#);
/// A token that is none of ours.
const INVALID_TOKEN: HeaderValue =
    HeaderValue::from_static(r#"Bearer realm="replog", error="invalid_token""#);

/// What a token lets its holder do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Every GET.
    Read,
    /// `POST /messages` and `POST /append` as well.
    Append,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them, the one that may do least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Append, Self::Admin];

    /// The word of a tokens file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Admin => "admin",
        }
    }

    /// The role of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// What a request with that head needs; `None` where anybody may make it: whether a node lives and is ready is asked by
    /// those that start it, and the page can ask for a token only when it is there.
    #[must_use]
    pub fn needed_by(head: &Parts) -> Option<Self> {
        let is_read = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        match head.uri.path() {
            "/" | "/livez" | "/readyz" if is_read => None,
            _ if is_read => Some(Self::Read),
            "/messages" | "/append" if head.method == Method::POST => Some(Self::Append),
            _ => Some(Self::Admin),
        }
    }

    /// What a token that may do too little is told (RFC 6750, section 3.1).
    fn challenge(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Read => r#"Bearer realm="replog", error="insufficient_scope", scope="read""#,
            Self::Append => r#"Bearer realm="replog", error="insufficient_scope", scope="append""#,
            Self::Admin => r#"Bearer realm="replog", error="insufficient_scope", scope="admin""#,
        })
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of that token.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads 64 hexadecimal digits.
    fn parse(hex: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let hex = hex.as_bytes();
        if hex.len() != 64 {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// Who holds a token, and what the holder may do.
#[derive(Clone, Debug)]
struct Holder {
    role: Role,
    name: Arc<str>,
    digest: TokenDigest,
}

/// Why a line is not the line of a token. Says nothing of what stands there: that may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct WrongToken(String);

impl WrongToken {
    fn new(expected: impl Into<String>) -> Self {
        Self(expected.into())
    }
}

/// The tokens that a node takes.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Holder>);

impl Tokens {
    /// The same tokens and those of a file: `<role> <name> <SHA-256 of the token, in hex>` on each line; empty lines, and lines
    /// that begin with `#`, say nothing.
    ///
    /// # Errors
    /// The first line that is wrong, with its number: an unknown role, something that is no digest, or a name or a token that
    /// an earlier line has.
    pub fn with_file(self, text: &str) -> Result<Self, WrongToken> {
        let mut lines: HashMap<TokenDigest, usize> = HashMap::new();
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut tokens = self;
        for (line, number) in text.lines().zip(1..) {
            let mut words = line.split_ascii_whitespace();
            let Some(role) = words.next().filter(|word| !word.starts_with('#')) else {
                continue;
            };
            let wrong = |what: &str| WrongToken(format!("in line {number} {what}"));
            let role = Role::of(role);
            let role = role.ok_or_else(|| wrong("read, append or admin first"))?;
            let name = words.next().filter(|name| is_name(name));
            let name = name.ok_or_else(|| {
                wrong("a name after the role: 1 to 64 characters of A-Z a-z 0-9 _ . @ -")
            })?;
            let digest = words.next().and_then(TokenDigest::parse);
            let digest = digest.ok_or_else(|| {
                wrong("the SHA-256 of the token after the name: 64 hexadecimal digits")
            })?;
            if words.next().is_some() {
                return Err(wrong("three words: a role, a name and a SHA-256"));
            }
            if let Some(earlier) = names.insert(name, number) {
                return Err(wrong(&format!(
                    "another name than in line {earlier}: each name once"
                )));
            }
            if let Some(earlier) = lines.insert(digest, number) {
                return Err(wrong(&format!(
                    "another token than in line {earlier}: each token once"
                )));
            }
            tokens = tokens
                .with(role, name, digest)
                .map_err(|WrongToken(what)| wrong(&what))?;
        }
        Ok(tokens)
    }

    /// The same tokens and the one that the variable `name` holds.
    ///
    /// # Errors
    /// What no header can carry, and a token that is there already.
    pub fn with_variable(self, role: Role, name: &str, token: &str) -> Result<Self, WrongToken> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(WrongToken::new("visible ASCII characters without blanks"));
        }
        self.with(role, name, TokenDigest::of(token.as_bytes()))
    }

    fn with(mut self, role: Role, name: &str, digest: TokenDigest) -> Result<Self, WrongToken> {
        if self.0.iter().any(|other| *other.name == *name) {
            let what = format!("another name than {name}: each name once");
            return Err(WrongToken(what));
        }
        if let Some(other) = self.0.iter().find(|other| other.digest == digest) {
            let what = format!("another token than that of {}: each token once", other.name);
            return Err(WrongToken(what));
        }
        let name = name.into();
        self.0.push(Holder { role, name, digest });
        Ok(self)
    }

    /// The shortest token that cannot be guessed in the time that anybody has.
    pub const MIN_SAFE_BYTES: usize = 16;

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether a request with that head may be made, and in whose name: nobody's where it needs no token.
    ///
    /// # Errors
    /// 401 without a token, with several, or with one that is none of these; 403 where the role of its holder is too little.
    pub fn check(&self, head: &Parts) -> Result<Option<Arc<str>>, Problem> {
        let Some(needed) = Role::needed_by(head) else {
            return Ok(None);
        };
        let mut headers = head.headers.get_all(AUTHORIZATION).iter();
        let token = match (headers.next(), headers.next()) {
            (None, _) => return Err(missing("this call needs a token")),
            (Some(_), Some(_)) => return Err(missing("the header Authorization is there twice")),
            (Some(header), None) => bearer(header),
        };
        let token = token.ok_or_else(|| missing("this call needs a token, and no other scheme"))?;
        let Some(holder) = self.holder(TokenDigest::of(token)) else {
            let detail = "the token in the header Authorization is none of this node's";
            return Err(unauthorized(detail, "wrong_token", INVALID_TOKEN));
        };
        if holder.role < needed {
            let (role, needed_role, name) = (holder.role.as_str(), needed.as_str(), &holder.name);
            let detail =
                format!("the token {name} may {role}, and this call needs the role {needed_role}");
            return Err(Problem::new(StatusCode::FORBIDDEN, detail)
                .with_reason("insufficient_role")
                .with_challenge(needed.challenge()));
        }
        Ok(Some(Arc::clone(&holder.name)))
    }

    /// Who holds the token of that digest. Looks at all of them, and as long at each, whatever the digest is.
    fn holder(&self, digest: TokenDigest) -> Option<&Holder> {
        let mut found = u32::MAX;
        for (index, holder) in (0..).zip(&self.0) {
            let is_equal: Choice = holder.digest.0.ct_eq(&digest.0);
            found.conditional_assign(&index, is_equal);
        }
        self.0.get(usize::try_from(found).ok()?)
    }
}

/// Whether a token may be called that.
pub(crate) fn is_name(name: &str) -> bool {
    let is_fitting = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte);
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(is_fitting)
}

/// The token of a header `Bearer …`; the scheme is a word in any case (RFC 9110, section 11.1).
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(SCHEME.len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && !token.is_empty()).then_some(token)
}

fn missing(what: &str) -> Problem {
    let detail = format!("{what}: send the header \"Authorization: Bearer TOKEN\"");
    unauthorized(&detail, "missing_token", CHALLENGE)
}

fn unauthorized(detail: &str, reason: &'static str, challenge: HeaderValue) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
        .with_reason(reason)
        .with_challenge(challenge)
}

#[cfg(test)]
mod tests;
