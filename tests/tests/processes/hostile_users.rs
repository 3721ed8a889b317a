//! Whoever has the secret of one secondary, or none, tries to speak for others, against a broker with the file that comes with the
//! project. What is refused, what is dropped, and what such a user can do all the same: the table of the threat model.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use replog_tests::harness::{Cluster, Node, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::broker_users::{Guest, logged_in, nodes, shipped, start_with};
use crate::lies::{FORGED, payloads};
use crate::support::{SOON, health, member, wait_equal, wait_health, wait_status};
use crate::watch::{Seen, Watch};

/// Where [`Watch`] puts its mark, as the master: nobody else of the test may say anything but for itself.
const MARK: &str = "replog.default.event.master.mark";
/// In every forged message: a field that no node knows.
const FORGERY: (&str, bool) = ("forged", true);
/// A life of a process that is none of the cluster's.
const NOBODY: Uuid = Uuid::from_u128(7);

/// A cluster of the shipped users that has one entry everywhere, and real messages about secondary 1 and 2 to be forged.
struct Stage {
    watch: Watch,
    append: Seen,
    heartbeat: Seen,
    /// The ACKs of both.
    acks: [Seen; 2],
    /// The intruder, who has the password of secondary 2.
    intruder: Guest,
}

impl Stage {
    async fn set(cluster: &mut Cluster) -> Result<Self> {
        start_with(cluster, logged_in).await?;
        cluster.post("one", 3).await?.expect(200)?;
        let nobody = Guest::connect(&cluster.broker, None).await?;
        let master = Guest::connect(&cluster.broker, Some("master")).await?;
        let mut watch = Watch::over(&nobody.client, master.client, MARK).await?;
        cluster.post("two", 3).await?.expect(200)?;
        let mut seen = watch
            .until("heartbeat", |s| {
                s.is("heartbeat", "secondary1") && s.json["prev"]["seq"] == 2
            })
            .await?;
        for node in ["secondary1", "secondary2"] {
            let ack = watch.until("ACK", |s| s.is("ack", node) && s.json["seq"] == 2);
            seen.extend(ack.await?);
        }
        let last = |kind: &str, node: &str| {
            let found = seen.iter().rfind(|s| s.is(kind, node)).cloned();
            found.with_context(|| format!("no {kind} of {node}"))
        };
        Ok(Self {
            append: last("append", "secondary1")?,
            heartbeat: last("heartbeat", "secondary1")?,
            acks: [last("ack", "secondary1")?, last("ack", "secondary2")?],
            intruder: Guest::connect(&cluster.broker, Some("secondary2")).await?,
            watch,
        })
    }

    /// What a node of that name would say if it held everything up to that position.
    fn ack(&self, node: usize, upto: u64) -> String {
        let real = &self.acks[node - 1];
        let mut last = real.json["last"].clone();
        last["seq"] = json!(upto);
        real.with(&[("seq", json!(upto)), ("last", last), forgery()])
    }

    /// A message of a master that has come after the living one.
    fn of_next_master(&self, real: &Seen) -> String {
        let epoch = real.json["epoch"].as_u64().unwrap_or_default() + 1;
        real.with(&[
            ("epoch", json!(epoch)),
            ("instance", json!(NOBODY)),
            forgery(),
        ])
    }

