//! What a program answers: a router, and one call that is found before the router looks.

use std::convert::Infallible;
use std::fmt;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{Method, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::{Layer, Service, service_fn};
use tower_http::cors::CorsLayer;

use super::guard::{Guard, is_preflight};
use super::problem::Problem;
use super::tokens::Tokens;
use crate::metrics::HttpMetrics;
use crate::reloading::Reloading;

/// An answer that is being made.
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Who makes a request, for the log: the address of the client, `unknown` where nobody has said, and the name of its token.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Where the request comes from.
    pub address: Option<SocketAddr>,
    /// Whose token it has shown, where one was needed.
    pub name: Option<Arc<str>>,
}

impl Caller {
    /// A caller of whom only the address is known.
    #[must_use]
    pub fn unnamed(address: Option<SocketAddr>) -> Self {
        Self {
            address,
            name: None,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f)?,
            None => f.write_str("unknown")?,
        }
        match &self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// The calls of a program, and who may make them.
#[derive(Clone)]
pub struct Calls {
    routes: Routes,
    has_endless_body: fn(&Parts) -> bool,
    guard: Arc<Guard>,
    tokens: Option<Reloading<Tokens>>,
    /// Only where pages of other origins may call: nobody else pays for it.
    cors: Option<CorsLayer>,
    metrics: Arc<HttpMetrics>,
}

/// Which handler answers which call.
///
/// A router looks at each request through several layers, each of them a future on the heap: for the call that nearly every
/// request is, that is a tenth of the processor time of its answer.
#[derive(Clone)]
struct Routes {
    router: Router,
    shortcut: Option<Shortcut>,
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
        if let Some(shortcut) = &shortcut {
            self.metrics.set_shortcut(&shortcut.method, path);
        }
        let routes = Routes {
            shortcut,
            ..self.routes
        };
        Self { routes, ..self }
    }

    /// The calls of that router, counted in `metrics`, for whom [`Guard::default`] lets through.
    #[must_use]
    pub fn counted_in(metrics: Arc<HttpMetrics>, router: Router) -> Self {
        Self {
            routes: Routes {
                router: router.layer(from_fn(with_route)),
                shortcut: None,
            },
            has_endless_body: |_| false,
            guard: Arc::default(),
            tokens: None,
            cors: None,
            metrics,
        }
    }

    /// What the calls are counted in.
    pub(super) fn metrics(&self) -> &Arc<HttpMetrics> {
        &self.metrics
    }

    /// Whether a request with that head is the call of [`Calls::with_shortcut`].
    pub(super) fn is_shortcut(&self, head: &Parts) -> bool {
        let shortcut = self.routes.shortcut.as_ref();
        shortcut.is_some_and(|shortcut| shortcut.is(&head.method, head.uri.path()))
    }

    /// The same calls, for whom that guard lets through, and, where there are tokens, who shows one that may make the call. Then
    /// the `Host` may be any one: a page that was led here by a false name has no token.
    #[must_use]
    pub fn guarded_by(self, guard: Guard, tokens: Option<Reloading<Tokens>>) -> Self {
        let guard = match tokens {
            Some(_) => guard.taking_any_host(),
            None => guard,
        };
        Self {
            cors: guard.cors(),
            guard: Arc::new(guard),
            tokens,
            ..self
        }
    }

    /// Whether a request with that head may be made, and in whose name: to be asked before [`Calls::call`].
    ///
    /// # Errors
    /// As [`Guard::check`], then as [`Tokens::check`].
    pub(super) fn check(&self, head: &Parts) -> Result<Option<Arc<str>>, Problem> {
        self.guard.check(head)?;
        match &self.tokens {
            // A browser asks without the token whether it may send one.
            Some(tokens) if !self.guard.is_allowed_preflight(head) => tokens.current().check(head),
            _ => Ok(None),
        }
    }

