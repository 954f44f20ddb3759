//! The wire types of `genquota.v1`, generated from `proto/` by the build.
//!
//! Owns the generated code, the descriptors that reflection reads, and how any message is JSON. Knows no single message: only `grpc`,
//! `client`, `cli`, `demo` and `traffic` may name these types.

#[cfg(feature = "server")]
mod json;

#[cfg(feature = "server")]
pub use json::{JsonError, json};

/// Messages, clients and servers of `genquota.v1`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    reason = "the generator writes them; an answer is decoded once and moved little"
)]
pub mod v1 {
    tonic::include_proto!("genquota.v1");
}

/// The encoded `FileDescriptorSet` of `genquota.v1` and of what it imports.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
