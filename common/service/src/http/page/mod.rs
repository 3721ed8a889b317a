//! `GET /`: the cluster's page in a browser, the same on every node.
//!
//! One HTML file without an address outside: its style and its script are in it, put together here when the program is compiled.
//! A browser is told to take nothing else (Content Security Policy, level 3): scripts and styles are known by their hashes, and
//! the page may call its own node and the others whose addresses that node knows.
//!
//! | file | is |
//! |---|---|
//! | `head.html`, `page.css`, `body.html` | what there is to see |
//! | `script/access.js` | the token, where the node wants one |
//! | `script/calls.js`, `script/entries.js` | calls and streams; the newest entries |
//! | `script/nodes.js`, `script/matrix.js`, `script/append.js`, `script/faults.js` | each part of what is shown |
//! | `script/elements.js`, `script/page.js` | elements; what puts it all together |

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::etag::EntityTag;
use super::origin::Host;

macro_rules! style {
    () => {
        include_str!("page.css")
    };
}

macro_rules! script {
    () => {
        concat!(
            include_str!("script/access.js"),
            include_str!("script/calls.js"),
            include_str!("script/entries.js"),
            include_str!("script/elements.js"),
            include_str!("script/nodes.js"),
            include_str!("script/matrix.js"),
            include_str!("script/append.js"),
            include_str!("script/faults.js"),
            include_str!("script/page.js"),
        )
    };
}

const PAGE: &str = concat!(
    include_str!("head.html"),
    "<style>",
    style!(),
    "</style>\n",
    include_str!("body.html"),
    "<script type=\"module\">",
    script!(),
    "</script>\n</body>\n</html>\n",
);

/// The addresses of so many nodes go into the policy, which is a header.
const MAX_NODES: usize = 64;

/// The hash of the page, and the policy but for whom it may call.
static MADE: LazyLock<(String, String)> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(script!()),
        hash(style!()),
    );
    (hash(PAGE), policy)
});

/// As a policy names a text (CSP 3, section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// The page, or 304 for a browser that has it. It may call the nodes that `health`, which is what `/health` of this node answers,
/// gives an address of: `url` and `master_url` of the node, `url` of each member and observer. Without a `health` it may call its
/// own node alone.
#[must_use]
pub fn answer(headers: &HeaderMap, health: Option<impl Serialize>) -> Response {
    let health = health.and_then(|health| serde_json::to_value(health).ok());
    let sources: Vec<String> = health.iter().flat_map(urls).filter_map(source).collect();
    let (page, policy) = &*MADE;
    let mut policy = format!("{policy}; connect-src 'self'");
    let mut known: Vec<&str> = Vec::new();
    for source in &sources {
        if known.len() < MAX_NODES && !known.contains(&source.as_str()) {
            known.push(source);
            policy.push(' ');
            policy.push_str(source);
        }
    }
    let tag = EntityTag::of(&(page, &policy));
    let policy = HeaderValue::try_from(policy).expect("hosts and hashes are visible characters");
    let common: [(HeaderName, HeaderValue); 5] = [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (ETAG, tag.header()),
    ];
    if tag.is_had(headers) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (common, [(CONTENT_TYPE, html)], PAGE).into_response()
}

/// The addresses of nodes in an answer of `/health`.
fn urls(health: &Value) -> impl Iterator<Item = &str> {
    let own = [health.get("url"), health.get("master_url")];
    let groups = [health.get("members"), health.get("observers")];
    let nodes = groups
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .flatten();
    let others = nodes.filter_map(|node| node.get("url"));
    let all = own.into_iter().flatten().chain(others);
    all.filter_map(Value::as_str)
}

/// How a policy names where that URL leads, spelled as browsers spell an origin. `None` for what is no HTTP URL, and for an IPv6
/// address: a policy has no word for one. A URL is what another node has said, so nothing of it is taken as it is.
fn source(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = Host::of(uri.host()?)?.to_string().to_ascii_lowercase();
    let port = uri.port_u16().filter(|port| *port != default_port);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{scheme}://{host}{port}"))
}

#[cfg(test)]
mod tests {
    use axum::http::header::IF_NONE_MATCH;
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    fn policy(answer: &Response) -> Vec<&str> {
        let policy = &answer.headers()[CONTENT_SECURITY_POLICY];
        policy.to_str().unwrap().split("; ").collect()
    }

    fn answered(health: &Value) -> Response {
        answer(&HeaderMap::new(), Some(health))
    }

