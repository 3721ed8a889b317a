//! Whether the hard state of a write goes with its entries.

use replog_protocol::entry::EntryBatch;
use replog_protocol::epochs::{EpochStart, EpochTable};
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::Seq;

/// The hard state to be stored: the node's; or, where entries go out and the node leaves it as it was, what is there, with the
/// epochs of the entries that stay.
pub(super) fn new_hard_state(
    of_node: Option<HardState>,
    stored: &HardState,
    truncate_after: Option<Seq>,
) -> Option<HardState> {
    let cut = |after: Seq| {
        let mut cut = stored.clone();
        cut.epochs.retain(|start| start.first <= after);
        (cut != *stored).then_some(cut)
    };
    of_node.or_else(|| truncate_after.and_then(cut))
}

/// Whether the epochs of the hard state are those of the entries that stay and of those that come. What is stored of an entry
/// is the number of its epoch only: without the rest it could not be read again.
pub(super) fn check_epochs(
    starts: &[EpochStart],
    epochs: &EpochTable,
    kept: Seq,
    entries: &[EntryBatch],
) -> Result<(), String> {
    let is_kept = kept == Seq::ZERO
        || epochs.at(kept).map(|p| p.epoch) == start_of(starts, kept).map(|s| s.epoch);
    if !is_kept {
        return Err(format!("the hard state has another epoch at entry {kept}"));
    }
    match entries.iter().find(|b| !is_placed_by_its_epoch(starts, b)) {
        Some(batch) => {
            let first = batch.first();
            Err(format!("the hard state has another epoch at entry {first}"))
        }
        None => Ok(()),
    }
}

/// Whether all entries of a batch are of the epoch that placed them, as the hard state has it.
pub(super) fn is_placed_by_its_epoch(starts: &[EpochStart], batch: &EntryBatch) -> bool {
    let (first, last) = (
        start_of(starts, batch.first()),
        start_of(starts, batch.last()),
    );
    first == last && first.is_some_and(|start| start.epoch == batch.epoch())
}

/// Where the epoch of an entry begins.
fn start_of(starts: &[EpochStart], seq: Seq) -> Option<&EpochStart> {
    let rows = starts.partition_point(|start| start.first <= seq);
    starts.get(rows.checked_sub(1)?)
}