    /// What only others than secondary 2 may say, and where.
    fn in_the_name_of_others(&self) -> Vec<(&'static str, String)> {
        let (log_id, epoch) = (&self.append.json["log_id"], &self.append.json["epoch"]);
        let next = epoch.as_u64().unwrap_or_default() + 1;
        let of_master = |kind: &str| {
            json!({"kind": kind, "log_id": log_id, "epoch": next, "instance": NOBODY, "forged": true, "v": 2})
                .to_string()
        };
        let overtaken = json!({
            "kind": "serving", "log_id": log_id, "epoch": next, "instance": NOBODY,
            "overtakes": self.append.json["instance"], "forged": true, "v": 2,
        });
        let of_secondary1 =
            |kind: &str| self.acks[0].with(&[("kind", json!(kind)), ("seq", json!(3)), forgery()]);
        let goodbye = self.acks[0].with(&[("goodbye", json!(true)), forgery()]);
        let claim = json!({"kind": "claim", "node": "secondary1", "storage": NOBODY, "forged": true, "v": 2});
        let event = json!({"kind": "fenced", "forged": true, "v": 2});
        vec![
            // For secondary 1.
            ("replog.default.ack.secondary1.3", self.ack(1, 3)),
            ("replog.default.ack.secondary1.hello", self.ack(1, 3)),
            ("replog.default.ack.secondary1.goodbye", goodbye),
            (
                "replog.default.promise.secondary1",
                of_secondary1("promise"),
            ),
            (
                "replog.default.fetched.secondary1",
                of_secondary1("fetched"),
            ),
            ("replog.default.claim.secondary1", claim.to_string()),
            ("replog.default.event.secondary1.healthy", event.to_string()),
            // For the master, to others and to oneself.
            (
                "replog.default.append.secondary1",
                self.of_next_master(&self.append),
            ),
            (
                "replog.default.append.secondary2",
                self.of_next_master(&self.append),
            ),
            (
                "replog.default.heartbeat.secondary1",
                self.of_next_master(&self.heartbeat),
            ),
            (
                "replog.default.heartbeat.secondary2",
                self.of_next_master(&self.heartbeat),
            ),
            ("replog.default.prepare.secondary1", of_master("prepare")),
            ("replog.default.fetch.secondary1", of_master("fetch")),
            ("replog.default.announce", of_master("recovering")),
            ("replog.default.announce", overtaken.to_string()),
            ("replog.default.event.master.fenced", event.to_string()),
            // Elsewhere.
            ("replog.scale.ack.secondary2.3", self.ack(2, 3)),
            ("replog.default.ack.secondary2", self.ack(2, 3)),
            ("replog.default.ack.secondary2.3.4", self.ack(2, 3)),
            ("$SRV.PING", String::new()),
            ("$SYS.REQ.SERVER.PING", String::new()),
            ("$JS.API.INFO", String::new()),
        ]
    }
}

fn forgery() -> (&'static str, Value) {
    (FORGERY.0, json!(FORGERY.1))
}

/// How many messages a node has dropped because it could not read them, or because of a forged epoch.
async fn count(node: &Node, metric: &str) -> Result<u64> {
    let page = node.http().get("/metrics").await?.expect(200)?.text();
    let value = page.lines().find_map(|line| line.strip_prefix(metric));
    let value = value.with_context(|| format!("no {metric} in {page}"))?;
    value.trim().parse().context("a number")
}

const UNDECODABLE: &str = r#"replog_messages_dropped_total{reason="undecodable"}"#;
const OF_FORGED_EPOCH: &str = "replog_forged_messages_total";

#[tokio::test]
async fn the_broker_refuses_what_is_said_in_the_name_of_others() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            let mut stage = Stage::set(cluster).await?;
            let before = health(&cluster.master).await?;
            cluster.secondary(1).stop().await?;
            let waits = cluster.post_pending("three", 3);
            cluster
                .wait_messages(cluster.secondary(2), &["one", "two", "three"])
                .await?;

            for (subject, payload) in stage.in_the_name_of_others() {
                stage.intruder.may_not_say(subject, &payload).await?;
            }
            for subject in [
                ">",
                "replog.>",
                "replog.default.append.*",
                "replog.default.append.secondary1",
                "replog.default.ack.*.*",
                "replog.default.promise.*",
                "replog.default.claim.secondary1",
                "_INBOX.>",
                "$SYS.>",
            ] {
                stage.intruder.may_not_hear(subject).await?;
            }
            // Whoever only looks on may say nothing at all but where services are asked.
            let mut nobody = Guest::connect(&cluster.broker, None).await?;
            let mut observer = Guest::connect(&cluster.broker, Some("observer")).await?;
            let of_itself = [
                ("replog.default.ack.secondary2.3", stage.ack(2, 3)),
                ("replog.default.promise.secondary2", stage.ack(2, 3)),
                ("replog.default.claim.secondary2", stage.ack(2, 3)),
                ("replog.default.event.secondary2.healthy", stage.ack(2, 3)),
                ("_INBOX.any", String::new()),
            ];
            let others = stage.in_the_name_of_others().into_iter();
            for (subject, payload) in others.chain(of_itself).filter(|(s, _)| *s != "$SRV.PING") {
                nobody.may_not_say(subject, &payload).await?;
                observer.may_not_say(subject, &payload).await?;
            }

            let seen = stage.watch.so_far().await?;
            let arrived: Vec<_> = seen.iter().filter(|s| s.text.contains(FORGERY.0)).collect();
            ensure!(arrived.is_empty(), "the broker let pass: {arrived:?}");
            ensure!(waits.is_pending(), "w=3 was met by a lie");
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            cluster.secondary(1).resume()?;
            waits.answer().await?.expect(200)?;
            let after = health(&cluster.master).await?;
            for field in ["status", "epoch", "log_id", "instance"] {
                ensure!(before[field] == after[field], "{before} {after}");
            }
            ensure!(wait_equal(cluster).await? == ["one", "two", "three"]);
            ensure!(count(&cluster.master, UNDECODABLE).await? == 0);
            ensure!(count(&cluster.master, OF_FORGED_EPOCH).await? == 0);
            Ok(())
        })
        .await;
}

