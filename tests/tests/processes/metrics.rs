//! `GET /metrics`: what Prometheus reads, and that it follows what happens.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use replog_tests::harness::{Cluster, Node, eventually};
use serde_json::json;

use crate::support::{SOON, wait_status};
use crate::watch::Watch;

/// What a node says at a scrape: each series, as it is written, and its value.
struct Scraped(BTreeMap<String, f64>);

impl Scraped {
    async fn of(node: &Node) -> Result<Self> {
        let answer = node.http().get("/metrics").await?.expect(200)?;
        let kind = answer.header("content-type").unwrap_or_default();
        ensure!(kind == "text/plain; version=0.0.4; charset=utf-8", "{kind}");
        let text = answer.text();
        let (mut series, mut described) = (BTreeMap::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(about) = line.strip_prefix("# ") {
                let mut words = about.split(' ');
                let (word, name) = (words.next(), words.next().context("a name")?);
                let is_help = word == Some("HELP");
                ensure!(is_help || word == Some("TYPE"), "{line}");
                ensure!(
                    described.insert((is_help, name.to_owned())),
                    "twice: {line}"
                );
                continue;
            }
            let (name, value) = line.rsplit_once(' ').context("a value")?;
            let value = value.parse().with_context(|| line.to_owned())?;
            let metric = name.split('{').next().unwrap_or_default();
            let base = ["_bucket", "_sum", "_count"].iter();
            let base = base.filter_map(|end| metric.strip_suffix(end));
            let is_described = |name: &str| described.contains(&(true, name.to_owned()));
            ensure!(base.chain([metric]).any(is_described), "no HELP: {line}");
            let is_ours = metric.starts_with("replog_") || metric.starts_with("process_");
            ensure!(is_ours, "{line}");
            let is_new = series.insert(name.to_owned(), value).is_none();
            ensure!(is_new, "twice: {line}");
        }
        Ok(Self(series))
    }

    fn get(&self, series: &str) -> Result<f64> {
        let value = self.0.get(series).copied();
        value.with_context(|| format!("no {series} in {:#?}", self.0.keys()))
    }

    fn expect(&self, expected: &[(&str, f64)]) -> Result<()> {
        for (series, value) in expected {
            let said = self.get(series)?;
            ensure!(
                (said - value).abs() < 1e-9,
                "{series} is {said}, not {value}"
            );
        }
        Ok(())
    }
}

/// Waits until a node says all of that at one scrape.
pub(crate) async fn wait_for(node: &Node, expected: &[(&str, f64)]) -> Result<()> {
    let what = format!("{expected:?} of {}", node.name());
    eventually(&what, SOON, async || {
        Scraped::of(node).await?.expect(expected)
    })
    .await
}

