//! `CostService`: what observability and finance call.

use tonic::{Request, Response, Status};

use super::Handlers;
use crate::proto::v1;
use crate::proto::v1::cost_service_server::CostService;

mod watch;

#[tonic::async_trait]
impl CostService for Handlers {
    async fn watch_costs(&self, request: Request<v1::WatchCostsRequest>) -> Result<Response<watch::Updates>, Status> {
        self.watch(&request.into_inner()).await.map(Response::new)
    }
}
