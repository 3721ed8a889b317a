//! Log lines, on standard error through a writer that never makes a request wait for a slow disk or pipe.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use super::settings::{LogFormat, SettingsExit};

/// Keeps the log alive; when it is dropped, what is queued is written.
#[must_use = "dropping the guard ends the log"]
pub struct LogGuard(#[expect(dead_code, reason = "held for its Drop")] WorkerGuard);

/// Starts the log, at the level `RUST_LOG` names (`info` when unset or empty). Lines are dropped rather
/// than waited for when 128,000 are queued. A subscriber that is already installed stays.
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
    install(format, filter, writer, colours);
    Ok(LogGuard(guard))
}

fn install(format: LogFormat, filter: EnvFilter, writer: NonBlocking, colours: bool) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours);
    // A subscriber may be installed already when a test runs both programs in one process.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_info_unless_told() {
        let shown = |directives| filter(directives).map(|f| f.to_string()).ok();
        assert_eq!(shown(""), Some("info".into()));
        assert_eq!(shown("debug"), Some("debug".into()));
        assert_eq!(shown("replog=debug"), Some("replog=debug".into()));
        assert_eq!(shown("replog=loud"), None);
    }
}
