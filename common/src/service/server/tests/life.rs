use super::*;

#[tokio::test]
async fn a_panic_is_500_and_nothing_worse() {
    let server = Server::start(HttpLimits::default()).await;
    let text = "GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(text).await.matches("HTTP/1.1 500").count(), 2);
    assert!(server.ask(GET).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_hangs_up_drops_its_handler() {
    let server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    client
        .write_all(b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    within(server.blocked.begun.notified()).await;
    drop(client);
    within(server.blocked.dropped.notified()).await;
}

#[tokio::test]
async fn a_shutdown_closes_idle_connections_and_waits_for_the_others_only_so_long() {
    let server = Server::start(HttpLimits {
        shutdown_grace: Duration::from_millis(200),
        ..HttpLimits::default()
    })
    .await;
    let mut idle = server.client().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut hello = [0; 1024];
    within(idle.read(&mut hello)).await.expect("answered");
    let mut busy = server.client().await;
    busy.write_all(b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    within(server.blocked.begun.notified()).await;

    let asked = Instant::now();
    server.stop.send(()).expect("the server runs");
    assert_eq!(rest(&mut idle).await, "");
    within(server.task).await.expect("no panic");
    assert!(
        asked.elapsed() >= Duration::from_millis(200),
        "the busy one was not waited for"
    );
    within(server.blocked.dropped.notified()).await;
    assert!(
        TcpStream::connect(server.addr).await.is_err(),
        "still listening"
    );
}

#[tokio::test]
async fn a_shutdown_without_work_is_immediate() {
    let server = Server::start(HttpLimits {
        shutdown_grace: PATIENCE * 2,
        header_timeout: PATIENCE * 2,
        ..HttpLimits::default()
    })
    .await;
    let silent = server.client().await;
    assert!(server.ask(GET).await.ends_with("hello"));
    server.stop.send(()).expect("the server runs");
    within(server.task).await.expect("no panic");
    drop(silent);
}
