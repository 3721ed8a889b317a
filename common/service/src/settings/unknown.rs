//! `REPLOG_` variables that nothing of the project knows: most likely a typing error, so they are warned of by name.

use std::ffi::OsString;

use clap::{Arg, Parser};

use super::security::TOKEN_VARIABLES;
use crate::nearest::nearest;

/// What begins every variable of the project.
const PREFIX: &str = "REPLOG_";

/// The variables of the other programs of the project, which share one environment in compose files: those of the master,
/// of the secondary, of the compose file itself, and of the tests.
const OF_OTHER_PROGRAMS: [&str; 28] = [
    "REPLOG_BATCH_BYTES",
    "REPLOG_BIND",
    "REPLOG_CUTS",
    "REPLOG_DEDUPLICATE_BY",
    "REPLOG_DEFAULT_W",
    "REPLOG_DELAY",
    "REPLOG_DROP_RATE",
    "REPLOG_ERROR_RATE",
    "REPLOG_FLIPS",
    "REPLOG_JOURNAL_REPLICAS",
    "REPLOG_JOURNAL_RETRY",
    "REPLOG_JOURNAL_STREAM",
    "REPLOG_JOURNAL_URL",
    "REPLOG_MAX_WAITING",
    "REPLOG_NODE_ID",
    "REPLOG_READ_ONLY_WITHOUT_QUORUM",
    "REPLOG_READY_LAG",
    "REPLOG_RECOVERY_REQUIRES",
    "REPLOG_RECOVERY_TIMEOUT",
    "REPLOG_RETRY_MAX",
    "REPLOG_RETRY_MIN",
    "REPLOG_SECONDARIES",
    "REPLOG_SEED",
    "REPLOG_SIM_SEED",
    "REPLOG_STORE",
    "REPLOG_TAKEOVER",
    "REPLOG_TEST_SECONDARY",
    "REPLOG_WINDOW_BYTES",
];

/// A variable that nothing of the project knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownVariable {
    /// Its name.
    pub name: String,
    /// The known name that is nearest, if there is one that could have been meant.
    pub nearest: Option<String>,
}

/// Those of `names` that begin with `REPLOG_` and that neither the program `C` nor another one of the project knows, in
/// their order. Kubernetes injects variables for every service of its namespace: `*_SERVICE_HOST`, `*_SERVICE_PORT*` and
/// `*_PORT*` are left out.
#[must_use]
pub fn unknown_variables<C: Parser>(
    names: impl IntoIterator<Item = OsString>,
) -> Vec<UnknownVariable> {
    let command = C::command();
    let own = command.get_arguments().filter_map(Arg::get_env);
    let own = own.filter_map(|name| name.to_str());
    let tokens = TOKEN_VARIABLES.map(|(_, variable)| variable);
    let known: Vec<&str> = own.chain(tokens).chain(OF_OTHER_PROGRAMS).collect();
    let is_injected = |name: &str| name.ends_with("_SERVICE_HOST") || name.contains("_PORT");
    names
        .into_iter()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !is_injected(name))
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| UnknownVariable {
            nearest: nearest(&name, known.iter().copied()).map(str::to_owned),
            name,
        })
        .collect()
}