/// The node that a message speaks for is its subject's token, never a field.
#[tokio::test]
async fn a_field_that_names_another_node_is_dropped_counted_and_logged_once() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            let stage = Stage::set(cluster).await?;
            cluster.secondary(1).stop().await?;
            let waits = cluster.post_pending("three", 3);
            cluster
                .wait_messages(cluster.secondary(2), &["one", "two", "three"])
                .await?;
            let ack = stage.ack(1, 3);
            let promise = ack.replacen(r#""kind":"ack""#, r#""kind":"promise""#, 1);
            ensure!(promise != ack);
            let fetched = json!({
                "kind": "fetched", "seq": 0, "count": 0, "prev": {"seq": 0, "epoch": 0},
                "position": serde_json::from_str::<Value>(&ack)?, "entries": [], "v": 2,
            });
            let usurped = [
                ("ack.secondary2.3", ack.clone()),
                ("ack.secondary2.hello", ack),
                ("promise.secondary2", promise),
                ("fetched.secondary2", fetched.to_string()),
            ];
            const TIMES: u64 = 50;
            for _ in 0..TIMES {
                for (about, payload) in &usurped {
                    let subject = format!("replog.default.{about}");
                    let payload = payload.clone().into();
                    stage.intruder.client.publish(subject, payload).await?;
                }
            }
            eventually("all of them to be counted", SOON, async || {
                let dropped = count(&cluster.master, UNDECODABLE).await?;
                ensure!(dropped == TIMES * usurped.len() as u64, "{dropped}");
                Ok(())
            })
            .await?;
            let log = cluster.master.log_tail(10_000);
            let lines = log
                .lines()
                .filter(|line| line.contains("on a subject of secondary2 that names secondary1"));
            let lines = lines.count();
            ensure!(
                (3..=6).contains(&lines),
                "{lines} lines for three kinds of messages"
            );
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            ensure!(waits.is_pending(), "w=3 was met by a lie");
            ensure!(member(&cluster.master, "secondary1").await?["acked_seq"] == 2);
            cluster.secondary(1).resume()?;
            waits.answer().await?.expect(200)?;
            wait_equal(cluster).await.map(drop)
        })
        .await;
}

#[tokio::test]
async fn an_impossible_epoch_is_dropped_counted_and_shown_as_that_members_problem() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            let stage = Stage::set(cluster).await?;
            let before = health(&cluster.master).await?;
            let epoch = before["epoch"].as_u64().context("an epoch")? + FORGED;
            let forged = stage.acks[1].with(&[
                ("epoch", json!(epoch)),
                ("instance", json!(NOBODY)),
                forgery(),
            ]);
            for about in ["ack.secondary2.2", "ack.secondary2.hello"] {
                let subject = format!("replog.default.{about}");
                stage
                    .intruder
                    .client
                    .publish(subject, forged.clone().into())
                    .await?;
            }
            eventually("both to be counted", SOON, async || {
                let dropped = count(&cluster.master, OF_FORGED_EPOCH).await?;
                ensure!(dropped == 2, "{dropped}");
                Ok(())
            })
            .await?;
            let shown = member(&cluster.master, "secondary2").await?;
            let problem = shown["problem"].as_str().unwrap_or_default();
            ensure!(
                problem.contains("2 messages in the name of secondary2"),
                "{shown}"
            );
            ensure!(member(&cluster.master, "secondary1").await?["problem"].is_null());
            cluster.post("three", 3).await?.expect(200)?;
            let after = health(&cluster.master).await?;
            ensure!(
                after["status"] == "ok" && after["epoch"] == before["epoch"],
                "{after}"
            );
            Ok(())
        })
        .await;
}

