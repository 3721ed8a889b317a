//! Clients that append wherever a master takes it: they follow a standby's word, and try another one when nobody answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Report;
use super::timings::Timings;
use crate::chaos::ledger::{Known, Ledger};
use crate::harness::{Answer, HttpClient, Node};
use replog_model::rng::SeededRng;

/// How long one try may take; a master that is paused or cut off answers nothing.
const PATIENCE: Duration = Duration::from_millis(2500);
/// What a master is asked to answer within.
const TIMEOUT_MS: u64 = 1500;
/// Tries of one message, at most.
const MAX_TRIES: usize = 60;
/// A probe asks that often, each master for so long.
const PROBE_EVERY: Duration = Duration::from_millis(20);
const PROBE_PATIENCE: Duration = Duration::from_millis(500);
/// Somebody has to lead again by then.
const PROBE_WITHIN: Duration = Duration::from_secs(60);

/// What all clients share.
#[derive(Debug)]
pub(super) struct Writers {
    masters: Vec<(String, HttpClient)>,
    pub(super) ledger: Ledger,
    timings: Arc<Timings>,
    /// Refusals by their reason.
    reasons: Mutex<BTreeMap<String, u64>>,
}

/// What an answer says of the message.
enum Said {
    /// It is on so many nodes as were asked for, at that position.
    Replicated(u64),
    /// It is in the log, at that position.
    InLog(u64),
    /// It is not in the log by this try; a standby may name who leads.
    Refused(Option<usize>),
    MayBeThere,
}

/// What a client knows of its message from all its tries.
#[derive(Debug, Default)]
struct Story {
    /// It is in the log there.
    at: Option<u64>,
    may_be_there: bool,
}

impl Story {
    /// A message that is in the log stays where it is.
    fn place(&mut self, content: &str, seq: u64) -> Result<()> {
        let before = *self.at.get_or_insert(seq);
        ensure!(
            before == seq,
            "{content} was said to be at {before}, and then at {seq}"
        );
        Ok(())
    }

    fn known(&self) -> Known {
        match (self.at, self.may_be_there) {
            (Some(seq), _) => Known::InLog { seq },
            (None, true) => Known::Unknown,
            (None, false) => Known::Refused,
        }
    }
}

impl Writers {
    pub(super) fn new(masters: &[Node], timings: Arc<Timings>) -> Self {
        let named = |node: &Node| {
            let http = node.http().with_deadline(PATIENCE);
            (format!("{}/messages", node.url()), http)
        };
        Self {
            masters: masters.iter().map(named).collect(),
            ledger: Ledger::default(),
            timings,
            reasons: Mutex::default(),
        }
    }

