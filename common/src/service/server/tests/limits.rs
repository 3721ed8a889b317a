use super::*;

#[tokio::test]
async fn silent_slow_and_idle_clients_are_closed() {
    let server = Server::start(short()).await;
    let begun = Instant::now();
    assert!(!server.ask("").await.contains("200"));
    assert!(!server.ask("GET / HTTP/1.1\r\nHo").await.contains("200"));
    let idle = server.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.ends_with("hello"), "{idle}");
    assert!(begun.elapsed() >= 3 * short().header_timeout);
}

#[tokio::test]
async fn large_headers_are_431() {
    let limits = HttpLimits {
        max_header_bytes: 16 * 1024,
        ..HttpLimits::default()
    };
    let server = Server::start(limits).await;
    let headers = |bytes| {
        format!(
            "GET / HTTP/1.1\r\nConnection: close\r\nX: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    assert!(
        server
            .ask(&headers(15_000))
            .await
            .starts_with("HTTP/1.1 200")
    );
    for bytes in [17_000, 200_000] {
        assert!(
            server
                .ask(&headers(bytes))
                .await
                .starts_with("HTTP/1.1 431")
        );
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert!(server.ask(&many).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_time() {
    let server = Server::start(HttpLimits {
        max_body_bytes: 1024,
        ..HttpLimits::default()
    })
    .await;
    let sized = |path, declared, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {declared}\r\n\r\n{body}"
        )
    };
    let answer = server.ask(&sized("/echo", 7, "\"hello\"")).await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    // Also where the handler takes the body by axum's own means, and while the client still sends.
    for path in ["/echo", "/raw"] {
        let answer = server
            .ask(&sized(path, 3_000_000, &"x".repeat(3_000_000)))
            .await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains("1024 bytes"),
            "{answer}"
        );
    }
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    let chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = server.ask(&format!("{chunked}{chunk}")).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("problem+json"),
        "{answer}"
    );
    let server = Server::start(short()).await;
    let answer = server.ask(&sized("/echo", 7, "\"hel")).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("problem+json"),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_above_the_cap_wait_until_one_ends() {
    let server = Server::start(HttpLimits {
        max_connections: 1,
        ..HttpLimits::default()
    })
    .await;
    let mut first = server.client().await;
    first
        .write_all(b"GET /blocked HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    within(server.blocked.begun.notified()).await;
    let mut second = server.client().await;
    second
        .write_all(GET.as_bytes())
        .await
        .expect("the system queues it");
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "answered above the cap");
    drop(first);
    assert!(rest(&mut second).await.ends_with("hello"));
}
