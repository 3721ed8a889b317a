//! Reading and appending through the routers, with waits on virtual time.

use axum::extract::FromRequestParts;
use axum::http::{Request, Uri};
use replog_common::service::query::Query;
use replog_common::service::reading;
use replog_common::service::view::View;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{Setup, World, assert_took, ms, secs, timed};

fn contents(list: &Value) -> Vec<&str> {
    let messages = list["messages"].as_array().expect("messages");
    messages
        .iter()
        .map(|m| m["content"].as_str().expect("a content"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_answers_as_soon_as_there_is_something() {
    let world = World::new(Setup::listed(&[]));
    world.master.append("a", 1).await;
    let get = |uri: &str| world.master.call("GET", uri, "");
    let (took, (status, list)) = timed(get("/messages?from=1&wait=30s")).await;
    assert_took(took, 0);
    assert_eq!((status, contents(&list)), (200, vec!["a"]));
    let poll = tokio::spawn(timed(get("/messages?from=3&wait=30s")));
    sleep(secs(10)).await;
    world.master.append("b", 1).await;
    sleep(secs(10)).await;
    assert!(!poll.is_finished(), "2 is not 3");
    world.master.append("c", 1).await;
    let (took, (_, list)) = poll.await.expect("an answer");
    assert_took(took, 20_000);
    assert_eq!(contents(&list), ["c"]);
    let (took, (status, list)) = timed(get("/messages?from=4&wait=30s")).await;
    assert_took(took, 30_000);
    assert_eq!((status, contents(&list).len()), (200, 0));
    assert_eq!(list["last_seq"], 3);
}

#[tokio::test(start_paused = true)]
async fn min_seq_is_reached_or_not() {
    let world = World::new(Setup::listed(&[]));
    world.master.append("a", 1).await;
    let get = |uri: &str| world.master.call("GET", uri, "");
    let (took, (status, problem)) = timed(get("/messages?min_seq=2&wait=5s")).await;
    assert_took(took, 5000);
    assert_eq!((status, &problem["last_seq"]), (504, &json!(1)));
    let poll = tokio::spawn(timed(get("/messages?min_seq=2&wait=5s")));
    sleep(secs(3)).await;
    world.master.append("b", 1).await;
    let (took, (status, list)) = poll.await.expect("an answer");
    assert_took(took, 3000);
    assert_eq!((status, contents(&list)), (200, vec!["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn min_seq_is_not_reached_by_a_node_that_ends() {
    let (view, views) = tokio::sync::watch::channel(View::empty());
    let uri: Uri = "/messages?min_seq=1&wait=5s".parse().expect("a URI");
    let request = Request::builder().uri(uri).body(()).expect("a request");
    let query = Query::from_request_parts(&mut request.into_parts().0, &()).await;
    let read =
        tokio::spawn(async move { reading::messages(views, &query.expect("a query")).await });
    sleep(secs(1)).await;
    drop(view);
    let problem = read
        .await
        .expect("an answer")
        .expect_err("nothing is there");
    assert_eq!(problem.status(), 504);
}

#[tokio::test(start_paused = true)]
async fn a_post_waits_for_its_w_and_reports_its_timeout() {
    let mut world = World::new(Setup::listed(&["s1", "s2"]));
    world.start("s1").await;
    sleep(ms(50)).await;
    let post = |body: Value| world.master.call("POST", "/messages", body.to_string());
    let (took, (status, done)) = timed(post(json!({"content": "two", "w": 2}))).await;
    assert_took(took, 0);
    assert_eq!((status, &done["acks"]), (200, &json!(2)));
    let body = json!({"content": "all", "timeout_ms": 1500});
    let (took, (status, problem)) = timed(post(body)).await;
    assert_took(took, 1500);
    assert_eq!((status, &problem["reason"]), (504, &json!("timeout")));
    assert_eq!((&problem["w"], &problem["acks"]), (&json!(3), &json!(2)));
    // Tried again with the same id: the same wait, joined.
    let id = problem["message_id"].clone();
    let again = tokio::spawn(post(json!({"content": "all", "message_id": id})));
    sleep(secs(5)).await;
    assert!(!again.is_finished());
    world.start("s2").await;
    let (status, done) = again.await.expect("an answer");
    assert_eq!((status, &done["duplicate"]), (200, &json!(true)));
    assert_eq!((&done["seq"], &done["acks"]), (&json!(2), &json!(3)));
    let (_, one) = world.master.call("GET", "/messages/2", "").await;
    assert_eq!(one["acked_by"], json!(["master", "s1", "s2"]));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_dropped_is_forgotten_and_its_entry_is_not() {
    let world = World::new(Setup::listed(&["s1"]));
    let body = r#"{"content":"kept","w":2}"#;
    let call = tokio::spawn(world.master.call("POST", "/messages", body));
    sleep(ms(5)).await;
    call.abort();
    assert!(call.await.is_err_and(|e| e.is_cancelled()));
    assert_eq!(world.master.contents(), ["kept"]);
}
