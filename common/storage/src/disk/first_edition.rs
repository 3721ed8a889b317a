//! The facts of a log that the first edition of this program has written (format 1). The entries and their indexes are the
//! same.

use redb::{Database, Error};
use replog_protocol::cleared_logs::{ClearedLog, ClearedLogs};
use replog_protocol::epochs::EpochStart;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, LogId, MasterId, Seq};
use serde::{Deserialize, Serialize};

use super::tables;

/// The format that it has.
pub(super) const FORMAT: u32 = 1;
/// The fact that the hard state was stored as.
const FORMER_HARD_STATE: &str = "standing";

/// The hard state of the first edition. The id of the storage, which it has too, is a new one at each start now.
#[derive(Debug, Deserialize)]
struct FormerHardState {
    log_id: Option<LogId>,
    epoch: u64,
    #[serde(rename = "instance")]
    master: Option<MasterId>,
    #[serde(rename = "replaced")]
    cleared: Vec<FormerClearedLog>,
    #[serde(rename = "lives")]
    epochs: Vec<FormerEpochStart>,
    #[serde(default)]
    is_partial: bool,
}

#[derive(Debug, Deserialize)]
struct FormerClearedLog {
    log_id: LogId,
    epoch: u64,
    #[serde(rename = "instance")]
    master: MasterId,
}

#[derive(Debug, Deserialize)]
struct FormerEpochStart {
    first: Seq,
    epoch: u64,
    #[serde(rename = "by")]
    master: Option<MasterId>,
}

/// Makes a log of the first edition one of this edition: all of it, or, if the process is killed meanwhile, nothing. `label`
/// says whose it is, and in which format.
pub(super) fn convert(db: &Database, label: &impl Serialize) -> Result<(), Error> {
    let former: Option<FormerHardState> = tables::fact(db, FORMER_HARD_STATE)?;
    let hard_state = former.map(converted).transpose()?;
    tables::change_facts(db, |facts| {
        tables::put_fact(facts, tables::OWNER, label)?;
        if let Some(hard_state) = &hard_state {
            tables::put_fact(facts, tables::HARD_STATE, hard_state)?;
        }
        facts.remove(FORMER_HARD_STATE)?;
        Ok(())
    })
}

/// A master that was not stored is the nil one, which is below every other in the same epoch.
fn converted(former: FormerHardState) -> Result<HardState, Error> {
    let epoch = |n: u64, master: Option<MasterId>| {
        Epoch::new(n, master.unwrap_or_default()).map_err(|e| Error::Corrupted(e.to_string()))
    };
    let mut cleared = ClearedLogs::default();
    for log in former.cleared {
        cleared.push(ClearedLog {
            log_id: log.log_id,
            epoch: epoch(log.epoch, Some(log.master))?,
        });
    }
    let start = |start: FormerEpochStart| {
        Ok(EpochStart {
            first: start.first,
            epoch: epoch(start.epoch, start.master)?,
        })
    };
    let epochs: Result<Vec<EpochStart>, Error> = former.epochs.into_iter().map(start).collect();
    Ok(HardState {
        log_id: former.log_id,
        epoch: epoch(former.epoch, former.master)?,
        epochs: epochs?,
        cleared,
        former: None,
        is_partial: former.is_partial,
    })
}
