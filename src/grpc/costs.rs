//! `CostService`: what observability and finance call.

use tonic::{Request, Response, Status};

use super::{Handlers, guard, status};
use crate::proto::v1;
use crate::proto::v1::cost_service_server::CostService;

mod sums;
mod watch;

#[tonic::async_trait]
impl CostService for Handlers {
    async fn watch_costs(&self, request: Request<v1::WatchCostsRequest>) -> Result<Response<watch::Updates>, Status> {
        let stay = guard::end_of_stay(request.extensions());
        let request = self.admitted(request)?;
        self.watch(&request, stay).await.map(Response::new)
    }

    async fn summarize_costs(&self, request: Request<v1::SummarizeCostsRequest>) -> Result<Response<v1::SummarizeCostsResponse>, Status> {
        let command = sums::read_summary(&self.admitted(request)?).map_err(status::of)?;
        let summary = self.service.summarize_costs(command).await.map_err(status::of)?;
        Ok(Response::new(sums::summary(&summary)))
    }

    async fn forecast_costs(&self, request: Request<v1::ForecastCostsRequest>) -> Result<Response<v1::ForecastCostsResponse>, Status> {
        let command = sums::read_forecast(&self.admitted(request)?).map_err(status::of)?;
        let forecast = self.service.forecast_costs(command).await.map_err(status::of)?;
        Ok(Response::new(sums::forecast(&forecast)))
    }
}
