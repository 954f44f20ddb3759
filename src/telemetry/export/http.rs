//! The HTTP client of exporters: hyper, on the runtime of the process, for threads that have none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// The longest one request may take, whatever the exporter's own patience: OpenTelemetry's default.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Sends from the runtime what a thread of an exporter hands it.
#[derive(Debug)]
struct OnRuntime {
    client: Arc<dyn HttpClient>,
    runtime: Handle,
}

/// A client for this runtime, with TLS where the system has certificates.
pub(super) fn client() -> Arc<dyn HttpClient> {
    let client: Arc<dyn HttpClient> = match HttpsConnectorBuilder::new().with_native_roots() {
        Ok(builder) => Arc::new(HyperClient::new(builder.https_or_http().enable_http1().build(), REQUEST_MAX, None)),
        // An image without certificates can still reach a collector beside it.
        Err(_) => Arc::new(HyperClient::with_default_connector(REQUEST_MAX, None)),
    };
    Arc::new(OnRuntime { client, runtime: Handle::current() })
}

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
