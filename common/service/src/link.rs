//! The link to the broker that the settings ask for.

use replog_nats::{Credentials, LinkOptions, NatsLink, NatsService, Permissions, Subjects};

use crate::exit::Failure;
use crate::service_stats::ServiceStats;
use crate::settings::{NatsArgs, process_environment};

/// Which program opens a link.
#[derive(Clone, Copy, Debug)]
pub struct LinkOwner<'a> {
    /// The program.
    pub program: &'static str,
    /// What the program is for, as a sentence.
    pub about: &'static str,
    /// The release.
    pub version: &'static str,
    /// The node.
    pub node: &'a str,
    /// The connection's name in `nats server report connections`.
    pub connection: &'a str,
}

/// A link that is connecting from now on, with the credentials of this process's `NATS_*` variables. `permissions` are all that
/// the program needs there, what to listen to among them; `stats` is what `nats service stats` shows. Needs a tokio runtime.
///
/// # Errors
/// Credentials that cannot be used.
pub fn open(
    args: &NatsArgs,
    owner: LinkOwner<'_>,
    permissions: impl FnOnce(&Subjects) -> Permissions,
    stats: &ServiceStats,
) -> Result<NatsLink, Failure> {
    let text = |variable: &str| {
        process_environment(variable).map(|value| value.to_string_lossy().into_owned())
    };
    let credentials = Credentials::from_variables(text);
    let credentials = credentials.map_err(|error| Failure::cannot_start(error.to_string()))?;
    let service = NatsService {
        name: owner.program,
        version: owner.version,
        description: owner.about,
        cluster: args.cluster.clone(),
        node: owner.node.to_owned(),
        stats: stats.as_function(),
    };
    let permissions = permissions(&Subjects::of(&args.cluster));
    let options = LinkOptions {
        urls: args.nats_url.clone(),
        credentials,
        name: owner.connection.to_owned(),
        cluster: args.cluster.clone(),
        subscriptions: permissions.subscribe,
        publishes: permissions.publish,
        service: (!args.no_nats_service).then_some(service),
    };
    NatsLink::open(options).map_err(|error| Failure::cannot_start(error.to_string()))
}
