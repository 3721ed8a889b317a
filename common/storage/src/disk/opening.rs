//! What is looked at when a log is opened: whose it is, in which format, and where it ends.

use redb::Database;
use replog_protocol::epochs::EpochTable;
use replog_protocol::hard_state::HardState;
use replog_protocol::ids::{Epoch, Seq};
use serde::{Deserialize, Serialize};

use super::damage::Damage;
use super::{DiskOptions, OpenError, first_edition, tables};
use crate::directory::{FORMAT, Owner};

/// What is written of the owner. The format is looked at before the rest.
#[derive(Serialize, Deserialize)]
struct Label {
    format: u32,
    #[serde(flatten)]
    owner: Option<Owner>,
}

/// The hard state, and who placed which entries, if the log is that owner's and whole as far as can be seen at once.
pub(super) fn look_over(
    db: &Database,
    options: &DiskOptions,
    damage: &Damage,
) -> Result<(HardState, EpochTable), OpenError> {
    check_owner(db, &options.owner)?;
    let hard_state: HardState = tables::fact(db, tables::HARD_STATE)?.unwrap_or_default();
    let last = tables::last(db)?;
    let epochs = EpochTable::new(hard_state.epochs.clone(), last);
    if last > Seq::ZERO {
        let epoch = epochs.last().epoch;
        if tables::read(db, (last, last), 0, epoch)?.is_err() {
            if epoch == Epoch::ZERO || tables::has_checksum(db, last)? {
                let why = "its last entry is of an epoch of which it knows nothing".to_owned();
                return Err(OpenError::Damaged(why));
            }
            // This is no torn write, which the database would have undone: it is as any other that cannot be read.
            damage.found(last);
        }
    }
    if options.deduplicate_contents {
        tables::complete_contents(db, &epochs)?;
    }
    Ok((hard_state, epochs))
}

/// Whether the log belongs to `owner`; a new one does from now on, and one of the first edition is converted.
fn check_owner(db: &Database, owner: &Owner) -> Result<(), OpenError> {
    let label = Label {
        format: FORMAT,
        owner: Some(owner.clone()),
    };
    let Some(found): Option<Label> = tables::fact(db, tables::OWNER)? else {
        return Ok(tables::create(db, &label)?);
    };
    if ![FORMAT, first_edition::FORMAT].contains(&found.format) {
        return Err(OpenError::Format {
            found: found.format.to_string(),
            expected: FORMAT,
        });
    }
    match found.owner {
        Some(found) if found != *owner => Err(OpenError::OtherOwner {
            found,
            expected: owner.clone(),
        }),
        Some(_) if found.format == FORMAT => Ok(()),
        Some(_) => Ok(first_edition::convert(db, &label)?),
        None => Err(OpenError::Damaged("it does not say whose it is".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::disk_options;
    use crate::sim_disk::SimDisk;

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let disk = SimDisk::default();
        let (journal, _) = disk.open(&disk_options(0)).unwrap();
        let label = Label {
            format: FORMAT + 1,
            owner: None, // whatever that version writes there
        };
        let relabel = |db: &Database| {
            tables::change_facts(db, |facts| tables::put_fact(facts, tables::OWNER, &label))
        };
        journal.shared.database.write(relabel).unwrap();
        drop(journal);
        let refused = disk.open(&disk_options(0)).unwrap_err().to_string();
        assert_eq!(
            refused,
            "it has format 3, this program reads 2: start the version that wrote it"
        );
    }
}
