//! Which of the forms that a call can answer in its client takes (RFC 9110, section 12.5.1).

use axum::http::header::{ACCEPT, HeaderMap};
use axum::http::{HeaderValue, StatusCode};

use super::problem::Problem;

/// A form of an answer: its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object.
    Json,
    /// One JSON object a line.
    NdJson,
    /// Server-sent events.
    Events,
}

impl Form {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    /// The media type as a header.
    #[must_use]
    pub const fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.media_type())
    }
}

/// The form that the client takes most gladly; of several, and without an `Accept`, the first one.
///
/// # Errors
/// 406 with reason `not_acceptable` where the client takes none of them.
pub fn form(headers: &HeaderMap, offered: &[Form]) -> Result<Form, Problem> {
    let ranges: Vec<Range<'_>> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    let (mut best, mut best_quality) = (None, 0);
    for form in offered {
        let quality = match ranges.is_empty() {
            true => 1000,
            false => quality(&ranges, *form),
        };
        if quality > best_quality {
            (best, best_quality) = (Some(*form), quality);
        }
    }
    best.ok_or_else(|| {
        let names: Vec<&str> = offered.iter().map(|form| form.media_type()).collect();
        let detail = format!(
            "Accept excludes everything that this call answers with: {}",
            names.join(", ")
        );
        Problem::new(StatusCode::NOT_ACCEPTABLE, detail).with_field("offered", names)
    })
}

/// How gladly the form is taken, in thousandths: what the narrowest range says that it is in.
fn quality(ranges: &[Range<'_>], form: Form) -> u32 {
    let of_form = ranges.iter().filter(|range| range.has(form));
    let narrowest = of_form.max_by_key(|range| range.narrowness());
    narrowest.map_or(0, |range| range.quality)
}

/// One of the media ranges of an `Accept` header.
#[derive(Clone, Copy, Debug)]
struct Range<'a> {
    kind: &'a str,
    subkind: &'a str,
    quality: u32,
}

impl<'a> Range<'a> {
    /// `None` for what is no media range; a quality that is none is 1.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let mut qualities = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let quality = qualities.next().and_then(|q| q.parse::<f32>().ok());
        let quality = quality.filter(|q| (0.0..=1.0).contains(q)).unwrap_or(1.0);
        Some(Self {
            kind,
            subkind,
            quality: (quality * 1000.0).round() as u32,
        })
    }

    fn has(&self, form: Form) -> bool {
        let (kind, subkind) = form.media_type().split_once('/').unwrap_or_default();
        let is_kind = self.kind == "*" || self.kind.eq_ignore_ascii_case(kind);
        is_kind && (self.subkind == "*" || self.subkind.eq_ignore_ascii_case(subkind))
    }

    fn narrowness(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subkind != "*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &[&'static str]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        match form(&headers, &[Form::Json, Form::NdJson]) {
            Ok(form) => Some(form),
            Err(problem) => {
                assert_eq!(problem.status(), 406);
                assert_eq!(problem.reason(), "not_acceptable");
                None
            }
        }
    }

    #[test]
    fn the_narrowest_range_decides_and_of_several_the_gladdest() {
        let (json, lines) = (Some(Form::Json), Some(Form::NdJson));
        for (accept, expected) in [
            (&[][..], json),
            (&["*/*"], json),
            (&["application/x-ndjson"], lines),
            (&["Application/X-NDJSON ; charset=utf-8"], lines),
            (&["application/json", "application/x-ndjson"], json),
            (&["application/json;q=0.5, application/x-ndjson"], lines),
            (&["application/json;q=0, */*;q=0.1"], lines),
            (&["application/*;q=0.2, application/json;q=0.1"], lines),
            // What a browser asks for.
            (
                &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
                json,
            ),
            (&["text/html"], None),
            (&["*/*;q=0"], None),
            (&["application/json;q=0.000"], None),
            (&["nonsense"], json),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }
}
