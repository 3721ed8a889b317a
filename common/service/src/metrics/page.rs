//! The answer to one scrape, in the making.

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeGaugeValue, EncodeMetric, MetricEncoder, prometheus_text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;

/// The labels of one series: names and values. Values must be few, whatever clients send.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// The metrics of one moment, in the order in which they are added. Names are whole: with `replog_`, the unit, and the `_total` of
/// a counter. The help is a sentence without its full stop.
#[derive(Debug, Default)]
pub struct MetricsPage(Registry);

/// Series of one metric that differ in their labels.
#[derive(Debug)]
struct Series<M>(Vec<(Labels, M)>);

impl<M: EncodeMetric + TypedMetric> EncodeMetric for Series<M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, metric) in &self.0 {
            metric.encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

impl MetricsPage {
    /// What is so at this moment.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Value) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    /// The same of several, told apart by their labels.
    pub fn gauges<V: Value>(
        &mut self,
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = (Labels, V)>,
    ) {
        let values = values.into_iter();
        let series = values.map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.0.register(name, help, Series(series.collect()));
    }

    /// Which one of several states is so: 1 for that one, 0 for the others, by the label `label`.
    pub fn state(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        states: &[&'static str],
        current: &str,
    ) {
        let value = |state: &&'static str| {
            let labels = vec![(label, Cow::Borrowed(*state))];
            (labels, u64::from(*state == current))
        };
        self.gauges(name, help, states.iter().map(value));
    }

    /// How many by now, since the program started.
    pub fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        let value = ConstCounter::new(value);
        self.0.register(without_total(name), help, value);
    }

    /// How long by now, in seconds, since the program started.
    pub fn seconds_counter(&mut self, name: &'static str, help: &'static str, seconds: f64) {
        let value = ConstCounter::new(seconds);
        self.0.register(without_total(name), help, value);
    }

    /// How many of several by now, told apart by their labels.
    pub fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let values = values.into_iter();
        let series = values.map(|(labels, value)| (labels, ConstCounter::new(value)));
        let series: Vec<_> = series.collect();
        self.0.register(without_total(name), help, Series(series));
    }

    /// How often a value was how large.
    pub fn histogram(&mut self, name: &'static str, help: &'static str, histogram: &Histogram) {
        self.0.register(name, help, histogram.clone());
    }

    /// The same of several, told apart by their labels.
    pub fn histograms(
        &mut self,
        name: &'static str,
        help: &'static str,
        histograms: impl IntoIterator<Item = (Labels, Histogram)>,
    ) {
        let series = histograms.into_iter().collect();
        self.0.register(name, help, Series(series));
    }

    /// The page in Prometheus' text format.
    ///
    /// # Errors
    /// A value that cannot be written; a bug.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 << 10);
        prometheus_text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// The library adds it.
fn without_total(name: &'static str) -> &'static str {
    debug_assert!(
        name.ends_with("_total"),
        "the counter {name} must end with _total"
    );
    name.strip_suffix("_total").unwrap_or(name)
}

/// A number that a gauge can be.
pub trait Value: EncodeGaugeValue + fmt::Debug + Send + Sync + 'static {}

impl<V: EncodeGaugeValue + fmt::Debug + Send + Sync + 'static> Value for V {}

impl IntoResponse for MetricsPage {
    fn into_response(self) -> Response {
        let headers = [
            (CONTENT_TYPE, prometheus_text::CONTENT_TYPE),
            (CACHE_CONTROL, "no-store"),
        ];
        match self.text() {
            Ok(text) => (headers, text).into_response(),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_prometheus_reads() {
        let mut page = MetricsPage::default();
        page.gauge("replog_last_seq", "The last entry", 3u64);
        page.counter("replog_things_total", "Things", 0);
        page.seconds_counter("replog_work_seconds_total", "Work", 1.5);
        let member = |name: &'static str| vec![("member", Cow::Borrowed(name))];
        let lags = [(member("a\"b"), 0.25), (member("c"), 0.0)];
        page.gauges("replog_member_lag_seconds", "Lag", lags);
        page.state("replog_status", "Status", "status", &["ok", "bad"], "bad");
        let histogram = Histogram::new([0.5, 1.0]);
        histogram.observe(0.7);
        page.histogram("replog_wait_seconds", "Waits", &histogram);
        let expected = r#"# HELP replog_last_seq The last entry.
# TYPE replog_last_seq gauge
replog_last_seq 3
# HELP replog_things_total Things.
# TYPE replog_things_total counter
replog_things_total 0
# HELP replog_work_seconds_total Work.
# TYPE replog_work_seconds_total counter
replog_work_seconds_total 1.5
# HELP replog_member_lag_seconds Lag.
# TYPE replog_member_lag_seconds gauge
replog_member_lag_seconds{member="a\"b"} 0.25
replog_member_lag_seconds{member="c"} 0.0
# HELP replog_status Status.
# TYPE replog_status gauge
replog_status{status="ok"} 0
replog_status{status="bad"} 1
# HELP replog_wait_seconds Waits.
# TYPE replog_wait_seconds histogram
replog_wait_seconds_bucket{le="0.5"} 0
replog_wait_seconds_bucket{le="1"} 1
replog_wait_seconds_bucket{le="+Inf"} 1
replog_wait_seconds_sum 0.7
replog_wait_seconds_count 1
"#;
        assert_eq!(page.text().unwrap(), expected);
    }
}
