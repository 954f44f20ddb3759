//! The operations page: what a person on call looks at, written by the server and readable without scripts.
//!
//! A reader of `service` and nothing else: every number is one that a call of the API or `/metrics` gives, and what a store that is away
//! does not tell is said in its place. Nothing here decides, and nothing changes anything. Who may look is the guard's to say; whom they
//! may see, the caller's principal.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use self::overview::{Overview, OverviewPage};
use self::problem::{Problem, ProblemPage};
use self::query::{Asked, Parameters, Refresh, Span};
use self::shown::Moment;
use self::sidecar::Sidecar;
use self::subject::SubjectPage;
use self::subjects::SubjectsPage;
use super::{Health, PageGuard};
use crate::access::Principal;
use crate::service::{Service, ServiceError};
use crate::telemetry::Telemetry;

mod chart;
mod costs;
mod history;
mod left;
mod overview;
mod problem;
mod query;
mod shown;
mod sidecar;
mod subject;
mod subjects;

/// Pages that are made at once: each may read the sums of a month, and decisions come first.
const PAGES_AT_ONCE: usize = 4;
/// How long one reading of the store may take before the page says that there is no answer. People do not wait longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing but what this server sends: no script, no frame, no other origin.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // An address of this page names a customer.
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

const STYLE: &str = include_str!("templates/operations/style.css");
const ICON: &str = include_str!("templates/operations/icon.svg");

/// What the page reads.
pub struct Operations {
    service: Arc<Service>,
    health: Health,
    telemetry: Arc<Telemetry>,
    /// The store's address, without any secret.
    store: Box<str>,
    /// Since when this process counts.
    since: Timestamp,
    turns: Semaphore,
}

/// What stands around every page.
struct Frame {
    /// Which part of the page this is.
    section: Section,
    refresh: Refresh,
    time: Moment,
    sidecar: Sidecar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Overview,
    Subjects,
}

impl Operations {
    pub fn new(service: Arc<Service>, health: Health, telemetry: Arc<Telemetry>, store: &str) -> Self {
        let since = service.now();
        Self { service, health, telemetry, store: store.into(), since, turns: Semaphore::new(PAGES_AT_ONCE) }
    }

    fn frame(&self, section: Section, refresh: Refresh) -> Frame {
        let sidecar = Sidecar::of(self, &self.telemetry.metrics().read());
        Frame { section, refresh, time: Moment::of(self.service.now()), sidecar }
    }

    /// Asks the service, and says what went wrong in words for the page.
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, ServiceError>>) -> Result<T, Problem> {
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(Problem::from),
            Err(_) => Err(Problem::silent(PATIENCE)),
        }
    }

    /// The page that says what is wrong.
    fn problem(&self, section: Section, refresh: Refresh, problem: Problem) -> Response {
        let status = problem.status;
        page(status, &ProblemPage { frame: self.frame(section, refresh), problem })
    }
}

/// Every route of the page, with its headers, behind the guard. Who may see some subjects alone may look those up, and nothing else.
pub fn router(operations: Operations, guard: &PageGuard) -> Router {
    let of_all = Router::new().route("/operations", get(overview)).route("/operations.json", get(overview_as_json));
    let of_some = Router::new().route("/operations/subjects", get(subjects));
    let of_none = Router::new()
        .route("/", get(|| async { Redirect::to("/operations") }))
        .route("/operations/style.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/operations/icon.svg", get(|| async { ([(CONTENT_TYPE, "image/svg+xml")], ICON) }));
    let operations = Arc::new(operations);
    guard
        .protect_whole(of_all.with_state(operations.clone()))
        .merge(guard.protect(of_some.with_state(operations)))
        .merge(of_none)
        .layer(map_response(guarded))
}

async fn guarded(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn overview(State(operations): State<Arc<Operations>>, Query(parameters): Query<Parameters>) -> Response {
    let refresh = parameters.refresh();
    let span = match parameters.span() {
        Ok(span) => span,
        Err(problem) => return operations.problem(Section::Overview, refresh, problem),
    };
    let overview = operations.overview(span).await;
    let frame = operations.frame(Section::Overview, refresh);
    page(StatusCode::OK, &OverviewPage { frame, span, overview })
}

/// The same for programs.
async fn overview_as_json(State(operations): State<Arc<Operations>>, Query(parameters): Query<Parameters>) -> Response {
    match parameters.span() {
        Ok(span) => Json(operations.overview(span).await).into_response(),
        Err(problem) => (problem.status, Json(problem)).into_response(),
    }
}

/// All subjects, or the one that is looked up.
async fn subjects(
    State(operations): State<Arc<Operations>>,
    Extension(principal): Extension<Arc<Principal>>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let refresh = parameters.refresh();
    let found = match parameters.subject() {
        Ok(asked) => match principal.reaches(asked.as_ref().map(|asked| asked.subject.as_str())) {
            Ok(()) => operations.looked_up(asked, &parameters).await,
            Err(forbidden) => Err(Problem::from(forbidden)),
        },
        Err(problem) => Err(problem),
    };
    found.unwrap_or_else(|problem| operations.problem(Section::Subjects, refresh, problem.about(&parameters)))
}

impl Operations {
    async fn overview(&self, span: Span) -> Overview {
        let _turn = self.turns.acquire().await;
        Overview::read(self, span).await
    }

    async fn looked_up(&self, asked: Option<Asked>, parameters: &Parameters) -> Result<Response, Problem> {
        let refresh = parameters.refresh();
        match asked {
            None => self.subjects(parameters).await.map(|listing| {
                let frame = self.frame(Section::Subjects, refresh);
                page(StatusCode::OK, &SubjectsPage { frame, listing })
            }),
            Some(asked) => self.subject(asked).await.map(|found| {
                let frame = self.frame(Section::Subjects, refresh);
                page(StatusCode::OK, &SubjectPage { frame, found })
            }),
        }
    }
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written; the log says why\n").into_response()
        }
    }
}
