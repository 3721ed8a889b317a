//! The description of a program's calls (OpenAPI 3.1), made from its routes and from the types of what it reads and answers.
//!
//! A program builds its router as an [`OpenApiRouter`], so a route that is not described cannot be added by mistake, and
//! [`described`] turns that into the router that serves, with three things that follow from the description: `GET
//! /openapi.json`, `OPTIONS` of every path, and the answers that any call may have.
//!
//! | file | is |
//! |---|---|
//! | [`answers`] | entries and lists, which are written by hand elsewhere: their schemas |
//! | [`headers`] | the headers of requests |
//! | [`refusals`] | problem details, and each refusal that several calls share |
//! | [`words`] | a string that is one of some words |

pub mod answers;
pub mod headers;
pub mod refusals;
pub mod words;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::header::{ALLOW, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, options};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::answer;
use super::query::{NoParameters, Parameters};

/// The name of the one way to show who calls: a token in the header `Authorization`.
const BEARER: &str = "token";
/// Where the description is.
const PATH: &str = "/openapi.json";

/// What any call may be answered with, whatever it is: these refusals come before a handler runs, or instead of its answer.
const OF_ANY_CALL: [(StatusCode, &str); 6] = [
    (StatusCode::BAD_REQUEST, "BadRequest"),
    (StatusCode::UNAUTHORIZED, "Unauthorized"),
    (StatusCode::FORBIDDEN, "CrossSite"),
    (StatusCode::MISDIRECTED_REQUEST, "Misdirected"),
    (StatusCode::TOO_MANY_REQUESTS, "TooManyConnections"),
    (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
];

#[derive(utoipa::OpenApi)]
#[openapi(
    // The version of the calls, not of the program: only `/health` may say which release runs.
    info(title = "Replicated log", version = "2"),
    tags(
        (name = "messages", description = "The log: appending and reading."),
        (name = "course", description = "The calls of the course task, as text."),
        (name = "cluster", description = "How the nodes are, and what operators do with them."),
        (name = "faults", description = "Faults on purpose, for tests and demonstrations."),
        (name = "description", description = "What describes this program.")
    ),
    components(
        schemas(
            refusals::ProblemDetails,
            refusals::Reason,
            answers::Entry,
            answers::EntryLines,
            answers::MessageList,
            answers::StreamEvent,
            answers::HealthEvent,
            super::readiness::Ready,
            super::stream::Reset
        ),
        responses(
            answers::EntryLists,
            answers::EntryStream,
            answers::NotModified,
            answers::Page,
            super::readiness::IsReady,
            super::readiness::NotReady,
            answers::PythonList,
            answers::Metrics,
            answers::HealthStream,
            refusals::BadRequest,
            refusals::Forbidden,
            refusals::NoSuchEntry,
            refusals::NotAcceptable,
            refusals::BodyTimeout,
            refusals::OtherHistory,
            refusals::Cleared,
            refusals::OtherPosition,
            refusals::TooLarge,
            refusals::EncodedBody,
            refusals::OtherContent,
            refusals::Unauthorized,
            refusals::CrossSite,
            refusals::Misdirected,
            refusals::TooManyConnections,
            refusals::InternalError,
            refusals::Unavailable,
            refusals::NotHereYet,
            refusals::NotReplicated
        )
    )
)]
struct Common;

/// The description that every program begins with: `about` says which program it is, and what is good to know of it.
#[must_use]
pub fn begun<S: Clone + Send + Sync + 'static>(about: &str) -> OpenApiRouter<S> {
    let mut description = Common::openapi();
    description.info.description = Some(about.to_owned());
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = description.components.get_or_insert_default();
    components.add_security_scheme(BEARER, bearer);
    let needs = SecurityRequirement::new(BEARER, [""; 0]);
    // Only where tokens are set: a call without one is as it should be elsewhere.
    description.security = Some(vec![SecurityRequirement::default(), needs]);
    OpenApiRouter::with_openapi(description)
}

/// The router of these calls. It also answers `GET /openapi.json`, and `OPTIONS` of each path with 204 and `Allow`.
pub fn described<S: Clone + Send + Sync + 'static>(calls: OpenApiRouter<S>) -> Router<S> {
    let document = Document::default();
    let own = routes!(openapi_json).layer(Extension(document.clone()));
    let (mut router, mut description) = calls.routes(own).split_for_parts();
    for (path, item) in &mut description.paths.paths {
        router = router.route(path, allowing(&methods_of(item)));
        operations_of(item).for_each(add_refusals_of_any_call);
    }
    document.set(&description);
    router
}