/// What is not promised, and how far it goes: a secondary may lie about itself.
#[tokio::test]
async fn a_false_ack_counts_for_the_node_that_says_it_and_for_no_other() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            let stage = Stage::set(cluster).await?;
            for i in [1, 2] {
                cluster.secondary(i).stop().await?;
            }
            let (two, three) = (
                cluster.post_pending("three", 2),
                cluster.post_pending("four", 3),
            );
            // The entries are there when the second one is, too.
            eventually("both to be placed", SOON, async || {
                let health = health(&cluster.master).await?;
                ensure!(health["last_seq"] == 4, "{health}");
                Ok(())
            })
            .await?;
            let subject = "replog.default.ack.secondary2.4".to_owned();
            stage
                .intruder
                .client
                .publish(subject, stage.ack(2, 4).into())
                .await?;
            let answer = two.answer().await?.expect(200)?.json()?;
            ensure!(answer["acks"] == 2, "{answer}");
            let shown = member(&cluster.master, "secondary2").await?;
            ensure!(shown["acked_seq"] == 4, "{shown}");
            wait_status(&cluster.master, "secondary1", "unhealthy").await?;
            ensure!(three.is_pending(), "one user counted for two nodes");
            for i in [1, 2] {
                cluster.secondary(i).resume()?;
            }
            three.answer().await?.expect(200)?;
            ensure!(wait_equal(cluster).await?.len() == 4);
            Ok(())
        })
        .await;
}

/// The other thing that is not promised: a master steps back where a secondary says that it follows another one.
#[tokio::test]
async fn a_higher_epoch_of_a_secondary_fences_the_master_and_says_who_named_it() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            let stage = Stage::set(cluster).await?;
            let subject = "replog.default.ack.secondary2.hello".to_owned();
            let payload = stage.of_next_master(&stage.acks[1]);
            stage
                .intruder
                .client
                .publish(subject, payload.into())
                .await?;
            wait_health(&cluster.master, "status", "fenced").await?;
            let health = health(&cluster.master).await?;
            ensure!(
                health["fenced_by"]["heard_from"] == "secondary2",
                "{health}"
            );
            let refused = cluster.post("three", 1).await?.expect(503)?.json()?;
            ensure!(refused["reason"] == "fenced", "{refused}");
            // Started again, it serves: nobody else has ever followed that epoch.
            cluster.master.restart().await?;
            cluster.post("three", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["one", "two", "three"]);
            Ok(())
        })
        .await;
}

/// Messages a second, and for how many of them.
const RATE: u64 = 10_000;
const FLOOD: u64 = 4 * RATE;
/// No append may take longer meanwhile, on a machine that is busy with all this.
const SLOWEST: Duration = Duration::from_secs(5);

/// Sends garbage, `RATE` a second as far as this machine can. How long it took.
async fn flood(guest: &Guest, subjects: &[&str], payloads: &[Bytes]) -> Result<Duration> {
    const BURST: u64 = 100;
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE / BURST)?);
    let mut said = subjects.iter().cycle().zip(payloads.iter().cycle());
    for _ in 0..FLOOD / BURST {
        pace.tick().await;
        for (subject, payload) in said.by_ref().take(usize::try_from(BURST)?) {
            guest
                .client
                .publish((*subject).to_owned(), payload.clone())
                .await?;
        }
        guest.client.flush().await?;
    }
    Ok(began.elapsed())
}

