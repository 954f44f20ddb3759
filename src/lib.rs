//! genquota: a quota-enforcement sidecar for generative media.
//!
//! The way in and out of a call, downwards: [`grpc`] converts, [`service`] looks and judges with [`domain`], [`store`] decides in one atomic
//! step. [`app`] wires them, [`cli`] starts them or talks to them. `docs/architecture.md` has the whole picture.

pub mod access;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod events;
pub mod grpc;
pub mod http;
pub mod prices;
pub mod proto;
pub mod service;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod traffic;
pub mod yaml;
