//! The real Envoy between a client and a model, asking a real sidecar: the files of `examples/envoy`, with other ports and nothing else.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod admission;
mod bench;
mod descriptors;
mod exchanges;
mod files;
mod grpc;
#[path = "../lab/mod.rs"]
mod lab;
mod mapped;
mod outages;
mod rate_limits;
#[expect(dead_code, reason = "nothing here asks for health alone")]
#[path = "../served/mod.rs"]
mod served;
mod upstream;
