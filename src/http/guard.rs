//! Who may see a page: a layer before the routes that show what is not everybody's.
//!
//! It wants a token of the scope `observer`, as `Bearer` or as the password of `Basic`, which is what browsers ask people for. It puts the
//! caller's `Arc<Principal>` into the request's extensions, for handlers that show one subject: `principal.reaches(Some(subject))`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

use crate::access::{self, Forbidden, Gate, Peer, Principal, Scope, Unknown};
use crate::telemetry::{Refusal, Telemetry};

/// What a browser is told, so that it asks for a token.
const CHALLENGE: &str = r#"Basic realm="genquota: any user, a token as password", charset="UTF-8", Bearer realm="genquota""#;
const REFUSAL_HEADERS: [(HeaderName, &str); 2] = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];

/// Guards routes. Clones are the same guard.
#[derive(Clone)]
pub struct PageGuard {
    gate: Gate,
    telemetry: Arc<Telemetry>,
}

impl PageGuard {
    pub fn new(gate: Gate, telemetry: Arc<Telemetry>) -> Self {
        Self { gate, telemetry }
    }

    /// The routes, behind the guard.
    pub fn protect(&self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(self.clone(), admit))
    }

    /// The same for what tells of all subjects together, and so nothing to who may see some.
    pub fn protect_whole(&self, routes: Router) -> Router {
        self.protect(routes.layer(middleware::from_fn_with_state(self.clone(), admit_to_whole)))
    }

    fn identify(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Unknown> {
        let token = match headers.get(AUTHORIZATION) {
            None => None,
            Some(value) => {
                let text = value.to_str().map_err(|_| Unknown::Malformed)?;
                Some(access::bearer_or_password(text).map_err(|_| Unknown::Malformed)?)
            }
        };
        self.gate.identify(token.as_deref(), &Peer::default())
    }

    fn refuse(&self, forbidden: &Forbidden) -> Response {
        self.telemetry.metrics().refused(Refusal::Forbidden(forbidden.reason()));
        (StatusCode::FORBIDDEN, REFUSAL_HEADERS, format!("{forbidden}\n")).into_response()
    }
}

async fn admit(State(guard): State<PageGuard>, mut request: Request, next: Next) -> Response {
    let principal = match guard.identify(request.headers()) {
        Ok(principal) => principal,
        Err(unknown) => {
            guard.telemetry.metrics().refused(Refusal::Unknown(unknown.name()));
            return (StatusCode::UNAUTHORIZED, REFUSAL_HEADERS, [(WWW_AUTHENTICATE, CHALLENGE)], format!("{unknown}\n")).into_response();
        }
    };
    if let Err(forbidden) = principal.has(Scope::Observer) {
        return guard.refuse(&forbidden);
    }
    request.extensions_mut().insert(principal);
    next.run(request).await
}

async fn admit_to_whole(State(guard): State<PageGuard>, request: Request, next: Next) -> Response {
    let allowed = request.extensions().get::<Arc<Principal>>().map(|principal| principal.reaches(None));
    match allowed {
        Some(Ok(())) => next.run(request).await,
        Some(Err(forbidden)) => guard.refuse(&forbidden),
        // `protect` stands before this one.
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}