/// `OPTIONS` of a path that takes these methods besides.
pub fn allowing<S: Clone + Send + Sync + 'static>(methods: &[Method]) -> MethodRouter<S> {
    let names: Vec<&str> = methods
        .iter()
        .map(Method::as_str)
        .chain(["OPTIONS"])
        .collect();
    let allow = HeaderValue::try_from(names.join(",")).expect("names of methods");
    options(|| async move { (StatusCode::NO_CONTENT, [(ALLOW, allow)]).into_response() })
}

/// The methods that a path takes; with `GET` comes `HEAD`.
fn methods_of(item: &PathItem) -> Vec<Method> {
    let methods = [
        (&item.get, &[Method::GET, Method::HEAD][..]),
        (&item.post, &[Method::POST]),
        (&item.put, &[Method::PUT]),
        (&item.delete, &[Method::DELETE]),
        (&item.patch, &[Method::PATCH]),
    ];
    let taken = methods.iter().filter(|(operation, _)| operation.is_some());
    taken
        .flat_map(|(_, methods)| methods.iter().cloned())
        .collect()
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let operations = [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.delete,
        &mut item.patch,
    ];
    operations.into_iter().flatten()
}

fn add_refusals_of_any_call(operation: &mut Operation) {
    for (status, name) in OF_ANY_CALL {
        let answers = &mut operation.responses.responses;
        answers
            .entry(status.as_str().to_owned())
            .or_insert_with(|| RefOr::Ref(Ref::from_response_name(name)));
    }
}

/// The description as it is sent, once it is known.
#[derive(Clone, Debug, Default)]
struct Document(Arc<OnceLock<Bytes>>);

impl Document {
    fn set(&self, description: &OpenApi) {
        let mut text = serde_json::to_vec(description).expect("a description is JSON");
        text.push(b'\n');
        self.0.get_or_init(|| text.into());
    }
}

/// This description
///
/// What this program answers, in OpenAPI 3.1. It is made from the program's own routes and types.
#[utoipa::path(get, path = PATH, operation_id = "getDescription", tag = "description", responses(
    (status = 200, description = "The description.", body = Object, content_type = "application/json")
))]
async fn openapi_json(
    Extension(Document(text)): Extension<Document>,
    _: Parameters<NoParameters>,
) -> Response {
    answer::json_bytes(text.get().cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    #[utoipa::path(get, path = "/things", responses((status = 200)))]
    async fn list_things() {}

    #[utoipa::path(post, path = "/things", responses((status = 500, description = "of its own")))]
    async fn make_thing() {}

    async fn call(method: Method, path: &str) -> Response {
        let calls = begun("Things.")
            .routes(routes!(list_things))
            .routes(routes!(make_thing));
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).unwrap();
        described(calls).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn the_description_has_every_route_and_what_any_call_may_be_answered_with() {
        let answer = call(Method::GET, PATH).await;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"}\n"));
        let description: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(description["info"]["version"], "2");
        let paths = description["paths"].as_object().unwrap();
        assert_eq!(paths.keys().collect::<Vec<_>>(), [PATH, "/things"]);
        let (get, post) = (&paths["/things"]["get"], &paths["/things"]["post"]);
        assert_eq!(
            get["responses"]["500"]["$ref"],
            "#/components/responses/InternalError"
        );
        assert_eq!(post["responses"]["500"]["description"], "of its own");
    }

    #[tokio::test]
    async fn options_says_what_a_path_takes() {
        for (path, allow) in [
            ("/things", "GET,HEAD,POST,OPTIONS"),
            ("/things?any=1", "GET,HEAD,POST,OPTIONS"),
            (PATH, "GET,HEAD,OPTIONS"),
        ] {
            let answer = call(Method::OPTIONS, path).await;
            assert_eq!(answer.status(), 204, "{path}");
            assert_eq!(answer.headers()[ALLOW], allow, "{path}");
        }
        assert_eq!(
            call(Method::DELETE, "/things").await.headers()[ALLOW],
            "GET,HEAD,POST,OPTIONS"
        );
    }
}
