//! What `common/protocol/PROTOCOL.md` asks of a secondary, tried on one by a client that plays its master.

use anyhow::{Context, Result, ensure};
use replog_tests::harness::{Cluster, ClusterBuilder};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::lies::FORGED;
use crate::support::{SOON, ends_within, shown};
use crate::watch::Watch;

/// A master that says what a test wants it to.
struct Master {
    watch: Watch,
    /// What the secondary calls its storage.
    storage: Value,
    log_id: Uuid,
    epoch: u64,
    instance: Uuid,
}

/// No master, and one secondary that is not started yet.
fn alone() -> ClusterBuilder {
    Cluster::builder().secondaries(1).absent(0).absent(1)
}

/// The place before the first entry.
fn before_all() -> Value {
    json!({"seq": 0, "epoch": 0})
}

impl Master {
    /// Starts the secondary, and leads it in epoch 1 of a new history.
    async fn of(cluster: &mut Cluster) -> Result<Self> {
        let mut watch = Watch::of(&cluster.broker).await?;
        cluster.start_secondary(1).await?;
        let hello = watch.ack_of("secondary1").await?;
        ensure!(hello.about == "ack.secondary1.hello", "{hello:?}");
        ensure!(hello.json["seq"] == 0 && hello.json.get("log_id").is_none());
        let mut master = Self {
            watch,
            storage: hello.json["storage"].clone(),
            log_id: Uuid::from_u128(1),
            epoch: 1,
            instance: Uuid::from_u128(2),
        };
        let ack = master.heartbeat(before_all(), 0).await?;
        ensure!(ack["log_id"] == json!(master.log_id), "{ack}");
        Ok(master)
    }

    /// From now on another master of the same history leads.
    fn succeeded(&mut self, epoch: u64) {
        (self.epoch, self.instance) = (epoch, Uuid::from_u128(100 + u128::from(epoch)));
    }

    /// An entry that this master has placed.
    fn at(&self, seq: u64) -> Value {
        json!({"seq": seq, "epoch": self.epoch, "instance": self.instance})
    }

    /// The fields of every message, with those of this one.
    fn message(&self, kind: &str, fields: Value) -> Value {
        let mut all = json!({
            "kind": kind, "v": 2, "log_id": self.log_id, "epoch": self.epoch, "instance": self.instance,
            "url": "http://127.0.0.1:1", "a field of": {"later": ["times"]},
        });
        let (all_fields, fields) = (all.as_object_mut(), fields.as_object().cloned());
        if let (Some(all), Some(fields)) = (all_fields, fields) {
            all.extend(fields);
        }
        all
    }

    async fn say(&self, kind: &str, message: &str) -> Result<()> {
        let subject = format!("replog.default.{kind}.secondary1");
        self.watch.say(&subject, message.to_owned()).await
    }

    /// What the secondary says next on a subject of its own.
    async fn answer(&mut self, kind: &str) -> Result<Value> {
        self.next(&format!("{kind}.secondary1")).await
    }

    async fn next(&mut self, about: &str) -> Result<Value> {
        let seen = self.watch.until(about, |seen| seen.about == about).await?;
        Ok(seen.last().context("an answer")?.json.clone())
    }

    /// The ACK of what ends at that seq.
    async fn ack(&mut self, seq: u64) -> Result<Value> {
        self.next(&format!("ack.secondary1.{seq}")).await
    }

    /// Sends a heartbeat that names the storage, with a number that tells its answer from all others.
    async fn heartbeat(&mut self, prev: Value, tail: u64) -> Result<Value> {
        let fields = json!({"prev": prev, "tail": tail, "commit": 0});
        self.heartbeat_with(fields).await
    }

