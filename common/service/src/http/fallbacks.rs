//! Problem details where axum would answer with nothing.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Answers unknown paths with 404 and wrong methods with 405, both as problem details; the 405 has the
/// `Allow` header. Reaches the routes the router has by now, so call it last.
pub fn with_problem_fallbacks<S>(router: Router<S>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
}

/// `OPTIONS *` is about the server and no path of it (RFC 9110, section 9.3.7): it is alive, and that is all.
async fn unknown_path(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS && uri.path() == "*" {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::not_found(format!("there is nothing at {}", shortened(uri.path()))).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    // axum adds the header: it knows what the route allows.
    let (method, path) = (shortened(method.as_str()), shortened(uri.path()));
    let detail = format!("{path} does not take {method}; the Allow header lists what it takes");
    Problem::method_not_allowed(detail)
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::{get, post};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn call(method: &str, path: &str) -> Response<Body> {
        let router = Router::new()
            .route(
                "/messages",
                get(|| async { "list" }).post(|| async { "append" }),
            )
            .route("/clear", post(|| async { "cleared" }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        let request = request.expect("a valid request");
        match with_problem_fallbacks(router).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    #[tokio::test]
    async fn wrong_paths_and_methods_are_problems() {
        for (method, path, status, allow) in [
            ("GET", "/nothing", 404, None),
            ("POST", "/messages/", 404, None),
            ("OPTIONS", "/nothing", 404, None),
            ("DELETE", "/messages", 405, Some("GET,HEAD,POST")),
            ("GET", "/clear", 405, Some("POST")),
            ("HEAD", "/clear", 405, Some("POST")),
        ] {
            let response = call(method, path).await;
            assert_eq!(response.status(), status, "{method} {path}");
            let headers = response.headers();
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(
                headers.get("allow").and_then(|v| v.to_str().ok()),
                allow,
                "{method} {path}"
            );
        }
    }

    #[tokio::test]
    async fn options_of_the_server_itself_is_answered_with_nothing() {
        let response = call("OPTIONS", "*").await;
        assert_eq!(response.status(), 204);
        assert!(!response.headers().contains_key("allow"));
    }

    #[tokio::test]
    async fn head_is_get_without_a_body() {
        let response = call("HEAD", "/messages").await;
        assert_eq!(response.status(), 200);
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes();
        assert!(body.is_empty());
    }
}