    /// Answers a request that may not be made. A page of an origin that may call is told so, too.
    pub(super) fn refuse(&self, head: Parts, problem: Problem) -> Answering {
        match &self.cors {
            // The layer takes every OPTIONS for a preflight, and would answer it.
            Some(cors) if head.method != Method::OPTIONS => {
                let refused = service_fn(move |_: Request<Body>| {
                    ready(Ok::<_, Infallible>(problem.clone().into_response()))
                });
                let answer = cors
                    .layer(refused)
                    .call(Request::from_parts(head, Body::empty()));
                Box::pin(answer.map(into_ok))
            }
            _ => Box::pin(ready(problem.into_response())),
        }
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

    /// Answers a request that comes from there.
    pub fn call(&self, request: Request<Body>, caller: Caller) -> Answering {
        match &self.cors {
            // What asks only which methods there are is a call as any other.
            Some(cors)
                if request.method() != Method::OPTIONS
                    || is_preflight(request.method(), request.headers()) =>
            {
                let routes = Called(self.routes.clone(), caller);
                let answer = cors.layer(routes).call(request);
                Box::pin(answer.map(into_ok))
            }
            _ => self.routes.call(request, caller),
        }
    }
}

impl Shortcut {
    fn is(&self, method: &Method, path: &str) -> bool {
        path == self.path && *method == self.method
    }
}

/// Lets an answer say which route it came from.
async fn with_route(request: Request<Body>, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

impl Routes {
    /// The shortcut is not told where the request comes from: nothing is kept for it but the request.
    fn call(&self, mut request: Request<Body>, caller: Caller) -> Answering {
        if let Some(shortcut) = &self.shortcut
            && shortcut.is(request.method(), request.uri().path())
        {
            return (shortcut.handler)(request);
        }
        request.extensions_mut().insert(caller);
        let answer = self.router.clone().call(request);
        Box::pin(answer.map(into_ok))
    }
}

fn into_ok(answer: Result<Response, Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The routes for one request, as a service that a layer can be put around.
struct Called(Routes, Caller);

impl Service<Request<Body>> for Called {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self(routes, caller) = self;
        Box::pin(routes.call(request, caller.clone()).map(Ok))
    }
}

/// Guarded by [`Guard::default`]; nobody reads what is counted.
impl From<Router> for Calls {
    fn from(router: Router) -> Self {
        Self::counted_in(Arc::default(), router)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Routes { router, shortcut } = &self.routes;
        let shortcut = shortcut.as_ref().map(|s| (&s.method, s.path));
        f.debug_struct("Calls")
            .field("router", router)
            .field("shortcut", &shortcut)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test]
    async fn pages_of_an_allowed_origin_may_read_every_answer() {
        let router = Router::new().route("/messages", post(|| async { "router" }));
        let calls = Calls::from(with_problem_fallbacks(router));
        let calls = calls.with_shortcut(Method::POST, "/messages", |_| {
            Box::pin(async { "shortcut".into_response() })
        });
        let page = "http://localhost:3000";
        let guard = Guard::new(None, vec![page.parse().unwrap()]);
        let calls = calls.guarded_by(guard, None);
        let asks = Some("POST");
        for (method, path, origin, asks, status, is_allowed) in [
            (Method::POST, "/messages", page, None, 200, true),
            (Method::POST, "/nothing", page, None, 404, true),
            (Method::POST, "/messages", "http://other", None, 200, false),
            // A preflight is answered without a look at the path or at who asks.
            (Method::OPTIONS, "/nothing", page, asks, 200, true),
        ] {
            let request = Request::builder().method(&method).uri(path);
            let mut request = request.header("origin", origin);
            if let Some(method) = asks {
                request = request.header("access-control-request-method", method);
            }
            let request = request.body(Body::empty()).unwrap();
            let answer = calls.call(request, Caller::default()).await;
            assert_eq!(answer.status(), status, "{method} {path}");
            let allowed = answer.headers().get("access-control-allow-origin");
            assert_eq!(
                allowed.is_some_and(|o| o == page),
                is_allowed,
                "{method} {path} {origin}"
            );
        }
        // Who asks only which methods there are gets what the path has to say.
        let request = Request::options("/messages").header("origin", page);
        let request = request.body(Body::empty()).unwrap();
        let answer = calls.call(request, Caller::default()).await;
        let headers = answer.headers();
        assert!(headers.contains_key("allow"), "{answer:?}");
        assert!(!headers.contains_key("access-control-allow-methods"));
    }
}
