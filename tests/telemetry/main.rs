//! What a real sidecar tells, read back from where it is told: a collector of OpenTelemetry, Prometheus and its tool, and the document.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod collector;
mod document;
mod files;
#[path = "../lab/mod.rs"]
mod lab;
mod otlp;
mod prometheus;
#[expect(dead_code, reason = "each crate uses its own part of it")]
#[path = "../served/mod.rs"]
mod served;
mod sidecar;
