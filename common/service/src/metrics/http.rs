//! What the HTTP server counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::http::{Method, StatusCode};

use super::node::labels;
use super::page::{Counter, Gauge, Labels, MetricsPage};

/// Requests to a path that no route has, and those that were refused before a route was looked for.
const NO_ROUTE: &str = "none";

/// The counts of one server. Every answer is counted by the route that it came from, never by the path that the client sent, so
/// there are no more series than routes, methods and statuses.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    answers: Mutex<Answers>,
    shortcut: OnceLock<Shortcut>,
    open: Gauge,
    accepted: Counter,
    /// In the order of [`HttpLimit::ALL`].
    reached: [Counter; HttpLimit::ALL.len()],
}

/// What bounds one client, or all of them together: nearly each is a setting, and is named like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpLimit {
    /// All connections are taken: others wait in the system's queue. Counted once each time that it begins.
    MaxConnections,
    /// 429: the address of the client has all connections that it may have.
    MaxConnectionsPerAddress,
    /// 431: too many bytes of headers, or too many header lines.
    MaxHeaderBytes,
    /// 408: the headers of a request have not come in time; or none, on a new connection.
    HeaderTimeout,
    /// 413: the body is too large, or one line of a bulk load.
    MaxBodyBytes,
    /// 408: the body has not come in time.
    BodyTimeout,
    /// The client has read nothing of its answer for too long, and was cut off.
    WriteTimeout,
    /// A connection without a request was closed.
    IdleTimeout,
    /// 503: all streams are taken.
    MaxStreams,
    /// 503: as many clients wait for a write concern as may.
    MaxWaiting,
    /// 503: so many requests wait that hardly a connection is left to those that do not.
    WaitingConnections,
    /// 503: unfinished bodies take all the memory that they may.
    BodyMemory,
    /// 503: the queue of the log's owner is full.
    Queue,
}

impl HttpLimit {
    const ALL: [Self; 13] = [
        Self::MaxConnections,
        Self::MaxConnectionsPerAddress,
        Self::MaxHeaderBytes,
        Self::HeaderTimeout,
        Self::MaxBodyBytes,
        Self::BodyTimeout,
        Self::WriteTimeout,
        Self::IdleTimeout,
        Self::MaxStreams,
        Self::MaxWaiting,
        Self::WaitingConnections,
        Self::BodyMemory,
        Self::Queue,
    ];

    /// The value of the label.
    fn as_str(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::MaxConnectionsPerAddress => "max_connections_per_address",
            Self::MaxHeaderBytes => "max_header_bytes",
            Self::HeaderTimeout => "header_timeout",
            Self::MaxBodyBytes => "max_body_bytes",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::MaxStreams => "max_streams",
            Self::MaxWaiting => "max_waiting",
            Self::WaitingConnections => "waiting_connections",
            Self::BodyMemory => "body_memory",
            Self::Queue => "queue",
        }
    }
}

/// The call that is found before the router looks.
#[derive(Debug)]
struct Shortcut {
    method: Method,
    route: &'static str,
    /// Its answers with 200, which nearly all are: counted without a look at the others.
    ok: Counter,
}

type Answers = BTreeMap<Cow<'static, str>, BTreeMap<(&'static str, u16), Counter>>;

/// An open connection, as long as this value lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<HttpMetrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.dec();
    }
}

impl HttpMetrics {
    /// The call that nearly every request is; only the first word counts.
    pub(crate) fn set_shortcut(&self, method: &Method, route: &'static str) {
        let ok = counter(&mut self.answers(), route, method, StatusCode::OK);
        self.shortcut.get_or_init(|| Shortcut {
            method: method.clone(),
            route,
            ok,
        });
    }

    /// The call of [`HttpMetrics::set_shortcut`] was answered.
    pub(crate) fn answered_shortcut(&self, status: StatusCode) {
        match self.shortcut.get() {
            Some(shortcut) if status == StatusCode::OK => {
                shortcut.ok.inc();
            }
            Some(Shortcut { method, route, .. }) => self.answered(Some(route), method, status),
            None => {}
        }
    }

