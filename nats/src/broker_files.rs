//! The broker's configuration as it comes with the project, but for its users: for whoever writes another one beside it.

/// `common.conf`, which the others include, with `accounts.conf` beside it (see [`Accounts`](crate::Accounts)).
pub const COMMON_CONF: &str = include_str!("../common.conf");
/// `jetstream.conf`, which the others include where masters share a journal.
pub const JETSTREAM_CONF: &str = include_str!("../jetstream.conf");
/// `nats-public.conf`: nobody without a password or an nkey.
pub const PUBLIC_CONF: &str = include_str!("../nats-public.conf");
/// `nats-tls.conf`: the same with TLS, and a certificate of every client.
pub const TLS_CONF: &str = include_str!("../nats-tls.conf");
