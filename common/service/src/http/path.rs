//! The path of a request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use replog_protocol::ids::{NodeId, Seq};
use utoipa::IntoParams;

use super::problem::Problem;

/// The position in `/messages/{seq}`. A number beyond every log is a position too: there is nothing at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Path, names("seq"))]
pub struct SeqPath(#[param(value_type = u64, minimum = 1, example = 1)] pub Seq);

impl<S: Send + Sync> FromRequestParts<S> for SeqPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        text.ok()
            .and_then(|Path(text)| whole_number(&text))
            .filter(|n| *n > 0)
            .map(|n| Self(Seq(n)))
            .ok_or_else(|| {
                Problem::bad_request("the seq in the path must be a whole number from 1")
            })
    }
}

/// The name of a secondary in `/members/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Path, names("id"))]
pub struct NodePath(
    #[param(value_type = String, pattern = "^[A-Za-z0-9_-]{1,32}$", example = "secondary1")]
    pub  NodeId,
);

impl<S: Send + Sync> FromRequestParts<S> for NodePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Ok(Path(text)) = text else {
            let detail = "the name in the path must be UTF-8";
            return Err(Problem::bad_request(detail));
        };
        let id = text.parse::<NodeId>();
        id.map(Self)
            .map_err(|error| Problem::bad_request(format!("the name in the path: {error}")))
    }
}

/// Digits alone; what is too long for a `u64` is the largest one.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_number_and_none_is_too_large() {
        assert_eq!(whole_number("0"), Some(0));
        assert_eq!(whole_number("007"), Some(7));
        assert_eq!(whole_number(&"9".repeat(30)), Some(u64::MAX));
        for wrong in ["", "-1", "+1", "1.0", " 1", "x", "１"] {
            assert_eq!(whole_number(wrong), None, "{wrong:?}");
        }
    }
}