    async fn heartbeat_with(&mut self, fields: Value) -> Result<Value> {
        let seq = fields["prev"]["seq"].as_u64().context("a seq")?;
        let mut message = self.message("heartbeat", fields);
        message["seq"] = json!(seq);
        message["count"] = json!(0);
        message["storage"] = self.storage.clone();
        message["round"] = json!(7);
        self.say("heartbeat", &message.to_string()).await?;
        let ack = self.ack(seq).await?;
        let number = (&ack["round"], &ack["asked_by"]);
        ensure!(number == (&json!(7), &json!(self.instance)), "{ack}");
        Ok(ack)
    }

    /// An append of the entries from `first` on, which follow `prev`.
    fn entries(&self, prev: &Value, first: u64, contents: &[&str]) -> String {
        let entries = (first..).zip(contents).map(|(seq, content)| {
            let id = Uuid::from_u128(1000 + u128::from(seq));
            let epoch = self.epoch;
            format!(r#"{{"seq":{seq},"epoch":{epoch},"message_id":"{id}","content":"{content}"}}"#)
        });
        let entries = entries.collect::<Vec<_>>().join(",");
        let (count, tail) = (contents.len(), 9);
        let last = first + count as u64 - 1;
        let fields = json!({"seq": last, "count": count, "prev": prev, "tail": tail, "commit": 0});
        let message = self.message("append", fields);
        let line = message.to_string();
        let open = line.strip_suffix('}').unwrap_or_default();
        format!(r#"{open},"entries":[{entries}]}}"#)
    }

    /// Sends entries that this master has placed one after the other; the ACK.
    async fn append(&mut self, first: u64, contents: &[&str]) -> Result<Value> {
        let prev = match first {
            1 => before_all(),
            first => self.at(first - 1),
        };
        self.append_after(prev, contents).await
    }

    async fn append_after(&mut self, prev: Value, contents: &[&str]) -> Result<Value> {
        let first = prev["seq"].as_u64().context("a seq")? + 1;
        let message = self.entries(&prev, first, contents);
        self.say("append", &message).await?;
        self.ack(first + contents.len() as u64 - 1).await
    }
}

#[tokio::test]
async fn what_comes_early_is_held_back_and_what_comes_again_is_there_once() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            let ack = master.append(3, &["c"]).await?;
            ensure!(ack["seq"] == 0 && ack["held_from"] == 3, "{ack}");
            ensure!(ack["last"] == before_all(), "{ack}");
            let ack = master.append(2, &["b"]).await?;
            ensure!(ack["seq"] == 0 && ack["held_from"] == 2, "{ack}");
            ensure!(shown(cluster.secondary(1)).await?.is_empty());
            for _ in 0..2 {
                let ack = master.append(1, &["a"]).await?;
                ensure!(ack["seq"] == 3 && ack.get("held_from").is_none(), "{ack}");
                ensure!(ack["last"] == master.at(3), "{ack}");
            }
            let ack = master.append(2, &["b", "c", "d"]).await?;
            ensure!(ack["seq"] == 4, "{ack}");
            ensure!(shown(cluster.secondary(1)).await? == ["a", "b", "c", "d"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_lower_epoch_is_told_of_the_higher_one_and_nothing_of_it_is_taken() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            master.append(1, &["a"]).await?;
            let of_former = master.entries(&master.at(1), 2, &["late"]);
            let a = master.at(1);
            master.succeeded(3);
            let ack = master.heartbeat(a.clone(), 1).await?;
            ensure!(ack["seq"] == 1 && ack["epoch"] == 3, "{ack}");
            master.say("append", &of_former).await?;
            let ack = master.ack(2).await?;
            ensure!(ack["seq"] == 1 && ack["last"] == a, "{ack}");
            let by = (&ack["epoch"], &ack["instance"]);
            ensure!(by == (&json!(3), &json!(master.instance)), "{ack}");
            ensure!(shown(cluster.secondary(1)).await? == ["a"]);
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn what_no_honest_master_says_is_dropped_without_an_answer() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            let prev = |seq: u64| {
                let prev = json!({"seq": seq, "epoch": 0});
                json!({"seq": seq, "count": 0, "prev": prev, "tail": 0, "commit": 0})
            };
            let of_version_3 = master.message("heartbeat", prev(71)).to_string();
            let of_version_3 = of_version_3.replace(r#""v":2"#, r#""v":3"#);
            let mut lies = vec![of_version_3, master.message("ack", prev(72)).to_string()];
            let without_prev = json!({"seq": 74, "count": 0, "tail": 0, "commit": 0});
            lies.push(master.message("heartbeat", without_prev).to_string());
            let (epoch, instance) = (master.epoch, master.instance);
            for forged in [FORGED, (1 << 53) - 1] {
                master.epoch = forged;
                lies.push(master.message("heartbeat", prev(73)).to_string());
            }
            master.succeeded(2);
            let placed_later = master.entries(&before_all(), 1, &["later"]);
            (master.epoch, master.instance) = (epoch, instance);
            let placed_later =
                placed_later.replace(r#""epoch":2,"instance""#, r#""epoch":1,"instance""#);
            let placed_in = r#""placed_in":2,"entries""#;
            lies.push(placed_later.replace(r#""entries""#, placed_in));
            for lie in &lies {
                master.say("heartbeat", lie).await?;
            }
            let fields = prev(0);
            let mut message = master.message("heartbeat", fields);
            message["storage"] = master.storage.clone();
            message["round"] = json!(8);
            master.say("heartbeat", &message.to_string()).await?;
            let seen = master.watch.until("the next answer", |seen| {
                seen.json["round"] == 8 && seen.is("ack", "secondary1")
            });
            let seen = seen.await?;
            let answered = seen.iter().find(|seen| {
                seen.about.starts_with("ack.secondary1.7") || seen.about == "ack.secondary1.1"
            });
            ensure!(answered.is_none(), "{answered:?}");
            ensure!(shown(cluster.secondary(1)).await?.is_empty());
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_promise_holds_and_what_is_there_can_be_fetched() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            master.append(1, &["a", "b", "c"]).await?;
            let (a, c) = (master.at(1), master.at(3));
            let late = master.entries(&c, 4, &["late"]);
            let placed_by = master.instance;
            master.succeeded(2);
            let prepare = master.message("prepare", json!({})).to_string();
            master.say("prepare", &prepare).await?;
            let promise = master.answer("promise").await?;
            ensure!(
                promise["epoch"] == 2 && promise["instance"] == json!(master.instance),
                "{promise}"
            );
            // Whose the entries are has to be shown again.
            ensure!(promise["seq"] == 0 && promise["last"] == c, "{promise}");
            master.say("append", &late).await?;
            let ack = master.ack(4).await?;
            ensure!(
                ack["epoch"] == 2 && ack["seq"] == 0 && ack["last"] == c,
                "{ack}"
            );

            let fetch = |storage: &Value, prev: &Value, max_bytes: u64| {
                let seq = prev["seq"].as_u64().unwrap_or_default() + 1;
                json!({"seq": seq, "storage": storage, "prev": prev, "max_bytes": max_bytes})
            };
            let stranger = json!(Uuid::from_u128(9));
            let of_other = master.message("fetch", fetch(&stranger, &before_all(), 1000));
            master.say("fetch", &of_other.to_string()).await?;
            for (max_bytes, count) in [(1000, 2), (1, 1)] {
                let question = master.message("fetch", fetch(&master.storage, &a, max_bytes));
                master.say("fetch", &question.to_string()).await?;
                let fetched = master.answer("fetched").await?;
                ensure!(
                    fetched["prev"] == a && fetched["placed_in"] == 1,
                    "{fetched}"
                );
                ensure!(fetched["placed_by"] == json!(placed_by), "{fetched}");
                ensure!(
                    fetched["position"]["storage"] == master.storage,
                    "{fetched}"
                );
                let entries = fetched["entries"].as_array().context("entries")?;
                ensure!(
                    entries.len() == count && entries[0]["content"] == "b",
                    "{fetched}"
                );
            }
            let ack = master.heartbeat(c, 3).await?;
            ensure!(ack["seq"] == 3, "{ack}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn what_the_next_master_does_not_have_is_rolled_back() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            master.append(1, &["a", "b", "c"]).await?;
            let (a, c) = (master.at(1), master.at(3));
            master.succeeded(2);
            // It has another entry there, or none: what is not verified goes, and nothing else.
            let ack = master.heartbeat(a.clone(), 3).await?;
            ensure!(ack["seq"] == 1 && ack["last"] == c, "{ack}");
            let ack = master.append_after(a, &["instead"]).await?;
            ensure!(ack["seq"] == 2 && ack["last"] == master.at(2), "{ack}");
            ensure!(shown(cluster.secondary(1)).await? == ["a", "instead"]);
            let former = json!({"seq": 2, "epoch": 1, "instance": Uuid::from_u128(2)});
            let ack = master.heartbeat(former, 2).await?;
            ensure!(ack["seq"] == 2, "it was verified: {ack}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn another_history_is_followed_only_if_it_has_replaced_this_one() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            master.append(1, &["a"]).await?;
            let (a, old) = (master.at(1), master.log_id);
            let fields = json!({"seq": 1, "count": 0, "prev": a, "tail": 1, "commit": 0});
            let of_old = master.message("heartbeat", fields);
            master.log_id = Uuid::from_u128(3);
            let ack = master.heartbeat(before_all(), 0).await?;
            ensure!(ack["log_id"] == json!(old) && ack["last"] == a, "{ack}");
            ensure!(shown(cluster.secondary(1)).await? == ["a"]);

            let cleared = json!([{"log_id": old, "epoch": 1, "instance": master.instance}]);
            master.succeeded(2);
            let fields = json!({"prev": before_all(), "tail": 0, "commit": 0, "cleared": cleared});
            let ack = master.heartbeat_with(fields).await?;
            ensure!(
                ack["log_id"] == json!(master.log_id) && ack["epoch"] == 2,
                "{ack}"
            );
            ensure!(
                ack["last"] == before_all() && ack["cleared"] == cleared,
                "{ack}"
            );
            // What was cleared away is not taken back.
            master.say("heartbeat", &of_old.to_string()).await?;
            let ack = master.ack(1).await?;
            ensure!(ack["log_id"] == json!(master.log_id), "{ack}");
            ensure!(shown(cluster.secondary(1)).await?.is_empty());
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn the_name_is_claimed_kept_and_said_goodbye_in() {
    alone()
        .run(async |cluster| {
            let mut master = Master::of(cluster).await?;
            let claim = json!({"node": "secondary1", "storage": Uuid::from_u128(9)});
            let claim = master.message("claim", claim).to_string();
            master.say("claim", &claim).await?;
            let ack = master.next("ack.secondary1.hello").await?;
            ensure!(ack["storage"] == master.storage, "{ack}");

            ends_within(cluster.secondary_mut(1), Signal::TERM, SOON).await?;
            let goodbye = master.next("ack.secondary1.goodbye").await?;
            ensure!(
                goodbye["goodbye"] == true && goodbye["storage"] == master.storage,
                "{goodbye}"
            );

            // Somebody else has it: whoever starts ends, and says nothing in that name.
            let node = cluster.secondary_mut(1);
            let ended = async {
                node.spawn()?;
                timeout(SOON, node.exited()).await?
            };
            let subject = "replog.default.ack.secondary1.hello";
            let other = json!({
                "kind": "ack", "seq": 0, "node": "secondary1", "last": before_all(), "epoch": 0,
                "storage": Uuid::from_u128(9), "v": 2,
            });
            let code = master
                .watch
                .repeating(subject, &other.to_string(), ended)
                .await?;
            ensure!(code == 3, "{code}");
            let seen = master.watch.so_far().await?;
            let said = seen.iter().find(|seen| {
                seen.is("ack", "secondary1") && seen.json["storage"] != json!(Uuid::from_u128(9))
            });
            ensure!(said.is_none(), "{said:?}");
            Ok(())
        })
        .await;
}
