//! The gRPC edge: wire types in, wire types out. A handler converts, makes one service call, converts; no policy lives here.
//!
//! `guard` stands before every service and says who may pass. `status` is the only place that knows `tonic::Status`, `read` and `write` the
//! only ones that know both wire and domain types.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::proto::v1;
use crate::service::{Service, ServiceError};
use crate::telemetry::{Telemetry, context};

pub mod codec;
mod concerns;
mod costs;
pub mod envoy;
mod guard;
mod load;
mod methods;
mod quota;
mod read;
mod status;
mod subjects;
mod write;

pub use guard::{GuardLayer, Guarded};
pub use load::Load;

/// What a request may be at most, whatever it says.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub message_bytes: usize,
}

/// The handlers of all services.
#[derive(Clone)]
pub struct Handlers {
    service: Arc<Service>,
    telemetry: Arc<Telemetry>,
    /// Mutations under way. A caller that goes away does not cut one in half, and a drain waits for them.
    tasks: TaskTracker,
    /// Cancelled when the server begins to shut down.
    stop: CancellationToken,
    /// How long a watcher may take nothing.
    patience: Duration,
}

impl Handlers {
    /// `patience` is how long a watcher of costs may take nothing.
    pub fn new(service: Arc<Service>, telemetry: Arc<Telemetry>, tasks: TaskTracker, stop: CancellationToken, patience: Duration) -> Self {
        Self { service, telemetry, tasks, stop, patience }
    }

    /// The services of `genquota.v1`.
    pub fn services(
        &self,
        bounds: Bounds,
    ) -> (
        v1::quota_service_server::QuotaServiceServer<Self>,
        v1::cost_service_server::CostServiceServer<Self>,
        v1::subject_service_server::SubjectServiceServer<Self>,
    ) {
        let bytes = bounds.message_bytes;
        (
            v1::quota_service_server::QuotaServiceServer::new(self.clone()).max_decoding_message_size(bytes),
            v1::cost_service_server::CostServiceServer::new(self.clone()).max_decoding_message_size(bytes),
            v1::subject_service_server::SubjectServiceServer::new(self.clone()).max_decoding_message_size(bytes),
        )
    }

    /// Runs a change of the ledger in a task of its own, which still belongs to the caller's trace.
    async fn change<T, F>(&self, call: impl FnOnce(Arc<Service>) -> F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let done = self.tasks.spawn(context::carried(load::kept(call(self.service.clone())))).await;
        done.map_err(|_| status::panicked())?.map_err(status::of)
    }
}
