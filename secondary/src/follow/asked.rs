//! What HTTP asks of a secondary's log.

use replog_common::entry::Position;
use replog_common::protocol::follower::Follower;
use replog_common::service::program::Failure;
use replog_common::types::Incarnation;
use replog_nats::Link;
use tracing::info;

use super::{Follow, Query, new_incarnation, unwritable};
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
                info!("the log was cleared; the master fills it again");
                self.begin_empty(Follower::clear).await?;
                reply.send(()).ok();
            }
            Query::Aside(reply) => drop(reply.send(self.aside.clone())),
            Query::Rejoin(reply) => {
                let before = self.aside.count();
                let rejoins = self.follower.foreign().is_some();
                if rejoins {
                    info!("rejoining: following the master from its first entry on");
                    self.put_aside_after(self.follower.log_id(), Position::default())
                        .await?;
                    self.begin_empty(Follower::rejoin).await?;
                }
                reply
                    .send(rejoins.then(|| self.aside.count() - before))
                    .ok();
            }
        }
        Ok(())
    }

    /// A new life of the storage, with nothing in it.
    async fn begin_empty(
        &mut self,
        forget: impl Fn(&mut Follower, Incarnation),
    ) -> Result<(), Failure> {
        let incarnation = new_incarnation();
        forget(&mut self.follower, incarnation);
        self.claiming.renew(incarnation);
        self.delayed = Delayed::default();
        let begun = self.store.begin_anew(self.follower.standing(&[])).await;
        begun.map_err(|e| unwritable(&e))?;
        self.show();
        self.hello();
        Ok(())
    }
}
