//! What comes to a secondary over the link.

use replog_common::log::StoreError;
use replog_common::message::{Ack, Append, Claim, ENVELOPE_BYTES, Fetch, Unreadable};
use replog_common::service::clock::wall_ms;
use replog_common::service::program::Failure;
use replog_nats::{AckOf, Delivered, Link, LinkEvent, Message, Payload, Subject};
use tracing::{debug, warn};

use super::{Follow, Run, failed};
use crate::claim::Taken;

impl<L: Link> Follow<L> {
    pub(super) async fn link_event(
        &mut self,
        event: LinkEvent,
        run: &mut Run,
    ) -> Result<(), Failure> {
        match event {
            LinkEvent::Up { max_payload } => {
                self.max_payload = max_payload;
                self.broker_up = true;
                match self
                    .claiming
                    .link_up(self.clock.now(), &self.follower.ack())
                {
                    Some(claim) => {
                        let node = self.follower.node().clone();
                        let reply = Some(Subject::Ack(node.clone(), AckOf::Hello));
                        self.link.send(Message {
                            to: Subject::Heartbeat(node),
                            reply,
                            payload: claim.encode(),
                        });
                    }
                    None => self.hello_soon(),
                }
            }
            LinkEvent::Down => self.broker_up = false,
            LinkEvent::Delivered(delivered) => return self.delivered(delivered, run).await,
            LinkEvent::Fatal(why) => return Err(Failure::cannot_start(why)),
        }
        Ok(())
    }

    async fn delivered(
        &mut self,
        Delivered { subject, payload }: Delivered,
        run: &mut Run,
    ) -> Result<(), Failure> {
        match (subject, payload) {
            (Subject::Ack(_, AckOf::Hello), Payload::NoResponders) if self.claiming.nobody() => {
                self.hello_soon();
            }
            (Subject::Ack(..), Payload::Line(line)) => {
                let heard = Ack::decode(&line).map_or(Ok(()), |ack| self.claiming.heard(&ack));
                if heard == Err(Taken) {
                    let node = self.follower.node();
                    let why = format!(
                        "another secondary named {node} is running: give this one another --node-id"
                    );
                    return Err(Failure::cannot_start(why));
                }
            }
            (Subject::Fetch(_), Payload::Line(line)) => match Fetch::decode(&line) {
                Ok(fetch) if self.claiming.is_won() => self.fetch(&fetch).await?,
                Ok(_) => {}
                Err(error) => warn!(%error, "a question could not be read and was ignored"),
            },
            // A master that starts asks everybody.
            (Subject::Event(_), Payload::Line(_)) => self.hello_soon(),
            (Subject::Append(_) | Subject::Heartbeat(_), Payload::Line(line)) => {
                self.line(&line, run).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A master that recovers asks for entries: it is promised that no lower epoch is followed any more, and gets them.
    async fn fetch(&mut self, fetch: &Fetch) -> Result<(), Failure> {
        if !self.settle().await? {
            return Ok(()); // no answer: it is asked again
        }
        let answer = self.follower.answer(fetch);
        self.change().await?;
        if self.pending.is_some() {
            return Ok(()); // nothing of the new history is written before the old one is gone
        }
        let (first, last) = answer.entries.clone().into_inner();
        let room = fetch
            .max_bytes
            .min(self.max_payload.saturating_sub(ENVELOPE_BYTES));
        // What is promised is remembered before it is said.
        let standing = || self.follower.standing(&[]);
        match self.store.write(&[], standing).await {
            Ok(()) => self.show(),
            Err(StoreError::Full) => return Ok(()), // no answer until there is room
            Err(error) => return Err(failed(&error)),
        }
        let entries = match self.store.read(first, last, room).await {
            Ok(entries) => entries,
            Err(error) => {
                // No answer: it asks somebody else. What is damaged is told where it is found.
                debug!(%first, %error, "a master asks for entries that cannot be read");
                self.hello_soon();
                return Ok(());
            }
        };
        let (count, epoch) = (entries.count, fetch.life.epoch);
        debug!(%first, count, %epoch, "a master that recovers was answered");
        let node = self.follower.node().clone();
        self.link.send(Message {
            to: Subject::Fetched(node),
            reply: None,
            payload: answer.with(entries).encode(wall_ms()),
        });
        Ok(())
    }

    /// A message from the master, or a question whether the name is taken.
    async fn line(&mut self, line: &[u8], run: &mut Run) -> Result<(), Failure> {
        match Append::decode(line) {
            Ok(_) if !self.claiming.is_won() => {} // it comes again
            Ok(append) => {
                let now = self.clock.now();
                self.master_seen = Some(now);
                self.hello_backoff.reset(std::time::Duration::ZERO);
                self.hello_at = Some(now + self.hello_backoff.next_wait());
                let delayed = !self.faults.borrow().delay.is_zero();
                if append.entries.is_empty() || !delayed {
                    self.receive(append, run).await?;
                } else if !self.delayed.push(append, now) {
                    debug!("an append was dropped: too many wait for their delay");
                }
            }
            Err(Unreadable::Kind(_)) => match Claim::decode(line) {
                Ok(claim) if self.claiming.is_mine_before(&claim) => {
                    warn!(
                        "another secondary wants this one's name; it is told that the name is taken"
                    );
                    run.is_claimed = true;
                }
                Ok(_) => {}
                Err(error) => warn!(%error, "a message could not be read and was ignored"),
            },
            Err(error) => warn!(%error, "a message could not be read and was ignored"),
        }
        Ok(())
    }
}
