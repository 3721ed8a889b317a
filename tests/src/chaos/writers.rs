//! Clients that append, each message until it is acknowledged or given up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::ledger::{Known, Ledger};
use crate::harness::{Answer, HttpClient};
use replog_model::rng::SeededRng;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Tries of one message, at most.
const MAX_TRIES: usize = 40;

/// The `n`-th client: appends one message after the other until the ledger ends.
pub(super) async fn write(
    http: HttpClient,
    ledger: Arc<Ledger>,
    seed: u64,
    n: usize,
) -> Result<()> {
    // A stream of its own: the streams of neighbouring seeds overlap.
    let mut random = SeededRng::new(SeededRng::new(seed.wrapping_mul(1000) + n as u64).number());
    let http = http.with_deadline(PATIENCE);
    let mut count = 0;
    while let Some(_under_way) = ledger.begin().await {
        count += 1;
        let content = format!("{n}-{count}");
        let known = one(&http, &ledger, &mut random, &content).await;
        ledger.note(&content, known?);
    }
    Ok(())
}

async fn one(
    http: &HttpClient,
    ledger: &Ledger,
    random: &mut SeededRng,
    content: &str,
) -> Result<Known> {
    let w = 1 + random.below(3) as usize;
    let id = uuid::Uuid::from_u64_pair(random.number(), random.number()).to_string();
    let body = json!({"content": content, "w": w, "message_id": id, "timeout_ms": 1000});
    let mut may_be_there = false;
    for _ in 0..MAX_TRIES {
        match http.post("/messages", &body).await {
            Ok(answer) => match judged(&answer)? {
                Said::Replicated(seq) => return Ok(Known::Acknowledged { seq, w }),
                Said::Refused if random.hit(0.3) && !may_be_there => return Ok(Known::Refused),
                Said::Refused => {}
                Said::MayBeThere => may_be_there = true,
            },
            Err(_) => may_be_there = true,
        }
        if ledger.has_ended() {
            break;
        }
        tokio::time::sleep(random.between(Duration::from_millis(10), Duration::from_millis(100)))
            .await;
    }
    Ok(match may_be_there {
        true => Known::Unknown,
        false => Known::Refused,
    })
}

enum Said {
    Replicated(u64),
    Refused,
    MayBeThere,
}

fn judged(answer: &Answer) -> Result<Said> {
    Ok(match answer.status {
        200 => Said::Replicated(answer.json()?["seq"].as_u64().context("a seq")?),
        503 if answer.json()?["reason"] != "disk_failed" => Said::Refused,
        500..=504 => Said::MayBeThere,
        status => bail!(
            "an answer that nobody asked for: {status} {}",
            answer.text()
        ),
    })
}
