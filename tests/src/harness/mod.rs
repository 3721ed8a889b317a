//! Starts a broker, a master and secondaries as real processes, talks to them, disturbs them, and leaves none behind.
//!
//! | module | what it is |
//! |---|---|
//! | [`install`] | where the real `nats-server` is found, or installed |
//! | [`nats_server`] | one broker: start, stop, kill, restart on the same port |
//! | [`nats_cluster`] | brokers with JetStream, one or several that keep each stream together, and who leads it |
//! | [`spec`], [`process`] | one node, the same for a master or a secondary: how it is started, and what is done to it |
//! | [`builder`], [`cluster`] | a broker, a master, N secondaries: how they are set up, and the usual questions to them |
//! | [`ha_cluster`] | masters that share a journal in a stream, their secondaries, and those brokers |
//! | [`proxy`] | a network that can be cut |
//! | [`http`], [`session`], [`answer`] | a small HTTP client; the same on one connection |
//! | [`raw`] | a bare connection, for clients that are slow, silent or cut off |
//! | [`mod@eventually`] | the one way to wait for a state that has no event |
//! | [`ports`] | port numbers that nobody else takes meanwhile |
//! | [`guarded`], [`hidden`] | the two ends of the pipe that leaves no orphan: the parent's and the child's |

pub mod answer;
pub mod builder;
pub mod cluster;
pub mod eventually;
pub mod guarded;
pub mod ha_cluster;
pub mod hidden;
pub mod http;
pub mod install;
pub mod nats_cluster;
pub mod nats_server;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod session;
pub mod spec;

pub use answer::Answer;
pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use eventually::eventually;
pub use ha_cluster::{HaCluster, HaClusterBuilder};
pub use http::{HttpClient, Pending};
pub use nats_cluster::NatsCluster;
pub use nats_server::{BrokerOptions, NatsServer};
pub use ports::PortLease;
pub use process::Node;
pub use raw::RawConnection;
pub use session::Session;
pub use spec::{NodeSpec, Role};
