//! The header `Idempotency-Key`, another spelling of a message id (IETF draft-ietf-httpapi-idempotency-key-header).

use axum::http::HeaderMap;
use replog_protocol::ids::MessageId;
use replog_service::http::problem::Problem;

/// The longest key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// What an `Idempotency-Key` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request, if it has one: a string of 1 to 255 characters, bare, or as the IETF draft has it, a string of
    /// RFC 9651 in double quotes, in which a backslash stands before each `"` and `\`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut keys = headers.get_all("idempotency-key").iter();
        let Some(first) = keys.next() else {
            return Ok(None);
        };
        let first = Self::parse(first.as_bytes())?;
        for other in keys {
            if Self::parse(other.as_bytes())? != first {
                let detail = "two different Idempotency-Key headers are given: send one of them";
                return Err(Problem::bad_request(detail));
            }
        }
        Ok(Some(first))
    }

    fn parse(value: &[u8]) -> Result<Self, Problem> {
        let wrong = || {
            Problem::bad_request(format!(
                "Idempotency-Key must have 1 to {MAX_KEY_CHARS} characters, bare or in double quotes"
            ))
        };
        let value = std::str::from_utf8(value).map_err(|_| wrong())?;
        let key = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or_else(wrong)?,
            None => value.to_owned(),
        };
        let fits = (1..=MAX_KEY_CHARS).contains(&key.chars().count());
        fits.then_some(Self(key)).ok_or_else(wrong)
    }

    /// The message id that it stands for.
    pub(super) fn message_id(&self) -> MessageId {
        MessageId::from_key(&self.0)
    }

    /// The message id that it stands for in the line of a load with that number.
    pub(super) fn message_id_of_line(&self, number: u64) -> MessageId {
        MessageId::from_key(&format!("{}/{number}", self.0))
    }
}

/// The string that a quoted one stands for, from after its first quote on; `None` if it does not end with its only other one.
fn unquoted(quoted: &str) -> Option<String> {
    let mut string = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(string),
            '\\' => string.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => string.push(other),
        }
    }
}

#[cfg(test)]
impl From<&str> for IdempotencyKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_an_id_in_another_spelling() {
        let key = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("idempotency-key", value.parse().expect("a header"));
            }
            let key = IdempotencyKey::of(&headers);
            key.map_err(|problem| problem.status().as_u16())
        };
        let id = |values: &[&str]| key(values).map(|key| key.map(|key| key.message_id()));
        let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
        let uuid = "6ba7b8109dad11d180b400c04fd430c8";
        let parsed = MessageId::parse(uuid).expect("a UUID");
        let of = |key| Ok(Some(MessageId::from_key(key)));
        assert_eq!(id(&[]), Ok(None));
        assert_eq!(id(&[uuid]), Ok(Some(parsed)));
        assert_eq!(id(&["a1", "a1"]), of("a1"));
        // As the IETF draft writes it.
        assert_eq!(id(&[&format!("\"{uuid}\"")]), Ok(Some(parsed)));
        assert_eq!(id(&[r#""a1""#]), of("a1"));
        assert_eq!(
            id(&[r#""a1""#, "a1"]),
            of("a1"),
            "one key, spelled in two ways"
        );
        assert_eq!(id(&[r#""a \"b\" \\ c""#]), of(r#"a "b" \ c"#));
        assert_eq!(id(&[r#"a"b\c"#]), of(r#"a"b\c"#), "bare it is what it is");
        assert_eq!(id(&[&longest]), of(&longest));
        assert_eq!(id(&[&format!("\"{longest}\"")]), of(&longest));
        // CASES 12b.
        assert_eq!(key(&["a1", "b2"]), Err(400));
        for wrong in [
            "",
            r#""""#,
            r#"""#,
            r#""a"#,
            r#""a"b"#,
            r#""a";p=1"#,
            r#""\a""#,
            r#""a\""#,
            &too_long,
        ] {
            assert_eq!(key(&[wrong]), Err(400), "{wrong}");
        }

        // Computed with Python: uuid.uuid5(uuid.NAMESPACE_URL, "order 66/12").
        let line = IdempotencyKey::from("order 66").message_id_of_line(12);
        assert_eq!(line.to_string(), "414cd6c0-c8c7-574c-b63f-8f3bc655e632");
    }
}