    /// Asks every master but `but`, again and again, until one of them answers 200 to a message that was sent after this was
    /// called; what came of each message is noted. Which one it was.
    pub(super) async fn probe(&self, name: &str, but: Option<usize>) -> Result<usize> {
        let end = Instant::now() + PROBE_WITHIN;
        for n in 1.. {
            for (i, (_, http)) in self.masters.iter().enumerate() {
                if Some(i) == but {
                    continue;
                }
                let content = format!("{name} {n} {i}");
                let (body, mut story) = (json!({"content": content, "w": 1}), Story::default());
                let http = http.with_deadline(PROBE_PATIENCE);
                let said = self.send(&http, &body, &content, &mut story).await?;
                if let Said::Replicated(seq) = said {
                    self.ledger
                        .note(&content, Known::Acknowledged { seq, w: 1 });
                    return Ok(i);
                }
                self.ledger.note(&content, story.known());
            }
            if Instant::now() > end {
                break;
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
        bail!("{name}: nobody took an append for {PROBE_WITHIN:?}")
    }

    async fn send(
        &self,
        http: &HttpClient,
        body: &Value,
        content: &str,
        story: &mut Story,
    ) -> Result<Said> {
        let Ok(answer) = http.post("/messages", body).await else {
            story.may_be_there = true;
            return Ok(Said::MayBeThere);
        };
        let said = self.judged(&answer)?;
        match said {
            Said::Replicated(seq) => {
                story.place(content, seq)?;
                self.timings.note(Instant::now());
            }
            Said::InLog(seq) => story.place(content, seq)?,
            Said::MayBeThere => story.may_be_there = true,
            Said::Refused(_) => {}
        }
        Ok(said)
    }

    fn judged(&self, answer: &Answer) -> Result<Said> {
        let json = answer.json()?;
        if answer.status != 200 {
            let reason = json["reason"].as_str().context("a reason")?;
            let reason = format!("{} {reason}", answer.status);
            let mut reasons = self.reasons.lock().expect("nobody panics with it");
            *reasons.entry(reason).or_default() += 1;
        }
        let seq = || json["seq"].as_u64().context("a seq");
        Ok(match (answer.status, &json["in_log"]) {
            (200, _) => Said::Replicated(seq()?),
            (504, Value::Bool(true)) => Said::InLog(seq()?),
            (503, Value::Null) if json.get("in_log").is_none() => Said::Refused(self.named(answer)),
            (503 | 504, Value::Bool(false)) => Said::Refused(None),
            (503 | 504, Value::Null) => Said::MayBeThere,
            (status, _) => bail!("an answer that nobody expects: {status} {}", answer.text()),
        })
    }

    /// The master that a standby names.
    fn named(&self, answer: &Answer) -> Option<usize> {
        let location = answer.header("location")?;
        self.masters.iter().position(|(url, _)| url == location)
    }

    pub(super) fn report(&self) -> Report {
        let messages = self.ledger.messages();
        let count = |is: fn(Known) -> bool| messages.values().filter(|m| is(m.known)).count();
        Report {
            acknowledged: count(|k| matches!(k, Known::Acknowledged { .. })),
            refused: count(|k| k == Known::Refused),
            unknown: count(|k| matches!(k, Known::Unknown | Known::InLog { .. })),
            reasons: self.reasons.lock().expect("nobody panics with it").clone(),
            ..Report::default()
        }
    }
}

/// The `n`-th client: appends one message after the other until the ledger ends.
pub(super) async fn write(writers: Arc<Writers>, seed: u64, n: usize) -> Result<()> {
    // A stream of its own: the streams of neighbouring seeds overlap.
    let mut random = SeededRng::new(SeededRng::new(seed.wrapping_mul(1000) + n as u64).number());
    let (mut count, mut at) = (0, n % writers.masters.len());
    while let Some(_under_way) = writers.ledger.begin().await {
        count += 1;
        let content = format!("{n}-{count}");
        let known = one(&writers, &mut random, &content, &mut at).await?;
        writers.ledger.note(&content, known);
    }
    Ok(())
}

/// One message, which is sent to the master `at` first.
async fn one(
    writers: &Writers,
    random: &mut SeededRng,
    content: &str,
    at: &mut usize,
) -> Result<Known> {
    let w = 1 + random.below(3) as usize;
    let id = uuid::Uuid::from_u64_pair(random.number(), random.number()).to_string();
    let body = json!({"content": content, "w": w, "message_id": id, "timeout_ms": TIMEOUT_MS});
    let mut story = Story::default();
    for _ in 0..MAX_TRIES {
        let http = &writers.masters[*at].1;
        match writers.send(http, &body, content, &mut story).await? {
            Said::Replicated(seq) => return Ok(Known::Acknowledged { seq, w }),
            Said::InLog(_) => {}
            Said::Refused(Some(named)) if named != *at => *at = named,
            Said::Refused(_) => {
                // Some are never sent again: what was refused must not be in the log.
                if random.hit(0.2) {
                    break;
                }
                *at = random.below(writers.masters.len() as u64) as usize;
            }
            Said::MayBeThere => *at = random.below(writers.masters.len() as u64) as usize,
        }
        if writers.ledger.has_ended() {
            break;
        }
        tokio::time::sleep(random.between(Duration::from_millis(5), Duration::from_millis(50)))
            .await;
    }
    Ok(story.known())
}
