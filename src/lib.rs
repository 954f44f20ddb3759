pub mod config;
pub mod domain;
pub mod http;
pub mod proto;
pub mod shutdown;
pub mod telemetry;
