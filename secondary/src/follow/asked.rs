//! What HTTP asks of a secondary's log.

use replog_common::entry::Position;
use replog_common::log::StoreError;
use replog_common::protocol::follower::Follower;
use replog_common::service::program::Failure;
use replog_common::types::Incarnation;
use replog_nats::Link;
use tracing::info;

use super::{Follow, NoRoom, Query, failed, new_incarnation};
use crate::aside::Tail;
use crate::delayed::Delayed;
use crate::health;

impl<L: Link> Follow<L> {
    pub(super) async fn query(&mut self, query: Query) -> Result<(), Failure> {
        match query {
            Query::Health(reply) => {
                let now = self.clock.now();
                reply
                    .send(health::of(
                        &self.follower,
                        &self.aside,
                        self.store.shown(),
                        self.broker_up,
                        self.master_seen,
                        now,
                    ))
                    .ok();
            }
            Query::Clear(reply) => {
                let cleared = self.begin_empty(Follower::clear, None).await;
                if cleared.is_ok() {
                    info!("the log was cleared; the master fills it again");
                }
                reply.send(room(cleared)?).ok();
            }
            Query::Aside(reply) => drop(reply.send(self.aside.clone())),
            Query::Rejoin(reply) => {
                let rejoined = match self.follower.foreign() {
                    None => None,
                    Some(_) => Some(room(self.rejoin().await)?),
                };
                reply.send(rejoined).ok();
            }
        }
        Ok(())
    }

    /// Puts everything aside; how many entries that is.
    async fn rejoin(&mut self) -> Result<u64, StoreError> {
        let tail = match self.follower.log_id() {
            Some(log_id) => self.store.keep_aside(log_id, Position::default()).await?,
            None => None,
        };
        let before = self.aside.count();
        self.begin_empty(Follower::rejoin, tail).await?;
        info!("rejoining: following the master from its first entry on");
        Ok(self.aside.count() - before)
    }

    /// A new life of the storage, with nothing in it; what was in it before may be kept aside.
    async fn begin_empty(
        &mut self,
        forget: impl Fn(&mut Follower, Incarnation),
        aside: Option<Tail>,
    ) -> Result<(), StoreError> {
        let (mut empty, incarnation) = (self.follower.clone(), new_incarnation());
        forget(&mut empty, incarnation);
        if let Err(error) = self.store.begin_anew(empty.standing(&[])).await {
            if let Some(tail) = aside {
                tail.discard();
            }
            return Err(error);
        }
        if let Some(tail) = aside {
            self.tell_aside(tail);
        }
        self.follower = empty;
        self.pending = None;
        self.claiming.renew(incarnation);
        self.delayed = Delayed::default();
        self.show();
        self.hello_soon();
        Ok(())
    }
}

/// A full disk is the client's to know; every other failure ends the program.
fn room<T>(done: Result<T, StoreError>) -> Result<Result<T, NoRoom>, Failure> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(StoreError::Full) => Ok(Err(NoRoom)),
        Err(error) => Err(failed(&error)),
    }
}
