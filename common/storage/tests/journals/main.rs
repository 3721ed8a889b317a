//! Journals, in memory and on disks that are cut off, rot, are full, fail, hang, or are somebody else's.

mod contract;
mod directories;
mod failing;
mod full;
mod gone;
mod hanging;
mod listed;
mod made;
mod memory;
mod older;
mod restarts;
mod rollbacks;
mod rot;
mod segmented;
mod torn;
