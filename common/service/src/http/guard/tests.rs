use axum::http::Request;

use super::*;

const ALLOWED: &str = "https://pages.example.com";

fn guard() -> Guard {
    let own = Host::of("log.example.com").map(Host::to_owned);
    Guard::new(own, vec![ALLOWED.parse().unwrap()])
}

/// The status and the reason with which a request is refused; 0 for one that is not.
fn refusal(guard: &Guard, request: &str, headers: &[(&str, &str)]) -> (u16, &'static str) {
    let (method, uri) = request.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    match guard.check(&head) {
        Ok(()) => (0, ""),
        Err(problem) => {
            assert!(problem.detail().len() < 400, "{}", problem.detail());
            (problem.status().as_u16(), problem.reason())
        }
    }
}

#[test]
fn a_host_is_there_once_and_is_one() {
    for (hosts, reason) in [
        (&[][..], "missing_host"),
        (&["localhost", "localhost"], "several_hosts"),
        (&["", "localhost"], "several_hosts"),
        (&[""], "invalid_host"),
        (&["localhost, localhost"], "invalid_host"),
        (&["user@localhost"], "invalid_host"),
        (&["localhost/x"], "invalid_host"),
        (&["localhost:99999"], "invalid_host"),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        assert_eq!(
            refusal(&guard(), "GET /", &headers),
            (400, reason),
            "{hosts:?}"
        );
        let any = guard().taking_any_host();
        assert_eq!(refusal(&any, "GET /", &headers), (400, reason), "{hosts:?}");
    }
}

#[test]
fn a_host_is_local_or_this_node_s_own() {
    for host in [
        "127.0.0.1:8000",
        "10.1.2.3",
        "[::1]:8000",
        "[2001:db8::1]",
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "a.localhost",
        "a.b.Localhost.:80",
        "master:8000",
        "secondary1",
        "log.example.com",
        "LOG.example.com.:8000",
        "pages.example.com",
    ] {
        assert_eq!(
            refusal(&guard(), "GET /", &[("host", host)]),
            (0, ""),
            "{host}"
        );
    }
    for host in [
        "evil.example",
        "evil.example.",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "notlocalhost.com",
        "xlog.example.com",
        "example.com",
        "a.log.example.com",
        "127.1",
        "0x7f.0.0.1",
        "evil.example:8000",
    ] {
        let headers = [("host", host)];
        assert_eq!(
            refusal(&guard(), "GET /", &headers),
            (421, "misdirected"),
            "{host}"
        );
        assert_eq!(
            refusal(&guard().taking_any_host(), "GET /", &headers),
            (0, ""),
            "{host}"
        );
    }
}

#[test]
fn a_target_with_a_host_counts_and_not_the_header() {
    let headers = [("host", "localhost")];
    let misdirected = (421, "misdirected");
    assert_eq!(
        refusal(&guard(), "GET http://evil.example/", &headers),
        misdirected
    );
    assert_eq!(
        refusal(
            &guard(),
            "GET http://localhost:8000/",
            &[("host", "evil.example")]
        ),
        (0, "")
    );
    assert_eq!(
        refusal(&guard(), "GET http://localhost/", &[]),
        (400, "missing_host")
    );
}

#[test]
fn a_page_of_another_site_may_not_call() {
    let (ok, refused) = ((0, ""), (403, "cross_site"));
    for (host, origin, expected) in [
        ("localhost:8000", "http://localhost:8000", ok),
        ("LocalHost:8000", "http://localhost.:8000", ok),
        ("localhost", "http://localhost", ok),
        ("localhost:80", "http://localhost", ok),
        ("localhost", "http://localhost:80", ok),
        ("log.example.com", "https://log.example.com", ok),
        ("log.example.com:443", "https://log.example.com", ok),
        ("[::1]:8000", "http://[0:0::1]:8000", ok),
        ("localhost:8000", "null", refused),
        ("localhost:8000", "", refused),
        ("localhost:8000", "http://localhost:8001", refused),
        ("localhost:8000", "http://localhost", refused),
        ("localhost:443", "http://localhost", refused),
        ("localhost:8000", "http://127.0.0.1:8000", refused),
        ("localhost:8000", "http://evil.example", refused),
        ("localhost:8000", "http://localhost:8000/", refused),
        ("localhost:8000", "localhost:8000", refused),
        (
            "localhost:8000",
            "chrome-extension://localhost:8000",
            refused,
        ),
        ("localhost:8000", ALLOWED, ok),
        ("localhost:8000", "https://PAGES.example.com:443", ok),
        ("localhost:8000", "http://pages.example.com", refused),
        ("localhost:8000", "https://pages.example.com:8443", refused),
        ("localhost:8000", "https://x.pages.example.com", refused),
    ] {
        for request in ["GET /messages", "POST /messages", "OPTIONS /messages"] {
            let headers = [("host", host), ("origin", origin)];
            let refusal = refusal(&guard(), request, &headers);
            assert_eq!(refusal, expected, "{request} to {host} from {origin}");
        }
    }
    // Of two that differ nobody knows which one the page has.
    let two = [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("origin", ALLOWED),
    ];
    assert_eq!(refusal(&guard(), "GET /", &two), refused);
}

#[test]
fn a_browser_says_that_it_is_another_site() {
    let (ok, refused) = ((0, ""), (403, "cross_site"));
    for (request, site, mode, expected) in [
        ("POST /messages", "same-origin", "cors", ok),
        ("POST /messages", "none", "navigate", ok),
        ("GET /messages", "cross-site", "no-cors", refused),
        ("GET /messages", "same-site", "cors", refused),
        ("GET /", "cross-site", "navigate", ok),
        ("HEAD /", "same-site", "navigate", ok),
        // A form that another site sends.
        ("POST /messages", "cross-site", "navigate", refused),
        ("DELETE /members/a", "same-site", "navigate", refused),
    ] {
        let mut headers = vec![
            ("host", "localhost:8000"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", mode),
        ];
        assert_eq!(
            refusal(&guard(), request, &headers),
            expected,
            "{request} {site}"
        );
        // An allowed origin is let through whatever else is said; the node's own is not.
        headers.push(("origin", "http://localhost:8000"));
        assert_eq!(
            refusal(&guard(), request, &headers),
            expected,
            "{request} {site}"
        );
        headers.pop();
        headers.push(("origin", ALLOWED));
        assert_eq!(refusal(&guard(), request, &headers), ok, "{request} {site}");
    }
    let without_mode = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
    assert_eq!(refusal(&guard(), "GET /", &without_mode), refused);
}

#[test]
fn the_host_is_looked_at_before_the_site() {
    let headers = [
        ("host", "evil.example"),
        ("origin", "http://evil.example:1"),
    ];
    assert_eq!(refusal(&guard(), "GET /", &headers), (421, "misdirected"));
    let headers = [("host", "evil.example"), ("origin", ALLOWED)];
    assert_eq!(refusal(&guard(), "GET /", &headers), (421, "misdirected"));
    assert_eq!(
        refusal(&guard(), "GET /", &[("origin", "null")]),
        (400, "missing_host")
    );
}
