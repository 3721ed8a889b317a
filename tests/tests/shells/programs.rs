//! The whole `run(…)` of both programs, over the line, with sockets and so in real time.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use replog_common::service::program::Failure;
use replog_nats::Subjects;
use replog_tests::harness::{HttpClient, eventually};
use replog_tests::line::Hub;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// A program that runs, how to reach it, and how to stop it.
struct Program {
    http: HttpClient,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), Failure>>,
}

impl Program {
    async fn start<F>(run: impl FnOnce(TcpListener, oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        Self {
            http: HttpClient::new(addr),
            stop,
            ended: tokio::spawn(run(listener, stopped)),
        }
    }

    async fn stop(self) -> Duration {
        let began = Instant::now();
        self.stop.send(()).expect("it runs");
        let ended = timeout(Duration::from_secs(30), self.ended).await;
        ended.expect("in time").expect("no panic").expect("well");
        began.elapsed()
    }
}

fn args(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[tokio::test]
async fn programs_start_serve_and_stop_with_everybody_answered() {
    let hub = Hub::new("default", 1);
    let subjects = Subjects::of("default");
    let config = args(&["replog-master", "--secondaries", "s1,s2"]);
    let config = replog_master::Config::try_parse_from(config).expect("settings");
    let line = hub.connect("master", subjects.of_master());
    let master = Program::start(async move |listener, stopped: oneshot::Receiver<()>| {
        replog_master::run(config, listener, line, async move {
            stopped.await.ok();
        })
        .await
    })
    .await;
    let config = args(&["replog-secondary", "--node-id", "s1"]);
    let config = replog_secondary::Config::try_parse_from(config).expect("settings");
    let line = hub.connect("s1", subjects.of_secondary(&config.node()));
    let secondary = Program::start(async move |listener, stopped: oneshot::Receiver<()>| {
        replog_secondary::run(config, listener, line, async move {
            stopped.await.ok();
        })
        .await
    })
    .await;

    let two = json!({"content": "two", "w": 2});
    let two = master.http.post("/messages", &two).await;
    two.expect("an answer").expect(200).expect("replicated");
    let list = secondary.http.get("/messages").await.expect("an answer");
    assert_eq!(
        list.json().expect("a list")["messages"][0]["content"],
        "two"
    );

    let waits = master
        .http
        .post_pending("/messages", &json!({"content": "three", "w": 3}));
    eventually("it waits", Duration::from_secs(20), async || {
        let health = master.http.get("/health").await?.json()?;
        anyhow::ensure!(health["waiting"] == 1, "{health}");
        Ok(())
    })
    .await
    .expect("it waits");
    let took = master.stop().await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    let told = waits.answer().await.expect("an answer");
    let problem = told.expect(504).expect("504").json().expect("JSON");
    assert_eq!(
        (&problem["reason"], &problem["acks"]),
        (&json!("stopping"), &json!(2))
    );
    let took = secondary.stop().await;
    assert!(took < Duration::from_secs(6), "{took:?}");
}
