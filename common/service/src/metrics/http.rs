//! What the HTTP server counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::http::{Method, StatusCode};

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
    refused: Counter,
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

    /// A connection was accepted only to refuse its requests: its address has as many as it may have.
    pub(crate) fn refused(&self) {
        self.refused.inc();
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
        page.counter(
            "replog_http_connections_refused_total",
            "HTTP connections above --max-connections-per-address",
            self.refused.get(),
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
            "replog_http_connections_refused_total 0",
            "replog_http_streams 2",
        ];
        assert_eq!(text.lines().filter(series).collect::<Vec<_>>(), expected);
    }
}