    /// A request was answered; `route` is `None` where no route has its path.
    pub(crate) fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode) {
        let route = route.unwrap_or(NO_ROUTE);
        counter(&mut self.answers(), route, method, status).inc();
    }

    /// A connection was accepted.
    pub(crate) fn accepted(self: &Arc<Self>) -> OpenConnection {
        self.accepted.inc();
        self.open.inc();
        OpenConnection(Arc::clone(self))
    }

    /// A client, or all of them together, have come to that limit.
    pub(crate) fn reached(&self, limit: HttpLimit) {
        self.reached[limit as usize].inc();
    }

    /// Says all of it; `open_streams` is how many answers are streams that nobody has ended yet.
    pub fn write(&self, open_streams: usize, page: &mut MetricsPage) {
        let answers = self.answers();
        let series = answers.iter().flat_map(|(route, answers)| {
            answers.iter().map(|((method, status), counter)| {
                let labels: Labels = vec![
                    ("route", route.clone()),
                    ("method", Cow::Borrowed(*method)),
                    ("status", status.to_string().into()),
                ];
                (labels, counter.get())
            })
        });
        page.counters(
            "replog_http_requests_total",
            "Requests that were answered, by route, method and status; route is none where no route has the path",
            series,
        );
        page.gauge(
            "replog_http_connections",
            "HTTP connections that are open",
            self.open.get(),
        );
        page.counter(
            "replog_http_connections_accepted_total",
            "HTTP connections that were accepted",
            self.accepted.get(),
        );
        let reached = HttpLimit::ALL.iter().zip(&self.reached);
        page.counters(
            "replog_http_limits_reached_total",
            "Times that a client, or all of them together, came to a limit, by the setting that it has",
            reached.map(|(limit, n)| (labels("limit", limit.as_str()), n.get())),
        );
        page.gauge(
            "replog_http_streams",
            "Streams of entries and of health that are open",
            u64::try_from(open_streams).unwrap_or(u64::MAX),
        );
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The counter of that kind of answer, made at its first use.
fn counter(answers: &mut Answers, route: &str, method: &Method, status: StatusCode) -> Counter {
    let kind = (method_label(method), status.as_u16());
    if let Some(counter) = answers.get(route).and_then(|route| route.get(&kind)) {
        return counter.clone();
    }
    let route = answers.entry(route.to_owned().into()).or_default();
    route.entry(kind).or_default().clone()
}

/// Clients may send any word as a method.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_never_by_what_clients_make_up() {
        let metrics = Arc::new(HttpMetrics::default());
        metrics.set_shortcut(&Method::POST, "/messages");
        metrics.answered_shortcut(StatusCode::OK);
        metrics.answered_shortcut(StatusCode::GONE);
        metrics.answered(Some("/messages"), &Method::POST, StatusCode::OK);
        metrics.answered(Some("/messages"), &Method::GET, StatusCode::OK);
        for n in 0..100 {
            let made_up = Method::from_bytes(format!("MADE{n}").as_bytes()).unwrap();
            metrics.answered(None, &made_up, StatusCode::NOT_FOUND);
        }
        let connections = [metrics.accepted(), metrics.accepted()];
        drop(connections);
        let _open = metrics.accepted();
        let mut page = MetricsPage::default();
        metrics.write(2, &mut page);
        let text = page.text().unwrap();
        let series = |line: &&str| line.starts_with("replog_");
        let expected = [
            r#"replog_http_requests_total{route="/messages",method="GET",status="200"} 1"#,
            r#"replog_http_requests_total{route="/messages",method="POST",status="200"} 2"#,
            r#"replog_http_requests_total{route="/messages",method="POST",status="410"} 1"#,
            r#"replog_http_requests_total{route="none",method="other",status="404"} 100"#,
            "replog_http_connections 1",
            "replog_http_connections_accepted_total 3",
            "replog_http_streams 2",
        ];
        let (limits, others): (Vec<_>, Vec<_>) = text
            .lines()
            .filter(series)
            .partition(|line| line.starts_with("replog_http_limits_reached_total"));
        assert_eq!(others, expected);
        assert_eq!(limits.len(), HttpLimit::ALL.len(), "from the start");
    }

    #[test]
    fn each_limit_has_its_own_place_and_name() {
        let metrics = HttpMetrics::default();
        for (at, limit) in HttpLimit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at);
            for _ in 0..=at {
                metrics.reached(limit);
            }
        }
        let mut page = MetricsPage::default();
        metrics.write(0, &mut page);
        let text = page.text().unwrap();
        for (limit, n) in HttpLimit::ALL.into_iter().zip(1..) {
            let name = limit.as_str();
            let line = format!(r#"replog_http_limits_reached_total{{limit="{name}"}} {n}"#);
            assert!(text.lines().any(|said| said == line), "{line} in {text}");
        }
    }
}
