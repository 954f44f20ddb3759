//! What Envoy calls: its rate limit service, and its external processor.
//!
//! Both are clients of `genquota.v1` in this process. The catalog's `envoy` section says which descriptors and HTTP requests mean what; a
//! message of the contract is made of them and put to the very handlers that a gateway calls, so that it is checked, decided and told like
//! any other. Nothing is decided here but what becomes of Envoy's request.

use envoy_types::pb::envoy::service::ext_proc::v3::external_processor_server::{self, ExternalProcessorServer};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{self, RateLimitServiceServer};
use tonic::{Extensions, Request, Status};

use super::{Bounds, Handlers};
use crate::proto::v1;
use crate::proto::v1::quota_service_server::QuotaService;
use crate::telemetry::{EnvoyFilter, EnvoyResult};

mod asking;
mod processor;
mod rate_limit;
mod refusal;
mod said;
mod settling;

/// The methods, as `genquota.v1.QuotaService/Reserve` is one.
pub fn methods() -> [String; 2] {
    [format!("{}/ShouldRateLimit", rate_limit_service_server::SERVICE_NAME), format!("{}/Process", external_processor_server::SERVICE_NAME)]
}

impl Handlers {
    /// The services of Envoy.
    pub fn envoy_services(&self, bounds: Bounds) -> (RateLimitServiceServer<Self>, ExternalProcessorServer<Self>) {
        let bytes = bounds.message_bytes;
        (
            RateLimitServiceServer::new(self.clone()).max_decoding_message_size(bytes),
            ExternalProcessorServer::new(self.clone()).max_decoding_message_size(bytes),
        )
    }

    fn count(&self, filter: EnvoyFilter, result: EnvoyResult) {
        self.telemetry.metrics().asked_by_envoy(filter, result);
    }
}

/// An Envoy that calls, with what the layers in front know of it. Whatever is asked on its behalf is one of the calls below, so that each
/// subject it names is checked where every caller's is.
#[derive(Clone)]
struct Caller {
    handlers: Handlers,
    extensions: Extensions,
}

impl Caller {
    fn of<T>(handlers: &Handlers, request: &Request<T>) -> Self {
        Self { handlers: handlers.clone(), extensions: request.extensions().clone() }
    }

    /// A call in the name of this caller.
    fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.extensions_mut() = self.extensions.clone();
        request
    }

    async fn reserve(&self, message: v1::ReserveRequest) -> Result<v1::ReserveResponse, Status> {
        Ok(QuotaService::reserve(&self.handlers, self.call(message)).await?.into_inner())
    }

    async fn retry(&self, message: v1::RetryRequest) -> Result<v1::RetryResponse, Status> {
        Ok(QuotaService::retry(&self.handlers, self.call(message)).await?.into_inner())
    }

    async fn commit(&self, message: v1::CommitRequest) -> Result<v1::CommitResponse, Status> {
        Ok(QuotaService::commit(&self.handlers, self.call(message)).await?.into_inner())
    }

    async fn release(&self, message: v1::ReleaseRequest) -> Result<v1::ReleaseResponse, Status> {
        Ok(QuotaService::release(&self.handlers, self.call(message)).await?.into_inner())
    }

    async fn extend(&self, message: v1::ExtendRequest) -> Result<v1::ExtendResponse, Status> {
        Ok(QuotaService::extend(&self.handlers, self.call(message)).await?.into_inner())
    }

    async fn record(&self, message: v1::RecordUsageRequest) -> Result<v1::RecordUsageResponse, Status> {
        Ok(QuotaService::record_usage(&self.handlers, self.call(message)).await?.into_inner())
    }
}
