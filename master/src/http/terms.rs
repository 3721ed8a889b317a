//! What a client asks for beside its messages: how many nodes, for how long, at which position; as fields of a body or as
//! parameters.

use std::time::Duration;

use replog_protocol::ids::Seq;
use replog_protocol::write_concern::WriteConcern;
use replog_service::http::problem::Problem;
use replog_service::http::query::WaitTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use super::parse::{MAX_SHOWN_CHARS, string};

/// The longest time that a client may let a POST wait: more than anybody means, less than arithmetic minds.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The parameters of `POST /messages` and `POST /append`: other spellings of the fields, and for a batch or a load the only
/// ones. The values are kept as they were written, as those of the fields are.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AppendParameters {
    /// How many nodes are to hold everything before it is answered: a number from 1, `majority` or `all`.
    #[param(
        pattern = "^([1-9][0-9]{0,8}|majority|all)$",
        nullable = false,
        example = "1"
    )]
    w: Option<String>,
    /// How long to wait for them, in milliseconds.
    #[param(value_type = Option<u64>, maximum = 18446744073709551615u64, nullable = false, example = 500)]
    timeout_ms: Option<String>,
    /// Append only at this position, else 412; of a batch or a load it is that of the first message.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 18446744073709551615u64, nullable = false)]
    expected_seq: Option<String>,
}

/// The parameters of `GET /messages/{seq}`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HoldersParameters {
    /// How many nodes are to hold the entry: a number from 1, `majority` or `all`.
    #[param(
        pattern = "^([1-9][0-9]{0,8}|majority|all)$",
        nullable = false,
        example = "1"
    )]
    w: Option<String>,
    /// How long to wait for that; needs `w` beside it.
    #[param(value_type = Option<String>, pattern = "^([0-9]{1,9}ms|[0-9]{1,6}s|[0-9]{1,5}m|[0-9]{1,3}h)$", nullable = false,
        example = "20ms")]
    wait: Option<WaitTime>,
}

/// What a client asks for beside its messages, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) w: Option<WriteConcern>,
    pub(super) timeout: Option<Duration>,
    pub(super) expected_seq: Option<Seq>,
}

impl AppendParameters {
    /// Checks every parameter. `listed` is how many members are, if they are.
    pub(super) fn check(&self, listed: Option<usize>) -> Result<Terms, Problem> {
        let (ms, seq) = (self.timeout_ms.as_deref(), self.expected_seq.as_deref());
        let w = self.w.as_deref();
        Ok(Terms {
            w: w.map(|w| write_concern(w, listed)).transpose()?,
            timeout: timeout(ms)?,
            expected_seq: whole_number("expected_seq", seq, 1)?.map(Seq),
        })
    }
}

impl HoldersParameters {
    /// How many nodes are to hold the entry, if that is asked, and how long to wait for them. `listed` is how many members
    /// are, if they are.
    pub(super) fn check(
        &self,
        listed: Option<usize>,
    ) -> Result<Option<(WriteConcern, Duration)>, Problem> {
        let wait = self.wait.map_or(Duration::ZERO, |wait| wait.0);
        match self.w.as_deref() {
            Some(w) => Ok(Some((write_concern(w, listed)?, wait.min(MAX_TIMEOUT)))),
            None if self.wait.is_some() => Err(Problem::bad_request(
                "wait needs w beside it: for how many nodes?",
            )),
            None => Ok(None),
        }
    }
}

impl Terms {
    /// What the fields of a body ask for, beside the parameters.
    pub(super) fn or(self, parameters: Self) -> Result<Self, Problem> {
        Ok(Self {
            w: given_once("w", self.w, parameters.w)?,
            timeout: given_once("timeout_ms", self.timeout, parameters.timeout)?,
            expected_seq: given_once("expected_seq", self.expected_seq, parameters.expected_seq)?,
        })
    }
}

/// What the fields of a body ask for beside the message.
pub(super) fn terms(
    w: Option<&RawValue>,
    timeout_ms: Option<&RawValue>,
    expected_seq: Option<&RawValue>,
    listed: Option<usize>,
) -> Result<Terms, Problem> {
    let w = w.map(|raw| match string(raw) {
        Some(text) => write_concern(&text, listed),
        None => write_concern(raw.get(), listed),
    });
    let seq = whole_number("expected_seq", expected_seq.map(RawValue::get), 1)?;
    Ok(Terms {
        w: w.transpose()?,
        timeout: timeout(timeout_ms.map(RawValue::get))?,
        expected_seq: seq.map(Seq),
    })
}

/// `2`, `majority`, `all`.
fn write_concern(text: &str, listed: Option<usize>) -> Result<WriteConcern, Problem> {
    let w = text.parse().map_err(|error| {
        let nodes = listed.map(|n| WriteConcern::All.nodes(n));
        let range = nodes.map_or(String::new(), |n| {
            format!("; numbers are from 1 to {n} here")
        });
        Problem::bad_request(format!("{error}{range}"))
    })?;
    match (w, listed) {
        // Among listed members it is refused anyway, with the number of nodes.
        (WriteConcern::Count(n), None) if u32::try_from(n).is_err() => {
            let detail = format!("w must be at most {}, not {text}", u32::MAX);
            Err(Problem::bad_request(detail))
        }
        (w, _) => Ok(w),
    }
}

fn timeout(ms: Option<&str>) -> Result<Option<Duration>, Problem> {
    let ms = whole_number("timeout_ms", ms, 0)?;
    Ok(ms.map(|ms| Duration::from_millis(ms).min(MAX_TIMEOUT)))
}

/// What is given as a field, as a parameter, or as both if they are the same.
fn given_once<T: PartialEq>(
    name: &str,
    field: Option<T>,
    parameter: Option<T>,
) -> Result<Option<T>, Problem> {
    match (field, parameter) {
        (Some(a), Some(b)) if a != b => Err(Problem::bad_request(format!(
            "{name} is given in the body and in the URL, and they differ: send one of them"
        ))),
        (a, b) => Ok(a.or(b)),
    }
}

/// A number without sign, point and exponent.
pub(super) fn whole_number(
    name: &str,
    text: Option<&str>,
    least: u64,
) -> Result<Option<u64>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    // `u64::from_str` would also take "+2".
    let is_whole = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_whole);
    number.filter(|n| *n >= least).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
        let allowed = match is_whole && number.is_none() && !text.is_empty() {
            true => format!("at most {}", u64::MAX),
            false => format!("a whole number from {least}"),
        };
        Problem::bad_request(format!("{name} must be {allowed}, not {shown}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_no_cluster_can_have_is_refused_where_nobody_is_listed() {
        let of = |text: &str, listed| {
            let parameters = AppendParameters {
                w: Some(text.to_owned()),
                ..AppendParameters::default()
            };
            let terms = parameters.check(listed);
            terms
                .map(|terms| terms.w)
                .map_err(|p| p.detail().to_owned())
        };
        let most = u64::from(u32::MAX);
        assert_eq!(
            of(&most.to_string(), None),
            Ok(Some(WriteConcern::Count(most)))
        );
        let detail = "w must be at most 4294967295, not 5000000000";
        assert_eq!(of("5000000000", None), Err(detail.to_owned()));
        // The leader refuses it with the number of nodes.
        assert_eq!(
            of("5000000000", Some(2)),
            Ok(Some(WriteConcern::Count(5_000_000_000)))
        );
    }
}
