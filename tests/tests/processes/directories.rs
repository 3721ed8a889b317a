//! Data directories that cannot be used: the program says why, and ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Result, ensure};
use replog_tests::harness::Cluster;
use tokio::time::timeout;

use crate::disk::durable;
use crate::support::{SOON, shown};

#[tokio::test]
async fn a_directory_that_is_somebody_elses_ends_the_program() {
    durable()
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            let dir = cluster.dir().to_owned();
            let theirs = dir.join("data-master").display().to_string();
            cluster.kill_secondary(1).await?;
            let spec = cluster.secondary_mut(1).spec_mut();
            spec.args.extend(["--data-dir".to_owned(), theirs]);
            cluster.secondary_mut(1).spawn()?;
            let exit = cluster.secondary_mut(1).exited().await?;
            let said = cluster.secondary(1).log_tail(5);
            ensure!(
                exit == 3 && said.contains("in use by another process"),
                "{exit}: {said}"
            );
            // Nor when its owner has gone.
            cluster.master.kill().await?;
            cluster.secondary_mut(1).spawn()?;
            let exit = cluster.secondary_mut(1).exited().await?;
            let said = cluster.secondary(1).log_tail(5);
            ensure!(
                exit == 3 && said.contains("belongs to the master"),
                "{exit}: {said}"
            );
            Ok(())
        })
        .await;
}

/// Starts secondary 1 with another directory, and expects it to say so much and to end with exit code 3.
async fn refused(cluster: &mut Cluster, dir: &Path, says: &[&str]) -> Result<()> {
    cluster.kill_secondary(1).await?;
    let shown = dir.display().to_string();
    let spec = cluster.secondary_mut(1).spec_mut();
    spec.args = vec!["--data-dir".to_owned(), shown.clone()];
    cluster.secondary_mut(1).spawn()?;
    let exit = cluster.secondary_mut(1).exited().await?;
    let said = cluster.secondary(1).log_tail(1);
    ensure!(exit == 3, "{exit}: {said}");
    for word in says.iter().chain([&"--data-dir", &&*shown]) {
        ensure!(said.contains(word), "{word:?} is missing: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn one_that_is_missing_read_only_or_not_a_directory_ends_the_program() {
    durable()
        .run(async |cluster| {
            let dir = cluster.dir().to_owned();
            let parent = dir.join("a").display().to_string();
            let says = [
                &*format!("{parent} does not exist"),
                &*format!("mkdir -p {parent}"),
            ];
            refused(cluster, &dir.join("a/b"), &says).await?;
            fs::write(dir.join("file"), "x")?;
            refused(cluster, &dir.join("file"), &["Not a directory"]).await?;
            // Where not even root can write.
            refused(cluster, Path::new("/proc/replog"), &[]).await?;
            let locked = dir.join("locked");
            fs::create_dir(&locked)?;
            fs::set_permissions(&locked, fs::Permissions::from_mode(0o555))?;
            if fs::write(locked.join("probe"), "x").is_err() {
                refused(cluster, &locked, &["Permission denied"]).await?;
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn a_file_that_is_no_log_any_more_ends_the_program_and_it_says_what_helps() {
    durable()
        .run(async |cluster| {
            for i in 0..5 {
                cluster.post(&format!("m{i}"), 3).await?.expect(200)?;
            }
            let dir = cluster.dir().join("data-secondary1");
            cluster.kill_secondary(1).await?;
            let file = dir.join("log/0000000001.segment");
            fs::write(&file, vec![0x5a; fs::read(&file)?.len()])?;
            refused(cluster, &dir, &["damaged", "mv log log.damaged"]).await?;
            fs::rename(dir.join("log"), dir.join("log.damaged"))?;
            cluster.start_secondary(1).await?;
            cluster.wait_healthy(2).await?;
            let all = ["m0", "m1", "m2", "m3", "m4"];
            cluster.wait_messages(cluster.secondary(1), &all).await
        })
        .await;
}

/// What the versions with a database have written cannot be read any more, and is not touched.
#[tokio::test]
async fn a_log_of_a_former_version_ends_the_program_and_it_says_what_helps() {
    durable()
        .run(async |cluster| {
            let dir = cluster.dir().join("former");
            fs::create_dir(&dir)?;
            fs::write(dir.join("log.redb"), "redb and more")?;
            refused(cluster, &dir, &["former version", "curl"]).await?;
            ensure!(fs::read(dir.join("log.redb"))? == b"redb and more");
            Ok(())
        })
        .await;
}

/// What is written into a directory that is gone is gone with it, and the file system reports nothing.
#[tokio::test]
async fn one_that_is_removed_under_a_running_node_ends_it() {
    durable()
        .run(async |cluster| {
            cluster.post("one", 3).await?.expect(200)?;
            let dir = cluster.dir().to_owned();
            for (i, name) in [(1, "secondary1"), (0, "master")] {
                fs::remove_dir_all(dir.join(format!("data-{name}")))?;
                // It is noticed at the latest when something is to be written.
                let waits = cluster.post_pending("into nothing", 3);
                let node = match i {
                    0 => &mut cluster.master,
                    i => cluster.secondary_mut(i),
                };
                let exit = timeout(SOON, node.exited()).await??;
                let said = node.log_tail(5);
                ensure!(exit == 4, "{exit}: {said}");
                ensure!(said.contains(&format!("data-{name}")), "{said}");
                drop(waits);
            }
            // Who has it still has it.
            ensure!(shown(cluster.secondary(2)).await?[0] == "one");
            Ok(())
        })
        .await;
}
