//! The parameters behind the question mark, each checked by name.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::path::whole_number;
use super::problem::Problem;
use super::settings::values::duration;

/// The parameters of a request. Unknown ones are ignored; of one given twice the last counts.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        Ok(Self(pairs.map(|q| q.0).unwrap_or_default()))
    }
}

impl Query {
    /// The text of a parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// A whole number from 1.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn at_least_one(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = whole_number(text).filter(|n| *n > 0);
        let wrong = || Problem::bad_request(format!("{name} must be a whole number from 1"));
        number.map(Some).ok_or_else(wrong)
    }

    /// A duration with its unit.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let wrong =
            |expected| Problem::bad_request(format!("{name} is not a duration: {expected}"));
        duration(text).map(Some).map_err(wrong)
    }
}