    async fn text(answer: Response) -> String {
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// What stands between two tags, each of which is there once.
    fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
        let parts: Vec<&str> = page.split(before).collect();
        let [_, rest] = parts[..] else {
            panic!("{before} is there {} times", parts.len() - 1);
        };
        rest.split_once(after).unwrap().0
    }

    #[tokio::test]
    async fn the_policy_has_the_hashes_of_the_script_and_the_style_that_are_sent() {
        let answer = answered(&json!({}));
        let allowed: Vec<String> = policy(&answer).iter().map(ToString::to_string).collect();
        let headers = answer.headers();
        assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[CACHE_CONTROL], "no-cache");
        let page = text(answer).await;
        let script = between(&page, "<script type=\"module\">", "</script>");
        let style = between(&page, "<style>", "</style>");
        assert!(script.contains("EventParser") && style.contains("prefers-color-scheme"));
        for expected in [
            "default-src 'none'",
            &format!("script-src '{}'", hash(script)),
            &format!("style-src '{}'", hash(style)),
            "frame-ancestors 'none'",
            "connect-src 'self'",
        ] {
            assert!(
                allowed.iter().any(|part| part == expected),
                "{expected}: {allowed:?}"
            );
        }
        // The hash of nothing, as everybody knows it.
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(hash(""), empty);
    }

    #[test]
    fn nothing_in_the_page_is_markup_or_code_that_is_made_while_it_runs() {
        for wrong in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "style=",
            " src=",
            "onclick",
        ] {
            assert!(!PAGE.contains(wrong), "{wrong}");
        }
        let addresses: Vec<_> = PAGE.match_indices("://").collect();
        let svg = "xmlns='http://www.w3.org/2000/svg'";
        assert_eq!(addresses.len(), PAGE.matches(svg).count(), "{addresses:?}");
    }

    #[test]
    fn the_page_may_call_the_nodes_that_health_gives_an_address_of() {
        let health = json!({
            "url": "http://127.0.0.1:8000",
            "master_url": null,
            "members": [
                {"id": "a", "url": "https://Node-1.Example.:443/replog/"},
                {"id": "b"},
                {"id": "c", "url": "http://10.0.0.7:80"},
                {"id": "again", "url": "http://127.0.0.1:8000/"},
            ],
            "observers": [{"id": "d", "url": "http://localhost:8003"}],
        });
        let answer = answered(&health);
        let expected = "connect-src 'self' http://127.0.0.1:8000 https://node-1.example http://10.0.0.7 http://localhost:8003";
        assert_eq!(policy(&answer).last(), Some(&expected));
        let secondary =
            answered(&json!({"url": "http://s1:8001", "master_url": "http://master:8000"}));
        let expected = "connect-src 'self' http://s1:8001 http://master:8000";
        assert_eq!(policy(&secondary).last(), Some(&expected));
        let nobody = super::answer(&HeaderMap::new(), None::<Value>);
        assert_eq!(policy(&nobody).last(), Some(&"connect-src 'self'"));
    }

    #[test]
    fn what_is_no_address_of_a_node_does_not_get_into_the_policy() {
        let wrong = [
            "",
            "*",
            "http://*",
            "http://*.example.com",
            "http://a; script-src *",
            "http://a script-src",
            "http://a,b",
            "'unsafe-inline'",
            "data:text/plain,x",
            "javascript:alert(1)",
            "ftp://a",
            "//a",
            "http://",
            "http://[::1]:8000",
        ];
        for wrong in wrong {
            assert_eq!(source(wrong), None, "{wrong}");
        }
        // A node may be told of by whoever can write to the broker: also of very many.
        let members: Vec<_> = (0..200)
            .map(|n| json!({"url": format!("http://s{n}")}))
            .collect();
        let answer = answered(&json!({"members": members}));
        let connect = policy(&answer).pop().unwrap().split(' ').count();
        assert_eq!(connect, 2 + MAX_NODES);
    }

    #[tokio::test]
    async fn a_browser_that_has_it_is_told_so_unless_it_may_call_others_now() {
        let (few, more) = (
            json!({"url": "http://a:1"}),
            json!({"url": "http://a:1", "members": [{"url": "http://b:2"}]}),
        );
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, answered(&few).headers()[ETAG].clone());
        let same = answer(&headers, Some(&few));
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(same.headers()[ETAG], headers[IF_NONE_MATCH]);
        assert!(same.headers().contains_key(CONTENT_SECURITY_POLICY));
        assert_eq!(text(same).await, "");
        let other = answer(&headers, Some(&more));
        assert_eq!(other.status(), StatusCode::OK);
        assert_ne!(other.headers()[ETAG], headers[IF_NONE_MATCH]);
    }
}
