//! Log lines, on standard error through a writer that never makes a request wait for a slow disk or pipe.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFormat, SettingsExit};

/// Keeps the log alive; when it is dropped, what is queued is written, within a second.
#[must_use = "dropping the guard ends the log"]
pub struct LogGuard(#[expect(dead_code, reason = "held for its Drop")] WorkerGuard);

/// Starts the log, at the level that `RUST_LOG` names (`info` when unset or empty): a level, or a comma list of
/// `target=level`, where a target stands for all that begin with it (`replog=debug`). Each line names the `node`. Lines are
/// dropped rather than waited for when 128,000 are queued. A subscriber that is already installed stays.
///
/// # Errors
/// `RUST_LOG` cannot be read as a filter.
pub fn init(program: &str, node: &str, format: LogFormat) -> Result<LogGuard, SettingsExit> {
    let directives = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = filter(&directives).map_err(|e| {
        SettingsExit::Wrong(format!(
            "{program}: RUST_LOG: {directives:?} is not allowed: expected a level or target=level, as in info,async_nats=warn ({e})"
        ))
    })?;
    let stderr = io::stderr();
    let colours = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let (writer, guard) = tracing_appender::non_blocking(stderr);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours);
    let lines = match format {
        LogFormat::Text => {
            let first = format!("{node} ");
            lines
                .map_event_format(|inner| Named { first, inner })
                .boxed()
        }
        LogFormat::Json => {
            // Not `node`: lines about another node have that.
            let first = format!(r#"{{"logged_by":"{node}","#);
            let lines = lines.json().flatten_event(true);
            lines
                .map_event_format(|inner| NamedJson { first, inner })
                .boxed()
        }
    };
    // A subscriber may be installed already when a test runs both programs in one process.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(LogGuard(guard))
}

/// Lines of text that begin with the node's name: the lines of several nodes are often read as one file.
struct Named<F> {
    first: String,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(&self.first)?;
        self.inner.format_event(context, writer, event)
    }
}

/// JSON objects of which the node's name is the first field.
struct NamedJson<F> {
    /// In place of the brace that begins an object.
    first: String,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for NamedJson<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => {
                writer.write_str(&self.first)?;
                writer.write_str(rest)
            }
            None => writer.write_str(&line),
        }
    }
}

fn filter(directives: &str) -> Result<Targets, ParseError> {
    match directives.trim() {
        "" => Ok(Targets::new().with_default(LevelFilter::INFO)),
        directives => directives.parse(),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_level_is_info_unless_told() {
        let shows = |directives, target: &str, level: Level| {
            let filter: Targets = filter(directives).unwrap();
            filter.would_enable(target, &level)
        };
        for unset in ["", " "] {
            assert!(shows(unset, "replog_service", Level::INFO));
            assert!(!shows(unset, "replog_service", Level::DEBUG));
        }
        assert!(shows("debug", "replog_service", Level::DEBUG));
        assert!(shows(
            "replog=debug",
            "replog_service::node_task",
            Level::DEBUG
        ));
        assert!(!shows("replog=debug", "async_nats", Level::ERROR));
        assert!(!shows("info,async_nats=warn", "async_nats", Level::INFO));
        assert!(filter("replog=loud").is_err());
    }
}
