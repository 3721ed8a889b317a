//! The link to the broker that the settings ask for.

use replog_nats::{Credentials, LinkOptions, NatsLink, Subjects};

use crate::exit::Failure;
use crate::settings::{NatsArgs, process_environment};

/// A link that is connecting from now on, with the credentials of this process's `NATS_*` variables. `name` is the connection's
/// in `nats server report connections`; `subscriptions` chooses what to listen to. Needs a tokio runtime.
///
/// # Errors
/// Credentials that cannot be used.
pub fn open(
    args: &NatsArgs,
    name: String,
    subscriptions: impl FnOnce(&Subjects) -> Vec<String>,
) -> Result<NatsLink, Failure> {
    let text = |variable: &str| {
        process_environment(variable).map(|value| value.to_string_lossy().into_owned())
    };
    let credentials = Credentials::from_variables(text);
    let credentials = credentials.map_err(|error| Failure::cannot_start(error.to_string()))?;
    let options = LinkOptions {
        urls: args.nats_url.clone(),
        credentials,
        name,
        cluster: args.cluster.clone(),
        subscriptions: subscriptions(&Subjects::of(&args.cluster)),
    };
    NatsLink::open(options).map_err(|error| Failure::cannot_start(error.to_string()))
}
