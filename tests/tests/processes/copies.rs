//! Two secondaries of one name, one on a copy of the other's data directory.

use anyhow::{Result, ensure};
use replog_tests::harness::{Cluster, Node};
use tokio::time::timeout;

use crate::disk::pair;
use crate::names::{namesake, wait_clash};
use crate::support::{SOON, acks_after, copy_dir, member, shown, wait_equal, wait_same};
use crate::watch::Watch;

/// Another process under the name of secondary 1, on a copy of its directory as it is now; not started yet. The secondary is
/// stopped for that, and started again.
async fn copy(cluster: &mut Cluster) -> Result<Node> {
    ensure!(cluster.secondary_mut(1).terminate().await? == 0);
    let copy = cluster.dir().join("copy");
    copy_dir(&cluster.dir().join("data-secondary1"), &copy)?;
    cluster.start_secondary(1).await?;
    let mut second = namesake(cluster)?;
    let dir = copy.display().to_string();
    second.spec_mut().args = vec!["--data-dir".to_owned(), dir];
    Ok(second)
}

/// Case 56.
#[tokio::test]
async fn the_one_that_comes_later_ends() {
    pair()
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let mut second = copy(cluster).await?;
            cluster.wait_healthy(1).await?;
            second.spawn()?;
            ensure!(timeout(SOON, second.exited()).await?? == 3);
            let said = second.log_tail(1);
            ensure!(
                said.contains("another secondary named secondary1"),
                "{said}"
            );
            let member = member(&cluster.master, "secondary1").await?;
            ensure!(member["status"] == "healthy", "{member}");
            cluster.post("after", 2).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["before", "after"]);
            Ok(())
        })
        .await;
}

/// Case 56, if both run: the first cannot answer while the second asks for the name.
#[tokio::test]
async fn if_both_run_on_the_newer_counts_and_health_shows_it() {
    pair()
        .run(async |cluster| {
            cluster.post("before", 2).await?.expect(200)?;
            let mut second = copy(cluster).await?;
            cluster.post("not in the copy", 2).await?.expect(200)?;
            cluster.secondary(1).stop().await?;
            let waits = cluster.post_pending("meanwhile", 2);
            second.restart().await?;
            waits.answer().await?.expect(200)?;
            wait_same(&cluster.master, &second).await?;
            cluster.secondary(1).resume()?;
            wait_clash(cluster).await?;
            cluster.post("after", 2).await?.expect(200)?;
            wait_same(&cluster.master, &second).await?;

            // What the former one holds counts no more, though it lives and says so.
            second.stop().await?;
            let acks = acks_after(cluster, "only with the former one", 2, 700).await?;
            ensure!(acks == 1, "{acks} nodes");
            second.resume()?;
            cluster.post("with the newer one", 2).await?.expect(200)?;
            wait_same(&cluster.master, &second).await
        })
        .await;
}

/// Case 57. The holder of everything lives and answers, and so does the copy, of which all that it is sent is lost: the
/// master, which has nothing itself, asks both, each time.
#[tokio::test]
async fn a_recovering_master_asks_both_and_takes_the_fuller_one() {
    const ENTRIES: usize = 50;
    const ROUNDS: usize = 8;
    pair()
        .absent(0)
        .run(async |cluster| {
            let in_memory = ("REPLOG_DATA_DIR".to_owned(), String::new());
            cluster.master.spec_mut().env.push(in_memory);
            cluster.master.restart().await?;
            let mut expected = Vec::new();
            let mut second = None;
            for i in 0..ENTRIES {
                if i == 20 {
                    second = Some(copy(cluster).await?);
                }
                cluster.post(&format!("m{i}"), 2).await?.expect(200)?;
                expected.push(format!("m{i}"));
            }
            let mut second = second.expect("made on the way");
            let forgetful = ["--drop-rate", "1"].map(String::from);
            second.spec_mut().args.extend(forgetful);
            // It has to be started while the first cannot answer, else it ends.
            cluster.master.kill().await?;
            cluster.secondary(1).stop().await?;
            let mut watch = Watch::of(&cluster.broker).await?;
            second.restart().await?;
            // With this it has the name: nobody else can say it.
            watch.ack_of("secondary1").await?;
            ensure!(shown(&second).await?.len() == 20);
            cluster.secondary(1).resume()?;
            for round in 1..=ROUNDS {
                cluster.master.restart().await?;
                let log = shown(&cluster.master).await?;
                ensure!(
                    log == expected,
                    "{} entries in round {round}, the last {:?}",
                    log.len(),
                    log.last()
                );
            }
            wait_clash(cluster).await?;
            ensure!(second.is_running() && cluster.secondary_mut(1).is_running());
            let next = cluster.post("next", 1).await?.expect(200)?.json()?;
            ensure!(next["seq"] == ENTRIES + 1, "{next}");
            // Nothing that was acknowledged is rolled back where it was.
            let first = shown(cluster.secondary(1)).await?;
            ensure!(first.starts_with(&expected), "{} entries", first.len());
            Ok(())
        })
        .await;
}
