//! `CostService`: part of the contract, not served by this version.

use tonic::{Request, Response, Status};

use super::{Handlers, status};
use crate::proto::v1;
use crate::proto::v1::cost_service_server::CostService;

#[tonic::async_trait]
impl CostService for Handlers {
    type WatchCostsStream = tokio_stream::Empty<Result<v1::WatchCostsResponse, Status>>;

    async fn watch_costs(&self, _: Request<v1::WatchCostsRequest>) -> Result<Response<Self::WatchCostsStream>, Status> {
        Err(status::unimplemented("WatchCosts"))
    }

    async fn summarize_costs(&self, _: Request<v1::SummarizeCostsRequest>) -> Result<Response<v1::SummarizeCostsResponse>, Status> {
        Err(status::unimplemented("SummarizeCosts"))
    }

    async fn forecast_costs(&self, _: Request<v1::ForecastCostsRequest>) -> Result<Response<v1::ForecastCostsResponse>, Status> {
        Err(status::unimplemented("ForecastCosts"))
    }
}
