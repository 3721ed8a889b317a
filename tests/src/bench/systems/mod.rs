//! What is put under load, each system behind the same small trait.
//!
//! | module | a request is |
//! |---|---|
//! | [`bare`] | a POST to axum that reads the same body, answers the same JSON, and does nothing else |
//! | [`replog`] | a POST to the master of this project, with `w` = 1, 2 or 3 |
//! | [`redis`] | XADD and `WAIT 2` to a primary with two replicas, all in memory |
//! | [`fan_out`] | a message over the broker to two subscribers, and an ACK from each: no log at all |
//! | [`etcd`] | a POST of an in-order key to the leader of three nodes |
//! | [`jetstream`] | a message to a stream with three replicas in files, and its PubAck |
//! | [`start`] | which systems there are, and how those that were asked for are started |
//! | [`post`] | the HTTP connection of those that take POSTs |

pub mod bare;
pub mod etcd;
pub mod fan_out;
pub mod jetstream;
pub mod post;
pub mod redis;
pub mod replog;
pub mod start;

use anyhow::Result;
use futures_util::future::LocalBoxFuture;

use super::load::{self, Until};
use super::summary::Sample;
use super::usage::Meter;

/// Something that takes requests from clients, each on a connection of its own.
pub trait System {
    /// A client's connection.
    type Connection: Send + 'static;

    /// Connects one more client.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection>>;

    /// One request and its answer, which must be a success.
    fn request(connection: &mut Self::Connection) -> impl Future<Output = Result<()>> + Send;

    /// The processes whose processor time a request costs.
    fn processes(&self) -> Vec<Process>;

    /// Waits until nothing is left to do for requests that are answered, so that a turn pays for all that it caused.
    fn settle(&self) -> impl Future<Output = Result<()>> {
        std::future::ready(Ok(()))
    }
}

/// A process of a system.
#[derive(Clone, Debug)]
pub struct Process {
    /// `master`, `secondary1`, `broker`, `redis-server`, …
    pub name: String,
    /// Its id, if it runs.
    pub pid: Option<i32>,
}

impl Process {
    /// The process `pid` under that name.
    #[must_use]
    pub fn new(name: &str, pid: Option<i32>) -> Self {
        Self {
            name: name.to_owned(),
            pid,
        }
    }
}

/// Any [`System`], whatever its connections are.
pub trait AnySystem {
    /// Connects so many clients, lets them request, and says what they saw and what it cost. Connecting is not measured.
    fn turn(&self, clients: usize, until: Until) -> LocalBoxFuture<'_, Result<Sample>>;

    /// As [`System::processes`].
    fn all_processes(&self) -> Vec<Process>;
}

impl<S: System> AnySystem for S {
    fn turn(&self, clients: usize, until: Until) -> LocalBoxFuture<'_, Result<Sample>> {
        Box::pin(async move {
            let connections = load::connect(self, clients).await?;
            let meter = Meter::start(&self.processes());
            let seen = load::run::<S>(connections, until).await?;
            let load_cpu = meter.load();
            self.settle().await?;
            Ok(Sample::new(&seen, meter.processes(), load_cpu))
        })
    }

    fn all_processes(&self) -> Vec<Process> {
        self.processes()
    }
}
