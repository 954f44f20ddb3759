//! Who may pass: a layer before every service. It finds out who calls, whether they may call this at all, and whether there is room.
//!
//! It puts the caller's `Arc<Principal>` into the request's extensions, always: a handler that finds none refuses ([`caller`]). Whether the
//! caller may act for the subject of a request is seen where the request has been read: [`Handlers::admitted`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::{Extensions, Status};
use tower::{Layer, Service};

use super::concerns::Concerns;
use super::methods::{Method, Urgency};
use super::{Handlers, Load, load, methods, status};
use crate::access::{self, Forbidden, Gate, Peer, Principal, Tenure, Unknown};
use crate::telemetry::{Refusal, Telemetry};

/// Guards every service below it.
#[derive(Clone)]
pub struct GuardLayer {
    gate: Gate,
    load: Load,
    telemetry: Arc<Telemetry>,
}

/// The service inside, behind the guard.
#[derive(Clone)]
pub struct Guarded<S> {
    layer: GuardLayer,
    inner: S,
}

/// For how long a call that goes on may: taken by its handler, once.
#[derive(Clone)]
struct Stay(Arc<std::sync::Mutex<Option<Tenure>>>);

impl GuardLayer {
    pub fn new(gate: Gate, load: Load, telemetry: Arc<Telemetry>) -> Self {
        Self { gate, load, telemetry }
    }

    /// The method, and who calls it, put into the request.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<&'static Method, Status> {
        let method = methods::method(request.uri().path());
        let token = bearer(request.headers());
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let is_long = method.is_some_and(|method| method.urgency == Urgency::Watch);
        let identified = token.and_then(|token| match is_long {
            true => self.gate.identify_for_long(token, &peer).map(|(principal, tenure)| (principal, Some(tenure))),
            false => self.gate.identify(token, &peer).map(|principal| (principal, None)),
        });
        let (principal, tenure) = identified.map_err(|unknown| {
            tracing::debug!(method = request.uri().path(), ?unknown, "a call is refused: nobody knows who makes it");
            self.telemetry.metrics().refused(Refusal::Unknown(unknown.name()));
            status::unknown_caller(unknown)
        })?;
        // Only those who are known hear which methods there are.
        let method = method.ok_or_else(status::no_such_method)?;
        if !principal.name().is_empty() {
            self.telemetry.called_by(principal.name());
        }
        principal.has(method.scopes).map_err(|forbidden| refuse(&self.telemetry, &forbidden))?;
        let extensions = request.extensions_mut();
        extensions.insert(principal);
        if let Some(tenure) = tenure {
            extensions.insert(Stay(Arc::new(std::sync::Mutex::new(Some(tenure)))));
        }
        Ok(method)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { layer: self.clone(), inner }
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if methods::is_open(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let method = match self.layer.admit(&mut request) {
            Ok(method) => method,
            Err(status) => return Box::pin(std::future::ready(Ok(status.into_http()))),
        };
        // The one that is ready goes with the call; its clone has to become ready anew.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let load = self.layer.load.clone();
        Box::pin(async move {
            match load.slot(method.urgency).await {
                Ok(slot) => load::within(slot, inner.call(request)).await,
                Err(load::Overloaded) => Ok(status::overloaded().into_http()),
            }
        })
    }
}

impl Handlers {
    /// The message of a request, if its caller may ask for it for the subject that it concerns.
    pub(super) fn admitted<T: Concerns>(&self, request: tonic::Request<T>) -> Result<T, Status> {
        let principal = caller(request.extensions())?.clone();
        let message = request.into_inner();
        let subject = message.subject();
        principal.reaches(subject).map_err(|forbidden| refuse(&self.telemetry, &forbidden))?;
        if let Some(change) = T::CHANGE
            && !principal.name().is_empty()
        {
            tracing::info!(caller = principal.name(), change, ?subject, "an administrator asks for a change");
        }
        Ok(message)
    }
}

/// Waits until the caller of a stream may not go on with it.
pub(super) fn end_of_stay(extensions: &Extensions) -> impl Future<Output = ()> + Send + 'static {
    let tenure = extensions.get::<Stay>().and_then(|stay| stay.0.lock().ok()?.take());
    async move {
        match tenure {
            Some(tenure) => tenure.over().await,
            None => std::future::pending().await,
        }
    }
}

/// Who calls. The guard has put it there; without it nobody may do anything.
fn caller(extensions: &Extensions) -> Result<&Arc<Principal>, Status> {
    extensions.get::<Arc<Principal>>().ok_or_else(|| status::unknown_caller(Unknown::Nothing))
}

fn refuse(telemetry: &Telemetry, forbidden: &Forbidden) -> Status {
    tracing::debug!(%forbidden, "a call is refused");
    telemetry.metrics().refused(Refusal::Forbidden(forbidden.reason()));
    status::forbidden(forbidden)
}

/// The token of a call. Two of them are none: whose would count?
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Unknown> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unknown::Malformed);
    }
    let text = value.to_str().map_err(|_| Unknown::Malformed)?;
    access::bearer(text).map(Some).map_err(|_| Unknown::Malformed)
}
