//! Redis: a primary and two replicas, nothing on a disk.

use std::ffi::OsStr;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Process, System};
use crate::bench::program::{self, Program};
use crate::harness::ports::PortLease;

const REPLICAS: usize = 2;
/// The longest that an append waits for its replicas, in milliseconds.
const WAIT_MS: &str = "10000";

/// A primary and its replicas. Dropping it ends them.
#[derive(Debug)]
pub struct Redis {
    primary: SocketAddr,
    /// XADD and WAIT in one.
    request: Bytes,
    servers: Vec<Program>,
    _dir: TempDir,
}

impl Redis {
    /// Starts them and waits until both replicas have what the primary has.
    ///
    /// # Errors
    /// There is no `redis-server` on that path, or it does not start.
    pub async fn start(path: &OsStr, content: &str) -> Result<Self> {
        let program = program::find("redis-server", path)?;
        let dir = TempDir::with_prefix("replog-redis-").context("a directory for redis")?;
        let (mut servers, mut primary) = (Vec::new(), None);
        for i in 0..=REPLICAS {
            let port = PortLease::take()?;
            let home = dir.path().join(format!("redis{i}"));
            std::fs::create_dir(&home)?;
            let own = [
                ("--bind", "127.0.0.1".to_owned()),
                ("--port", port.port().to_string()),
                ("--dir", home.display().to_string()),
                ("--save", String::new()),
                ("--appendonly", "no".to_owned()),
                // A replica's first copy starts at once, instead of after five seconds.
                ("--repl-diskless-sync-delay", "0".to_owned()),
            ];
            let mut args: Vec<String> = own
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value])
                .collect();
            match primary {
                None => primary = Some(port.addr()),
                Some(addr) => args.extend([
                    "--replicaof".to_owned(),
                    format!("{} {}", addr.ip(), addr.port()),
                ]),
            }
            servers.push(Program::spawn(&program, args, vec![port], &home)?);
        }
        let mut redis = Self {
            primary: primary.context("a primary")?,
            request: [
                command(&["XADD", "log", "*", "content", content]),
                command(&["WAIT", &REPLICAS.to_string(), WAIT_MS]),
            ]
            .concat()
            .into(),
            servers,
            _dir: dir,
        };
        let wait = Bytes::from(command(&["WAIT", &REPLICAS.to_string(), "1"]));
        let addr = redis.primary;
        program::ready(&mut redis.servers, "two replicas", async || {
            let mut connection = Connection::open(addr, wait.clone()).await?;
            connection.send().await?;
            connection.acked().await
        })
        .await?;
        Ok(redis)
    }
}

impl System for Redis {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection> {
        Connection::open(self.primary, self.request.clone()).await
    }

    async fn request(connection: &mut Connection) -> Result<()> {
        connection.send().await?;
        connection.reply().await?; // the id of the entry
        connection.acked().await
    }

    fn processes(&self) -> Vec<Process> {
        self.servers.iter().map(Program::process).collect()
    }
}

/// A client's connection, in Redis's protocol (RESP).
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    request: Bytes,
    line: String,
}

impl Connection {
    async fn open(addr: SocketAddr, request: Bytes) -> Result<Self> {
        let stream = TcpStream::connect(addr).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            request,
            line: String::new(),
        })
    }

    async fn send(&mut self) -> Result<()> {
        Ok(self.stream.write_all(&self.request).await?)
    }

    /// The next reply: a number, a word, or a text without a line break.
    async fn reply(&mut self) -> Result<&str> {
        self.read_line().await?;
        if self.line.starts_with('$') {
            self.read_line().await?; // `$` and the length, then the text
            return Ok(self.line.trim_end());
        }
        match self.line.split_at_checked(1) {
            Some((":" | "+", rest)) => Ok(rest.trim_end()),
            _ => bail!("redis answers {:?}", self.line),
        }
    }

    /// The reply to WAIT, which must be that all replicas have it.
    async fn acked(&mut self) -> Result<()> {
        let replicas: usize = self.reply().await?.parse()?;
        ensure!(replicas == REPLICAS, "{replicas} replicas have it");
        Ok(())
    }

    async fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        let bytes = self.stream.read_line(&mut self.line).await?;
        ensure!(bytes > 0, "redis closed the connection");
        Ok(())
    }
}

/// A command as it is sent: an array of texts.
fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn a_command_has_the_length_of_each_word_in_bytes() {
        let sent = command(&["XADD", "log", "é"]);
        assert_eq!(
            String::from_utf8(sent).as_deref(),
            Ok("*3\r\n$4\r\nXADD\r\n$3\r\nlog\r\n$2\r\né\r\n")
        );
    }
}
