//! The journal that the settings ask for.

use std::fmt::Display;

use replog_protocol::node::Restored;
use replog_storage::directory::{self, Owner};
use replog_storage::disk::{DiskOptions, SegmentOptions};
use replog_storage::journal::Journal;
use replog_storage::memory::MemoryJournal;

use crate::exit::Failure;
use crate::settings::StorageArgs;

/// Opens the journal in the data directory, or begins an empty one in memory where no directory is set; and says what is stored
/// there. `deduplicate_contents`: whether equal contents are one message, so that entries are found by their content too.
///
/// # Errors
/// The directory cannot be used; the text names it, and what helps.
pub async fn open(
    args: &StorageArgs,
    owner: Owner,
    deduplicate_contents: bool,
) -> Result<(Box<dyn Journal>, Restored), Failure> {
    let Some(dir) = args.data_dir.clone() else {
        return Ok((Box::new(MemoryJournal::new()), Restored::default()));
    };
    let refused = |error: &dyn Display| {
        let dir = dir.display();
        Failure::cannot_start(format!("--data-dir {dir} cannot be used: {error}"))
    };
    let options = DiskOptions {
        owner,
        fsync: args.fsync,
        cache_bytes: args.cache_bytes,
        deduplicate_contents,
        segments: SegmentOptions::default(),
    };
    let path = dir.clone();
    // A large log takes a while to open: not on the thread that serves.
    let opened = tokio::task::spawn_blocking(move || directory::open(&path, &options));
    let opened = opened.await.map_err(|panic| refused(&panic))?;
    let (journal, restored) = opened.map_err(|error| refused(&error))?;
    for flaw in journal.flaws() {
        let data_dir = dir.display();
        tracing::error!(%data_dir, "{flaw}; what cannot be read is asked for from the other nodes");
    }
    Ok((Box::new(journal), restored))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use replog_storage::directory::Role;
    use replog_storage::disk::Fsync;
    use replog_storage::journal::StorageKind;

    use super::*;
    use crate::exit::Exit;

    async fn opened(
        data_dir: Option<&Path>,
        node: &str,
    ) -> Result<(Box<dyn Journal>, Restored), Failure> {
        let args = StorageArgs {
            data_dir: data_dir.map(Path::to_owned),
            fsync: Fsync::Never,
            cache_bytes: 1 << 20,
        };
        let owner = Owner {
            role: Role::Secondary,
            node: Some(node.parse().unwrap()),
            cluster: "test".to_owned(),
        };
        open(&args, owner, false).await
    }

    #[tokio::test]
    async fn the_settings_say_where_the_log_is() {
        let (journal, restored) = opened(None, "a").await.unwrap();
        assert_eq!(journal.reader().kind(), StorageKind::Memory);
        assert_eq!(restored, Restored::default());

        let dir = tempfile::tempdir().unwrap();
        let (journal, restored) = opened(Some(dir.path()), "a").await.unwrap();
        assert_eq!(journal.reader().kind(), StorageKind::Disk { synced: false });
        assert_eq!(restored, Restored::default());
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(opened(Some(dir.path()), "a").await.unwrap());
        let failure = opened(Some(dir.path()), "b").await.unwrap_err();
        assert_eq!(failure.exit, Exit::CannotStart);
        let named = format!("--data-dir {} cannot be used: ", dir.path().display());
        assert!(failure.why.starts_with(&named), "{failure}");
        assert!(
            failure.why.contains("secondary a of cluster test"),
            "{failure}"
        );
    }
}
