//! Log lines, on standard error through a writer that never makes a request wait for a slow disk or pipe.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{LogFormat, SettingsExit};

/// Keeps the log alive; when it is dropped, what is queued is written, within a second.
#[must_use = "dropping the guard ends the log"]
pub struct LogGuard(#[expect(dead_code, reason = "held for its Drop")] WorkerGuard);

/// Starts the log, at the level that `RUST_LOG` names (`info` when unset or empty): a level, or a comma list of
/// `target=level`, where a target stands for all that begin with it (`replog=debug`). Lines are dropped rather than waited
/// for when 128,000 are queued. A subscriber that is already installed stays.
///
/// # Errors
/// `RUST_LOG` cannot be read as a filter.
pub fn init(program: &str, format: LogFormat) -> Result<LogGuard, SettingsExit> {
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
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A subscriber may be installed already when a test runs both programs in one process.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(LogGuard(guard))
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
