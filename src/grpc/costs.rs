//! `CostService`: part of the contract. This version serves none of its calls; they answer UNIMPLEMENTED.

use super::Handlers;
use crate::proto::v1::cost_service_server::CostService;

#[tonic::async_trait]
impl CostService for Handlers {}
