//! The admin port: is the process alive, may it be sent work, what does it count, and what does a person on call see?
//!
//! Owns the HTTP routes and the [`Health`] that `app` and the store's keeper report to. Probes are answered to anybody; what shows more stands
//! behind the [`PageGuard`]. It decides nothing: what a store's silence means is the outage policy's to say, and is handed in as a
//! [`StoreHealth`]; what is counted is `telemetry`'s; what the operations page tells of customers is read from `service`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::routing::get;
use axum::{Json, Router};

use crate::telemetry::Telemetry;

mod guard;
mod health;
mod operations;
mod server;

pub use guard::PageGuard;
pub use health::{CatalogHealth, FilesHealth, Health, HealthState, Phase, Reason, StoreHealth};
pub use operations::Operations;
pub use server::serve;

/// A probe wants the truth of this instant.
const NEVER_STORED: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
/// Prometheus's text format.
const TEXT_FORMAT: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// Body of `/livez` and `/readyz`.
#[derive(Debug, serde::Serialize)]
struct Body {
    status: &'static str,
    /// Why not, or, where ready, what is not as it should be. Empty: all is well.
    reasons: Vec<Reason>,
}

/// Who may see the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFor {
    Anybody,
    /// Who may see what concerns all subjects.
    Observers,
}

/// The routes of the admin port.
pub fn router(health: Health, telemetry: Arc<Telemetry>, operations: Operations, guard: &PageGuard, metrics_for: MetricsFor) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(telemetry);
    let metrics = match metrics_for {
        MetricsFor::Anybody => metrics,
        MetricsFor::Observers => guard.protect_whole(metrics),
    };
    probes(health).merge(metrics).merge(operations::router(operations, guard))
}

/// What is answered to anybody.
fn probes(health: Health) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health)
}

/// 200 as long as the process answers at all; never asks the store, so that a store outage restarts nobody.
async fn livez() -> ([(HeaderName, &'static str); 1], Json<Body>) {
    (NEVER_STORED, Json(Body { status: "live", reasons: Vec::new() }))
}

/// 200 if work is welcome, else 503.
async fn readyz(State(health): State<Health>) -> (StatusCode, [(HeaderName, &'static str); 1], Json<Body>) {
    let state = health.state();
    let (code, status) = if state.is_ready() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    (code, NEVER_STORED, Json(Body { status, reasons: state.reasons() }))
}

/// Every metric there is.
async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> ([(HeaderName, &'static str); 1], String) {
    (TEXT_FORMAT, telemetry.metrics().text())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body as HttpBody, to_bytes};
    use axum::http::Request;
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;

    async fn ask(health: &Health, path: &str) -> (u16, serde_json::Value) {
        let request = Request::get(path).body(HttpBody::empty()).unwrap();
        let response = probes(health.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn names(body: &serde_json::Value) -> Vec<&str> {
        body["reasons"].as_array().unwrap().iter().map(|reason| reason["name"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn ready_follows_the_phase_and_live_does_not() {
        let health = Health::starting();
        let (status, body) = ask(&health, "/readyz").await;
        assert_eq!((status, names(&body)), (503, vec!["starting"]));
        health.set_phase(Phase::Serving);
        let (status, body) = ask(&health, "/readyz").await;
        assert_eq!((status, body), (200, serde_json::json!({"status": "ready", "reasons": []})));
        health.set_phase(Phase::Draining);
        let (status, body) = ask(&health, "/readyz").await;
        assert_eq!((status, names(&body)), (503, vec!["draining"]));
        assert_eq!(ask(&health, "/livez").await, (200, serde_json::json!({"status": "live", "reasons": []})));
    }

    #[tokio::test]
    async fn a_silent_store_is_not_ready_unless_the_policy_is_open() {
        let health = Health::starting();
        health.set_phase(Phase::Serving);
        for (store, status, name) in [
            (StoreHealth::SilentClosed, 503, "store_unavailable"),
            (StoreHealth::SilentOpen, 200, "store_unavailable"),
            (StoreHealth::DataLost, 503, "store_data_lost"),
        ] {
            health.set_store(store);
            let (answered, body) = ask(&health, "/readyz").await;
            assert_eq!((answered, names(&body)), (status, vec![name]));
            assert_eq!(ask(&health, "/livez").await.0, 200);
        }
        health.set_store(StoreHealth::Answering);
        assert_eq!(ask(&health, "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn a_catalog_that_is_not_taken_is_told_and_refuses_no_work() {
        let health = Health::starting();
        health.set_phase(Phase::Serving);
        for (catalog, name) in [
            (CatalogHealth::Rejected, "catalog_rejected"),
            (CatalogHealth::Unreadable, "catalog_unreadable"),
            (CatalogHealth::NotKept, "catalog_not_kept"),
        ] {
            health.set_catalog(catalog);
            let (status, body) = ask(&health, "/readyz").await;
            assert_eq!((status, body["status"].as_str(), names(&body)), (200, Some("ready"), vec![name]));
        }
        health.set_catalog(CatalogHealth::InForce);
        assert_eq!(ask(&health, "/readyz").await.1["reasons"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let health = Health::starting();
        assert_eq!(ask(&health, "/elsewhere").await.0, 404);
        let request = Request::post("/livez").body(HttpBody::empty()).unwrap();
        assert_eq!(probes(health).oneshot(request).await.unwrap().status(), 405);
    }

    #[tokio::test]
    async fn serving_ends_when_told_to() {
        let (_client, connection) = tokio::io::duplex(64);
        let stop = CancellationToken::new();
        let serving =
            tokio::spawn(serve(tokio_stream::iter([connection]), probes(Health::starting()), Duration::from_secs(60), stop.clone()));
        stop.cancel();
        serving.await.unwrap();
    }
}