#[tokio::test]
async fn it_begins_at_zero_and_counts_what_happens() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(2).await?;
            let (master, secondary) = (&cluster.master, cluster.secondary(1));
            let zero = [
                (r#"replog_appends_total{outcome="replicated"}"#, 0.0),
                (r#"replog_appends_total{outcome="refused_no_quorum"}"#, 0.0),
                (r#"replog_append_seconds_count{w="3"}"#, 0.0),
                (r#"replog_http_requests_total{route="/messages",method="POST",status="200"}"#, 0.0),
                ("replog_last_seq", 0.0),
                ("replog_rolled_back_entries_total", 0.0),
                ("replog_nats_reconnects_total", 0.0),
                ("replog_recoveries_total", 1.0),
                ("replog_alive_nodes", 3.0),
                ("replog_quorum_needed_nodes", 2.0),
                ("replog_quorum", 1.0),
                ("replog_takes_appends", 1.0),
                (r#"replog_status{status="ok"}"#, 1.0),
                (r#"replog_status{status="read_only"}"#, 0.0),
            ];
            Scraped::of(master).await?.expect(&zero)?;
            cluster.post("one", 3).await?.expect(200)?;
            cluster.post("two", "all").await?.expect(200)?;
            let again = json!({"content": "x", "w": 1_000, "message_id": "5d41e8cb-b264-5251-9d5f-8e4555854faf"});
            let refused = master.http().post("/messages", &again).await?;
            ensure!(refused.status == 400, "{refused:?}");
            let course = json!({"msg": "three", "w": 1});
            master.http().post("/append", &course).await?.expect(200)?;
            let late = json!({"content": "four", "expected_seq": 9});
            master.http().post("/messages", &late).await?.expect(412)?;
            let counted = [
                (r#"replog_appends_total{outcome="replicated"}"#, 3.0),
                (r#"replog_appends_total{outcome="refused_conflict"}"#, 1.0),
                (r#"replog_append_seconds_count{w="1"}"#, 1.0),
                (r#"replog_append_seconds_count{w="3"}"#, 1.0),
                (r#"replog_append_seconds_count{w="all"}"#, 1.0),
                (r#"replog_http_requests_total{route="/messages",method="POST",status="200"}"#, 2.0),
                (r#"replog_http_requests_total{route="/messages",method="POST",status="400"}"#, 1.0),
                (r#"replog_http_requests_total{route="/messages",method="POST",status="412"}"#, 1.0),
                (r#"replog_http_requests_total{route="/append",method="POST",status="200"}"#, 1.0),
                ("replog_last_seq", 3.0),
                ("replog_committed_seq", 3.0),
                ("replog_journal_write_entries_sum", 3.0),
                (r#"replog_message_entries_sum{direction="sent"}"#, 6.0),
                (r#"replog_member_acked_seq{member="secondary2"}"#, 3.0),
                (r#"replog_member_lag_entries{member="secondary2"}"#, 0.0),
                (r#"replog_member_lag_seconds{member="secondary2"}"#, 0.0),
                (r#"replog_member_status{member="secondary2",status="healthy"}"#, 1.0),
                (r#"replog_member_info{member="secondary2",role="member"}"#, 1.0),
                (r#"replog_build_info{role="master",node="master",version="0.1.0"}"#, 1.0),
            ];
            wait_for(master, &counted).await?;
            let of_secondary = [
                ("replog_last_seq", 3.0),
                ("replog_committed_seq", 3.0),
                ("replog_lag_entries", 0.0),
                ("replog_held_back_entries", 0.0),
                (r#"replog_status{status="ok"}"#, 1.0),
                (r#"replog_message_entries_sum{direction="received"}"#, 3.0),
                ("replog_journal_write_entries_sum", 3.0),
            ];
            wait_for(secondary, &of_secondary).await?;
            for node in cluster.nodes() {
                let scraped = Scraped::of(node).await?;
                for more_than_none in [
                    "process_cpu_seconds_total",
                    "process_resident_memory_bytes",
                    "process_open_fds",
                    "process_max_fds",
                    "process_start_time_seconds",
                    "replog_log_bytes",
                    "replog_http_connections",
                    "replog_nats_connected",
                ] {
                    ensure!(scraped.get(more_than_none)? > 0.0, "{more_than_none}");
                }
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_secondary_that_is_away_lags_by_entries_and_by_seconds() {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            cluster.kill_secondary(2).await?;
            wait_status(&cluster.master, "secondary2", "unhealthy").await?;
            let _waits = cluster.post_pending("two", 3);
            cluster.post("three", 2).await?.expect(200)?;
            let away = [
                (
                    r#"replog_member_status{member="secondary2",status="unhealthy"}"#,
                    1.0,
                ),
                (
                    r#"replog_member_status{member="secondary2",status="healthy"}"#,
                    0.0,
                ),
                (r#"replog_member_lag_entries{member="secondary2"}"#, 2.0),
                (r#"replog_member_lag_entries{member="secondary1"}"#, 0.0),
                ("replog_waiting_clients", 1.0),
                ("replog_alive_nodes", 2.0),
            ];
            wait_for(&cluster.master, &away).await?;
            let lag = r#"replog_member_lag_seconds{member="secondary2"}"#;
            let silence = r#"replog_member_last_seen_seconds{member="secondary2"}"#;
            let first = Scraped::of(&cluster.master).await?;
            eventually("the lag to grow", SOON, async || {
                let later = Scraped::of(&cluster.master).await?;
                for grows in [lag, silence] {
                    let (was, is) = (first.get(grows)?, later.get(grows)?);
                    ensure!(is > was + 0.2, "{grows}: {is} after {was}");
                }
                Ok(())
            })
            .await?;
            cluster.start_secondary(2).await?;
            let back = [
                (lag, 0.0),
                (
                    r#"replog_member_status{member="secondary2",status="healthy"}"#,
                    1.0,
                ),
                ("replog_waiting_clients", 0.0),
                (r#"replog_appends_total{outcome="replicated"}"#, 3.0),
            ];
            wait_for(&cluster.master, &back).await
        })
        .await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_what_clients_ask_for() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            for node in cluster.nodes() {
                let http = node.http();
                let before = Scraped::of(node).await?.0.len();
                for n in 0..20 {
                    let made_up = Method::from_bytes(format!("MADE{n}").as_bytes())?;
                    http.get(&format!("/nothing/{n}")).await?.expect(404)?;
                    http.get(&format!("/messages/{}", 100 + n)).await?.expect(404)?;
                    http.request(made_up, "/health", &[], "".into()).await?.expect(405)?;
                    let stranger = format!("page{n}.example.com");
                    let headers = [("origin", &*format!("https://{stranger}"))];
                    let cross = http.request(Method::GET, "/health", &headers, "".into());
                    cross.await?.expect(403)?;
                }
                http.get("/messages/1").await?.expect(200)?;
                let counted = [
                    (r#"replog_http_requests_total{route="none",method="GET",status="404"}"#, 20.0),
                    (r#"replog_http_requests_total{route="/messages/{seq}",method="GET",status="404"}"#, 20.0),
                    (r#"replog_http_requests_total{route="/messages/{seq}",method="GET",status="200"}"#, 1.0),
                    (r#"replog_http_requests_total{route="none",method="GET",status="403"}"#, 20.0),
                ];
                let scraped = Scraped::of(node).await?;
                scraped.expect(&counted)?;
                let others = |(series, _): &(&String, &f64)| {
                    series.contains(r#"method="other",status="405""#)
                };
                let others: f64 = scraped.0.iter().filter(others).map(|(_, n)| n).sum();
                ensure!((others - 20.0).abs() < 1e-9, "{others}");
                ensure!(scraped.0.len() <= before + 6, "{} after {before}", scraped.0.len());
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn the_broker_and_what_is_dropped_are_told() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            let watch = Watch::of(&cluster.broker).await?;
            watch
                .say("replog.default.ack.secondary1.1", "no JSON")
                .await?;
            watch
                .say(
                    "replog.default.ack.secondary1.2",
                    r#"{"kind":"ack","v":99}"#,
                )
                .await?;
            let dropped = [
                (
                    r#"replog_messages_dropped_total{reason="undecodable"}"#,
                    1.0,
                ),
                (
                    r#"replog_messages_dropped_total{reason="other_version"}"#,
                    1.0,
                ),
                (
                    r#"replog_messages_dropped_total{reason="slow_consumer"}"#,
                    0.0,
                ),
            ];
            wait_for(&cluster.master, &dropped).await?;
            cluster.broker.kill().await?;
            for node in cluster.nodes() {
                wait_for(node, &[("replog_nats_connected", 0.0)]).await?;
            }
            cluster.broker.restart().await?;
            let again = [
                ("replog_nats_connected", 1.0),
                ("replog_nats_denied", 0.0),
                ("replog_nats_reconnects_total", 1.0),
            ];
            for node in cluster.nodes() {
                wait_for(node, &again).await?;
            }
            Ok(())
        })
        .await;
}
