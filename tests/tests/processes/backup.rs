//! A log that is saved, and one that is restored: what came after the backup is kept where it was.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use replog_tests::harness::hidden::{NODE, program};
use replog_tests::harness::{Cluster, eventually};
use serde_json::Value;

use crate::support::{SOON, health, wait_equal, wait_same};

/// `replog-master restore`; its exit code and what it wrote.
fn restore(from: &Path, dir: &Path, more: &[&str]) -> Result<(Option<i32>, String)> {
    let mut child = Command::new(program()?)
        .args([NODE, "master", "restore", "--from"])
        .arg(from)
        .arg("--data-dir")
        .arg(dir)
        .args(more)
        // A child of the harness ends with its input.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let _input = child.stdin.take();
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[tokio::test]
async fn a_restored_log_is_followed_and_what_came_later_is_kept() {
    let builder = Cluster::builder().secondaries(2).listed(true).durable(true);
    builder
        .run(async |cluster| {
            for content in ["one", "two"] {
                cluster.post(content, 3).await?.expect(200)?;
            }
            let before = health(&cluster.master).await?;
            let answer = cluster.master.http().get("/backup").await?.expect(200)?;
            ensure!(answer.header("content-type") == Some("application/x-tar"));
            let tar = cluster.dir().join("backup.tar");
            std::fs::write(&tar, &answer.body)?;
            cluster.post("later", 3).await?.expect(200)?;

            // The master moves on to an epoch that the backup knows nothing of.
            cluster.master.restart().await?;
            cluster.post("later still", 3).await?.expect(200)?;
            cluster.master.kill().await?;
            let dir = cluster.dir().join("restored");
            let (code, said) = restore(&tar, &dir, &[])?;
            ensure!(
                code == Some(0) && said.starts_with("2 entries were restored"),
                "{said}"
            );
            let (code, said) = restore(&tar, &dir, &[])?;
            ensure!(
                code == Some(3) && said.contains("is there already"),
                "{said}"
            );
            let env = &mut cluster.master.spec_mut().env;
            env.retain(|(name, _)| name != "REPLOG_DATA_DIR");
            env.push(("REPLOG_DATA_DIR".to_owned(), dir.display().to_string()));
            cluster.master.restart().await?;

            ensure!(wait_equal(cluster).await? == ["one", "two"]);
            cluster.post("goes on", 3).await?.expect(200)?;
            let after = health(&cluster.master).await?;
            ensure!(after["log_id"] != before["log_id"], "{after}");
            for i in [1, 2] {
                let kept = cluster
                    .secondary(i)
                    .http()
                    .get("/diverged")
                    .await?
                    .expect(200)?;
                let kept: Value = kept.json()?;
                let tail = &kept["tails"][0];
                ensure!(tail["log_id"] == before["log_id"], "{kept}");
                ensure!(tail["last_seq"] == 4, "{kept}");
            }
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn half_a_backup_and_what_is_none_are_refused_and_leave_nothing() {
    let builder = Cluster::builder().secondaries(1);
    builder
        .run(async |cluster| {
            cluster.wait_healthy(1).await?;
            for i in 0..20 {
                cluster.post(&format!("{i}"), 1).await?.expect(200)?;
            }
            let tar = cluster
                .master
                .http()
                .get("/backup")
                .await?
                .expect(200)?
                .body;
            let (file, dir) = (cluster.dir().join("a.tar"), cluster.dir().join("restored"));
            for (bytes, named) in [
                (&tar[..0], "it ends before manifest.json"),
                (&tar[..1024], "it ends before entries/0000000001.jsonl"),
                (&tar[..2000], "entries/0000000001.jsonl"),
                (&tar[..tar.len() - 2048], "it ends before end.json"),
                (&b"hello"[..], "manifest.json"),
            ] {
                std::fs::write(&file, bytes)?;
                let (code, said) = restore(&file, &dir, &[])?;
                ensure!(code == Some(3) && said.contains(named), "{named}: {said}");
                ensure!(!dir.exists() && !cluster.dir().join("restored.restoring").exists());
            }
            let mut flipped = tar.to_vec();
            // Within the first entry, after the headers of two files and the manifest.
            let at = tar
                .windows(9)
                .position(|w| w == b"\"content\"")
                .unwrap_or(0);
            flipped[at] = b'}';
            std::fs::write(&file, &flipped)?;
            let (code, said) = restore(&file, &dir, &[])?;
            ensure!(code == Some(3) && said.contains("entry 1"), "{said}");
            // A digit that has become another one is still a digit.
            let mut flipped = tar.to_vec();
            let at = at + "\"content\":\"".len();
            flipped[at] ^= 1;
            std::fs::write(&file, &flipped)?;
            let (code, said) = restore(&file, &dir, &[])?;
            ensure!(
                code == Some(3) && said.contains("its SHA-256 is another one"),
                "{said}"
            );
            // A log in memory can be saved too, and goes on on a disk.
            std::fs::write(&file, &tar)?;
            let (code, said) = restore(&file, &dir, &[])?;
            ensure!(code == Some(0) && said.contains("20 entries"), "{said}");
            cluster.master.kill().await?;
            let env = &mut cluster.master.spec_mut().env;
            env.push(("REPLOG_DATA_DIR".to_owned(), dir.display().to_string()));
            cluster.master.restart().await?;
            eventually("the restored log", SOON, async || {
                ensure!(health(&cluster.master).await?["last_seq"] == 20);
                Ok(())
            })
            .await?;
            wait_same(&cluster.master, cluster.secondary(1)).await
        })
        .await;
}

/// A log that was cleared by mistake: the history since then is one of its own, and is named to be given up.
#[tokio::test]
async fn a_log_that_was_cleared_by_mistake_comes_back() {
    let builder = Cluster::builder().secondaries(1).listed(true);
    builder
        .env("REPLOG_ALLOW_CLEAR", "true")
        .run(async |cluster| {
            cluster.post("one", 2).await?.expect(200)?;
            let tar = cluster
                .master
                .http()
                .get("/backup")
                .await?
                .expect(200)?
                .body;
            let file = cluster.dir().join("backup.tar");
            std::fs::write(&file, &tar)?;
            let http = cluster.master.http();
            http.post("/clear", &serde_json::json!({}))
                .await?
                .expect(200)?;
            cluster.post("after the mistake", 2).await?.expect(200)?;
            let cleared = health(&cluster.master).await?["log_id"].clone();
            let cleared = cleared.as_str().unwrap_or_default();

            let dir = cluster.dir().join("restored");
            // With a slash at its end, and not there yet.
            let with_slash = dir.join("");
            let (code, said) = restore(&file, &with_slash, &["--replaces", cleared])?;
            ensure!(code == Some(0), "{said}");
            cluster.master.kill().await?;
            let env = &mut cluster.master.spec_mut().env;
            env.push(("REPLOG_DATA_DIR".to_owned(), dir.display().to_string()));
            cluster.master.restart().await?;
            ensure!(wait_equal(cluster).await? == ["one"]);
            cluster.post("goes on", 2).await?.expect(200)?;
            Ok(())
        })
        .await;
}
