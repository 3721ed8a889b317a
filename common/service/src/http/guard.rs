//! What is looked at before any call: whether a request is meant for this node, and whether a page of another site makes it.
//!
//! Nobody has to show who they are where no tokens are set, so whatever a browser on this network can reach, the pages that it
//! shows could reach too. Two checks keep them out: a `Host` that somebody else's DNS may have pointed here (DNS rebinding), and
//! what browsers say of the page that makes a request (`Origin`, `Sec-Fetch-Site`). Programs send neither of the two headers.

use axum::http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::origin::{Authority, Host, Origin};
use super::problem::Problem;

/// What browsers say of the site of the page that makes a request, beside its origin.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What browsers say a request is for.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// How much of a header goes into an answer.
const MAX_SHOWN_CHARS: usize = 100;

/// Who may call. The default takes requests for local hosts and from programs, and from pages that the node itself has sent.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// The hosts of this node, beside those that are local anyway.
    own_hosts: Vec<Host>,
    allowed_origins: Vec<Origin>,
    takes_any_host: bool,
}

impl Guard {
    /// A guard of a node with those hosts, which lets the pages of those origins call.
    #[must_use]
    pub fn new(own_hosts: impl IntoIterator<Item = Host>, allowed_origins: Vec<Origin>) -> Self {
        Self {
            own_hosts: own_hosts.into_iter().collect(),
            allowed_origins,
            takes_any_host: false,
        }
    }

    /// The same, for a node that is told by every request who makes it: the `Host` may be any one then.
    #[must_use]
    pub fn taking_any_host(self) -> Self {
        Self {
            takes_any_host: true,
            ..self
        }
    }

    /// Whether a request with that head may be answered.
    ///
    /// # Errors
    /// 400 without `Host`, with several, or with one that is none; 421 for the host of somebody else; 403 for a page of
    /// another site. In this order.
    pub fn check(&self, head: &Parts) -> Result<(), Problem> {
        let authority = authority(head)?;
        if !self.takes_host(&authority.host) {
            return Err(self.misdirected(&authority.host));
        }
        self.check_site(head, &authority)
    }

    /// The headers that let the pages of the allowed origins call; `None` where there are none.
    pub(super) fn cors(&self) -> Option<CorsLayer> {
        if self.allowed_origins.is_empty() {
            return None;
        }
        let origins = self.allowed_origins.clone();
        let is_allowed = move |origin: &HeaderValue, _: &Parts| {
            parsed(origin).is_some_and(|origin| origins.contains(&origin))
        };
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(is_allowed))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                HeaderName::from_static("last-event-id"),
                super::request_id::X_REQUEST_ID,
            ])
            .expose_headers([
                header::LOCATION,
                header::LINK,
                header::ETAG,
                super::request_id::X_REQUEST_ID,
                HeaderName::from_static("replog-log-id"),
            ])
            .vary([ORIGIN]);
        Some(layer)
    }

    /// Whether the request asks whether the page of an allowed origin may call: answered whoever asks, because browsers ask in
    /// nobody's name.
    pub(super) fn is_allowed_preflight(&self, head: &Parts) -> bool {
        let origin = head.headers.get(ORIGIN).and_then(parsed);
        is_preflight(&head.method, &head.headers)
            && origin.is_some_and(|origin| self.allowed_origins.contains(&origin))
    }

    fn takes_host(&self, host: &Host<&str>) -> bool {
        let allowed = self.allowed_origins.iter().map(Origin::host);
        self.takes_any_host
            || host.is_local()
            || self.own_hosts.iter().chain(allowed).any(|own| own.is(host))
    }

    fn misdirected(&self, host: &Host<&str>) -> Problem {
        let host = shortened(&host.to_string());
        let allowed = self.allowed_origins.iter().map(Origin::host);
        let own = self.own_hosts.iter().chain(allowed);
        let own: String = own.map(|host| format!(", {host}")).collect();
        let detail = format!(
            "the Host {host:?} is not this node's; taken are an IP address, localhost, a name without a dot{own}: \
             --allow-origin names further ones"
        );
        Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
    }

    fn check_site(&self, head: &Parts, authority: &Authority<'_>) -> Result<(), Problem> {
        let mut origins = head.headers.get_all(ORIGIN).iter();
        if let Some(value) = origins.next() {
            let origin = parsed(value).filter(|_| origins.next().is_none());
            if origin
                .as_ref()
                .is_some_and(|o| self.allowed_origins.contains(o))
            {
                return Ok(());
            }
            if !origin.is_some_and(|origin| origin.is_at(authority)) {
                let shown = shortened(&String::from_utf8_lossy(value.as_bytes()));
                return Err(cross_site(&format!("a page of {shown}")));
            }
        }
        match head.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
            Some(b"cross-site" | b"same-site") if !is_navigation(head) => {
                Err(cross_site("a page of another origin"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a browser asks before it makes a call from a page of another origin, whether it may.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether somebody follows a link to here, or types it in: a page that does not see the answer.
fn is_navigation(head: &Parts) -> bool {
    let mode = head.headers.get(SEC_FETCH_MODE);
    matches!(head.method, Method::GET | Method::HEAD) && mode.is_some_and(|m| m == "navigate")
}

/// What a request is addressed to: its target where that names a host (RFC 9112, section 3.2.2), else its `Host`.
fn authority(head: &Parts) -> Result<Authority<'_>, Problem> {
    let bad = |reason, detail| Err(Problem::bad_request(detail).with_reason(reason));
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) => return bad("missing_host", "the header Host is missing"),
        (Some(_), Some(_)) => return bad("several_hosts", "the header Host is there twice"),
    };
    let text = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => host.to_str().ok(),
    };
    match text.and_then(Authority::parse) {
        Some(authority) => Ok(authority),
        None => bad(
            "invalid_host",
            "the Host must be a host name or an address, and a port if you like",
        ),
    }
}

fn parsed(origin: &HeaderValue) -> Option<Origin> {
    origin.to_str().ok()?.parse().ok()
}

fn cross_site(who: &str) -> Problem {
    let detail =
        format!("{who} may not call this node: --allow-origin names those whose pages may");
    Problem::new(StatusCode::FORBIDDEN, detail).with_reason("cross_site")
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests;
