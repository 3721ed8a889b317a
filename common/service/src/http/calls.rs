//! What a program answers: a router, and one call that is found before the router looks.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, Request};
use axum::response::Response;
use futures_util::FutureExt;
use tower::Service;

/// An answer that is being made.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The address of the client that makes a request, for the log; `unknown` where nobody has said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller(pub Option<SocketAddr>);

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// The calls of a program.
///
/// A router looks at each request through several layers, each of them a future on the heap: for the call that nearly every
/// request is, that is a tenth of the processor time of its answer.
#[derive(Clone)]
pub struct Calls {
    router: Router,
    shortcut: Option<Shortcut>,
    has_endless_body: fn(&Parts) -> bool,
}

/// One call, found by its method and path alone.
#[derive(Clone)]
struct Shortcut {
    method: Method,
    path: &'static str,
    handler: Arc<dyn Fn(Request<Body>) -> Answering + Send + Sync>,
}

impl Calls {
    /// The same calls, with `handler` for that method and path. The router must have the call too, for what belongs to its
    /// path: other methods, and the `Allow` header.
    #[must_use]
    pub fn with_shortcut(
        self,
        method: Method,
        path: &'static str,
        handler: impl Fn(Request<Body>) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let shortcut = Some(Shortcut {
            method,
            path,
            handler: Arc::new(handler),
        });
        Self { shortcut, ..self }
    }

    /// The same calls, of which those whose head is such may have a body of any length: the server bounds neither its bytes
    /// nor how long all of it takes, only each wait for more of it. What is kept of it is bounded by the handler.
    #[must_use]
    pub fn with_endless_bodies(self, has_endless_body: fn(&Parts) -> bool) -> Self {
        Self {
            has_endless_body,
            ..self
        }
    }

    /// Whether the body of a request with that head may have any length.
    pub(super) fn has_endless_body(&self, head: &Parts) -> bool {
        (self.has_endless_body)(head)
    }

    /// Answers a request that comes from there. The shortcut is not told: nothing is kept for it but the request.
    pub fn call(&self, mut request: Request<Body>, caller: Caller) -> Answering {
        if let Some(shortcut) = &self.shortcut
            && request.uri().path() == shortcut.path
            && request.method() == shortcut.method
        {
            return (shortcut.handler)(request);
        }
        request.extensions_mut().insert(caller);
        let answer = self.router.clone().call(request);
        Box::pin(
            answer.map(|answer: Result<Response, Infallible>| match answer {
                Ok(response) => response,
                Err(never) => match never {},
            }),
        )
    }
}

impl From<Router> for Calls {
    fn from(router: Router) -> Self {
        Self {
            router,
            shortcut: None,
            has_endless_body: |_| false,
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortcut = self.shortcut.as_ref().map(|s| (&s.method, s.path));
        f.debug_struct("Calls")
            .field("router", &self.router)
            .field("shortcut", &shortcut)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use axum::routing::post;
    use http_body_util::BodyExt;

    use super::*;
    use crate::http::fallbacks::with_problem_fallbacks;

    #[tokio::test]
    async fn only_the_very_call_takes_the_shortcut() {
        let router = Router::new().route("/messages", post(|| async { "router" }));
        let calls = Calls::from(with_problem_fallbacks(router));
        let calls = calls.with_shortcut(Method::POST, "/messages", |_| {
            Box::pin(async { "shortcut".into_response() })
        });
        for (method, uri, status, said) in [
            (Method::POST, "/messages", 200, "shortcut"),
            (Method::POST, "/messages?w=1", 200, "shortcut"),
            (Method::POST, "/messages/", 404, "nothing at /messages/"),
            (Method::GET, "/messages", 405, "does not take GET"),
        ] {
            let request = Request::builder().method(&method).uri(uri);
            let request = request.body(Body::empty()).unwrap();
            let answer = calls.call(request, Caller::default()).await;
            assert_eq!(answer.status(), status, "{method} {uri}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(said), "{method} {uri}: {body}");
        }
    }
}