#[tokio::test]
async fn ten_thousand_messages_a_second_of_garbage_hold_up_nobody() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            let stage = Stage::set(cluster).await?;
            let before = health(&cluster.master).await?;
            let pids: Vec<_> = cluster.nodes().map(Node::pid).collect();
            let mut payloads = payloads(&stage.append, &stage.heartbeat, &stage.acks[1]);
            payloads.retain(|payload| payload.len() < 1000);
            let subjects = [
                "replog.default.ack.secondary2.3",
                "replog.default.ack.secondary2.hello",
                "replog.default.promise.secondary2",
                "replog.default.fetched.secondary2",
                "replog.default.claim.secondary2",
                "replog.default.event.secondary2.joined",
            ];
            let onlooker = Guest::connect(&cluster.broker, Some("observer")).await?;
            let asked = ["$SRV.PING", "$SRV.INFO.replog-master", "$SRV.STATUS.default.master"];
            let empty = [Bytes::new()];
            for (guest, subjects, payloads) in [
                (&stage.intruder, &subjects[..], &payloads[..]),
                (&onlooker, &asked[..], &empty[..]),
            ] {
                let is_over = Cell::new(false);
                let flooded = async {
                    let took = flood(guest, subjects, payloads).await?;
                    is_over.set(true);
                    anyhow::Ok(took)
                };
                let appended = async {
                    let (mut slowest, mut answered) = (Duration::ZERO, 0);
                    while !is_over.get() {
                        for w in [1, 2] {
                            let began = Instant::now();
                            cluster.post("meanwhile", w).await?.expect(200)?;
                            slowest = slowest.max(began.elapsed());
                            answered += 1;
                        }
                    }
                    anyhow::Ok((slowest, answered))
                };
                let (took, (slowest, answered)) = tokio::try_join!(flooded, appended)?;
                println!(
                    "{FLOOD} messages on {} and others in {took:?}; {answered} appends meanwhile, the slowest in {slowest:?}",
                    subjects[0]
                );
                ensure!(answered >= 20 && slowest < SLOWEST, "{answered}, {slowest:?}");
            }
            // Four of the six subjects are the master's, and hardly a message is one of this protocol.
            let dropped = count(&cluster.master, UNDECODABLE).await?;
            ensure!(dropped > FLOOD / 3, "{dropped} of {FLOOD} were counted");
            let log = cluster.master.log_tail(100_000);
            let lines = log.lines().filter(|line| line.contains("cannot be acted on")).count();
            ensure!(lines < 50, "{lines} lines of log");
            cluster.wait_healthy(2).await?;
            cluster.post("after", 3).await?.expect(200)?;
            let after = health(&cluster.master).await?;
            ensure!(after["status"] == "ok" && after["epoch"] == before["epoch"], "{after}");
            ensure!(pids == cluster.nodes().map(Node::pid).collect::<Vec<_>>());
            wait_equal(cluster).await?;
            Ok(())
        })
        .await;
}

/// Whoever may ask a NATS service names the subject of its answer, and nobody is taken down by naming one that is forbidden: not
/// when it starts, when a permission that is missing ends it, and not later.
#[tokio::test]
async fn answers_that_are_wanted_where_a_node_may_say_nothing_are_its_own_matter() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            start_with(cluster, logged_in).await?;
            cluster.post("before", 3).await?.expect(200)?;
            let nobody = Guest::connect(&cluster.broker, None).await?;
            let is_over = Cell::new(false);
            let asks = async {
                let mut pace = tokio::time::interval(Duration::from_millis(5));
                let replies = [
                    "some.subject",
                    "replog.default.append.secondary1",
                    "replog.default.ack.secondary2.9",
                ];
                for reply in replies.into_iter().cycle() {
                    pace.tick().await;
                    let asked = nobody
                        .client
                        .publish_with_reply("$SRV.PING", reply, Bytes::new());
                    asked.await?;
                    if is_over.get() {
                        break;
                    }
                }
                anyhow::Ok(())
            };
            let starts = async {
                cluster.secondary_mut(1).restart().await?;
                cluster.master.restart().await?;
                cluster.wait_healthy(2).await?;
                // A permission that is missing would have ended them by now, one that is lost would be shown.
                for _ in 0..20 {
                    cluster.post("meanwhile", 3).await?.expect(200)?;
                    for node in cluster.nodes() {
                        ensure!(
                            health(node).await?["broker"] == "connected",
                            "{}",
                            node.log_tail(5)
                        );
                    }
                }
                let log = cluster.master.log_tail(1000);
                let lines = log
                    .lines()
                    .filter(|line| line.contains("asked a NATS service"))
                    .count();
                ensure!((1..20).contains(&lines), "{lines} lines: {log}");
                is_over.set(true);
                anyhow::Ok(())
            };
            tokio::try_join!(asks, starts)?;
            wait_equal(cluster).await.map(drop)
        })
        .await;
}
