//! Nodes that serve HTTPS.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rcgen::generate_simple_self_signed;
use replog_service::http::tls::KnownNode;
use replog_tests::harness::{Cluster, HttpClient, Node, RawConnection, eventually};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{SOON, health, wait_equal};

/// A certificate and its key, in files.
struct Files {
    _dir: TempDir,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Result<Self> {
        let dir = TempDir::new()?;
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let files = Self {
            _dir: dir,
            cert,
            key,
        };
        files.renew()?;
        Ok(files)
    }

    /// Another certificate with another key, in the same files.
    fn renew(&self) -> Result<()> {
        let made = generate_simple_self_signed(["log.example.com".to_owned()])?;
        fs::write(&self.key, made.signing_key.serialize_pem())?;
        fs::write(&self.cert, made.cert.pem())?;
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Runs `healthcheck` of that node as a process of its own: its exit code and what it says.
async fn healthcheck(node: &Node, cert: &Path) -> Result<(i32, String)> {
    let mut spec = node.spec().clone();
    spec.name = format!("healthcheck-{}", node.name());
    spec.args = vec!["healthcheck".into()];
    spec.env = vec![("REPLOG_TLS_CERT".into(), shown(cert))];
    let mut asking = Node::reserve(spec)?;
    asking
        .spec_mut()
        .args
        .push(format!("--http-addr={}", node.addr()));
    asking.spawn()?;
    let code = timeout(SOON, asking.exited()).await??;
    Ok((code, asking.log_tail(5)))
}

#[tokio::test]
async fn everything_goes_over_tls_and_a_new_certificate_is_shown_when_there_is_one() -> Result<()> {
    let files = Files::new()?;
    let builder = Cluster::builder()
        .secondaries(2)
        .listed(true)
        .env("REPLOG_TLS_CERT", &shown(&files.cert))
        .env("REPLOG_TLS_KEY", &shown(&files.key))
        .env("REPLOG_HEADER_TIMEOUT", "1s");
    builder
        .run(async |cluster| {
            for w in 1..=3 {
                cluster.post("over TLS", w).await?.expect(200)?;
            }
            wait_equal(cluster).await?;
            for node in cluster.nodes() {
                let url = format!("https://{}", node.addr());
                ensure!(health(node).await?["url"] == url);
                let (code, said) = healthcheck(node, &files.cert).await?;
                ensure!(code == 0, "{said}");
            }
            let master = &cluster.master;
            // In the clear: told, and never answered.
            let plain = HttpClient::new(master.addr());
            let answer = plain.get("/livez").await?.expect(400)?;
            ensure!(answer.json()?["reason"] == "https_required", "{answer:?}");
            // Begun, and never ended: told as in the clear.
            let tcp = TcpStream::connect(master.addr()).await?;
            let mut slow = KnownNode::new(&fs::read(&files.cert)?)?
                .connect(tcp)
                .await?;
            slow.write_all(b"GET /livez HT").await?;
            let mut said = String::new();
            timeout(SOON, slow.read_to_string(&mut said)).await??;
            ensure!(said.starts_with("HTTP/1.1 408 "), "{said:?}");
            // Silence, and something that is neither: cut off.
            for first in ["", "\u{16}\u{3}\u{1}"] {
                let mut client = RawConnection::open(master.addr()).await?;
                client.send(first).await?;
                ensure!(client.read_to_end().await?.is_empty());
            }
            // Each time as a client that was never there: one that was resumes its session, and sees no certificate.
            let before = fs::read(&files.cert)?;
            let client = |pem: &[u8]| -> Result<HttpClient> {
                Ok(HttpClient::new(master.addr()).over_tls(KnownNode::new(pem)?))
            };
            client(&before)?.get("/livez").await?.expect(200)?;
            files.renew()?;
            // Whoever knows the new certificate only is let down until it is shown.
            eventually("the new certificate to be shown", SOON, async || {
                master.http().get("/livez").await?.expect(200).map(drop)
            })
            .await?;
            let old = client(&before)?.get("/livez").await;
            ensure!(old.is_err(), "the old one is still shown");
            let good = fs::read(&files.cert)?;
            fs::write(&files.cert, "no certificate")?;
            let known = client(&good)?;
            eventually("the file to be missed", SOON, async || {
                let said = known.get("/readyz?verbose").await?.expect(200)?.text();
                let problem = "[-] certificate: the one read before stays: ";
                ensure!(
                    said.contains(problem) && said.ends_with("\nready\n"),
                    "{said}"
                );
                Ok(())
            })
            .await?;
            // Who asks on this machine is not led astray by what is wrong with the file: nobody restarts a node that serves.
            let (code, said) = healthcheck(master, &files.cert).await?;
            ensure!(code == 0, "{said}");
            fs::write(&files.cert, &good)?;
            eventually("the file to be taken", SOON, async || {
                let said = known.get("/readyz?verbose").await?.text();
                ensure!(said.contains("[+] certificate: "), "{said}");
                Ok(())
            })
            .await?;
            Ok(())
        })
        .await;
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused() -> Result<()> {
    let (one, other) = (Files::new()?, Files::new()?);
    let dir = TempDir::new()?;
    let cluster = Cluster::builder().start().await?;
    let mut spec = cluster.master.spec().clone();
    spec.dir = dir.path().into();
    spec.env.push(("REPLOG_TLS_CERT".into(), shown(&one.cert)));
    spec.env.push(("REPLOG_TLS_KEY".into(), shown(&other.key)));
    let mut node = Node::reserve(spec)?;
    node.spawn()?;
    let code = timeout(SOON, node.exited()).await.context("it runs")??;
    let said = node.log_tail(5);
    ensure!(
        code == 2 && said.contains("the key is that of another certificate"),
        "{code}: {said}"
    );
    Ok(())
}
