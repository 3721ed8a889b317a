//! `GET /readyz`: whether a node can do now what it is there for, check by check.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToResponse, ToSchema};

use super::answer::{self, TEXT};
use super::openapi::refusals::ProblemDetails;
use super::problem::Problem;
use crate::broker::BrokerState;

/// The parameters of `GET /readyz`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadinessParameters {
    /// A line of text a check, in place of the answer for programs; `verbose` alone is enough.
    #[param(value_type = Option<String>, pattern = "^(true|false|)$", nullable = false)]
    verbose: Option<Verbose>,
}

#[derive(Clone, Copy, Debug)]
struct Verbose(bool);

impl<'de> Deserialize<'de> for Verbose {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match <&str>::deserialize(from)? {
            "" | "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(de::Error::custom("must be true, false or left empty")),
        }
    }
}

/// The answer of a node that is ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The node is ready.
#[derive(Debug, ToResponse)]
pub enum IsReady {
    /// For programs.
    Object(#[content("application/json")] Ready),
    /// With `verbose`: a line a check.
    Text(#[content("text/plain; charset=utf-8")] String),
}

/// The node is not ready: `reason` is that of the first check that fails.
#[derive(Debug, ToResponse)]
#[response(headers(("Retry-After" = u32, description = "Try again after so many seconds.")))]
#[expect(
    clippy::large_enum_variant,
    reason = "describes an answer, and is never made"
)]
pub enum NotReady {
    /// For programs.
    Problem(#[content("application/problem+json")] ProblemDetails),
    /// With `verbose`: a line a check.
    Text(#[content("text/plain; charset=utf-8")] String),
}

/// What has to be so for a node to be ready, and whether it is.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Vec<Check>);

#[derive(Clone, Debug)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// Something is to be done about it, and the node is ready all the same.
    Degraded,
    /// With the word for programs.
    Failed(&'static str),
}

impl Check {
    /// The word for programs, where the node is not ready because of that.
    fn failure(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::Failed(reason) => Some(reason),
            Outcome::Passed | Outcome::Degraded => None,
        }
    }
}

impl Readiness {
    /// One more check, which passes: `detail` says how that is.
    #[must_use]
    pub fn passed(self, name: &'static str, detail: impl Into<String>) -> Self {
        self.with(name, Outcome::Passed, detail.into())
    }

    /// One more check, which fails without harm so far: `verbose` shows it as failed, and the node is ready all the same.
    #[must_use]
    pub fn degraded(self, name: &'static str, detail: impl Into<String>) -> Self {
        self.with(name, Outcome::Degraded, detail.into())
    }

    /// One more check, which fails: `reason` is a word for programs, and `detail` is for people.
    #[must_use]
    pub fn failed(
        self,
        name: &'static str,
        reason: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        self.with(name, Outcome::Failed(reason), detail.into())
    }

    /// Whether the link to the broker is up, and the broker grants what this program needs.
    #[must_use]
    pub fn broker(self, broker: BrokerState) -> Self {
        match broker {
            BrokerState::Connected => self.passed("broker", "connected"),
            BrokerState::Disconnected => self.failed(
                "broker",
                "disconnected",
                "there is no connection to the broker; it is tried again",
            ),
            BrokerState::Denied => self.failed(
                "broker",
                "denied",
                "the broker refuses something that this program needs; it is tried again",
            ),
        }
    }

    fn with(mut self, name: &'static str, outcome: Outcome, detail: String) -> Self {
        self.0.push(Check {
            name,
            outcome,
            detail,
        });
        self
    }

    /// The answer: 200, or 503 with the first check that fails.
    #[must_use]
    pub fn answer(&self, parameters: ReadinessParameters) -> Response {
        if parameters.verbose.is_some_and(|Verbose(is_asked)| is_asked) {
            return self.verbose();
        }
        let failed = self.0.iter().find_map(|c| Some((c.failure()?, c)));
        match failed {
            None => answer::json(&Ready { status: "ok" }),
            Some((reason, check)) => {
                let detail = format!("not ready: {}: {}", check.name, check.detail);
                Problem::unavailable(reason, detail).into_response()
            }
        }
    }

    /// A line a check, after the manner of other programs that answer `/readyz?verbose`.
    fn verbose(&self) -> Response {
        let mut text = String::new();
        for Check {
            name,
            outcome,
            detail,
        } in &self.0
        {
            let mark = if *outcome == Outcome::Passed {
                '+'
            } else {
                '-'
            };
            text.push_str(&format!("[{mark}] {name}: {detail}\n"));
        }
        match self.0.iter().find_map(Check::failure) {
            None => answer::text(text + "ready\n"),
            Some(reason) => {
                let text = format!("{text}not ready: {reason}\n");
                let headers = [(CONTENT_TYPE, TEXT), (RETRY_AFTER, 1.into())];
                (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::query;
    use super::*;

    async fn answered(readiness: &Readiness, query: &str) -> (u16, String) {
        let uri = format!("/readyz{query}").parse().unwrap();
        let response = readiness.answer(query::read(&uri).unwrap());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_check_is_a_line_and_the_first_that_fails_is_the_reason() {
        let ready = Readiness::default()
            .passed("recovered", "2 entries")
            .broker(BrokerState::Connected);
        assert_eq!(
            answered(&ready, "").await,
            (200, "{\"status\":\"ok\"}\n".to_owned())
        );
        let lines = "[+] recovered: 2 entries\n[+] broker: connected\n";
        for query in ["?verbose", "?verbose=", "?verbose=true"] {
            let expected = format!("{lines}ready\n");
            assert_eq!(answered(&ready, query).await, (200, expected));
        }
        let degraded = ready.clone().degraded("tokens", "those read before stay");
        assert_eq!(answered(&degraded, "").await.0, 200);
        let expected = format!("{lines}[-] tokens: those read before stay\nready\n");
        assert_eq!(answered(&degraded, "?verbose").await, (200, expected));
        let not = ready.failed("caught up", "catching_up", "7 behind");
        let not = not.failed("storage", "disk_full", "full");
        let (status, body) = answered(&not, "?verbose=false").await;
        assert_eq!(status, 503);
        assert!(
            body.contains(r#""detail":"not ready: caught up: 7 behind","reason":"catching_up""#)
        );
        let expected =
            format!("{lines}[-] caught up: 7 behind\n[-] storage: full\nnot ready: catching_up\n");
        assert_eq!(answered(&not, "?verbose").await, (503, expected));
    }

    #[test]
    fn verbose_is_a_yes_or_a_no() {
        let wrong = query::read::<ReadinessParameters>(&"/readyz?verbose=2".parse().unwrap());
        let detail = wrong.expect_err("refused").detail().to_owned();
        assert_eq!(detail, "verbose must be true, false or left empty");
    }
}
