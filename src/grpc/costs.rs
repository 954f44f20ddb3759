//! `CostService`: what observability and finance call.

use tonic::{Request, Response, Status};

use super::{Handlers, status};
use crate::proto::v1;
use crate::proto::v1::cost_service_server::CostService;

mod sums;
mod watch;

#[tonic::async_trait]
impl CostService for Handlers {
    async fn watch_costs(&self, request: Request<v1::WatchCostsRequest>) -> Result<Response<watch::Updates>, Status> {
        self.watch(&request.into_inner()).await.map(Response::new)
    }

    async fn summarize_costs(&self, request: Request<v1::SummarizeCostsRequest>) -> Result<Response<v1::SummarizeCostsResponse>, Status> {
        let command = sums::read_summary(&request.into_inner()).map_err(status::of)?;
        let summary = self.service.summarize_costs(command).await.map_err(status::of)?;
        Ok(Response::new(sums::summary(&summary)))
    }

    async fn forecast_costs(&self, request: Request<v1::ForecastCostsRequest>) -> Result<Response<v1::ForecastCostsResponse>, Status> {
        let command = sums::read_forecast(&request.into_inner()).map_err(status::of)?;
        let forecast = self.service.forecast_costs(command).await.map_err(status::of)?;
        Ok(Response::new(sums::forecast(&forecast)))
    }
}
