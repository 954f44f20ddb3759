//! genquota: a quota-enforcement sidecar for generative media.
//!
//! The way in and out of a call, downwards: [`grpc`] converts, [`service`] looks and judges with [`domain`], [`store`] decides in one atomic
//! step. [`app`] wires them, [`cli`] starts them or talks to them; [`client`] is what a gateway builds, alone if it likes.
//! `docs/architecture.md` has the whole picture.

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "client")]
pub mod address;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod catalog;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod domain;
#[cfg(feature = "server")]
pub mod events;
#[cfg(feature = "server")]
pub mod grpc;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "client")]
pub mod journal;
#[cfg(feature = "client")]
pub mod medium;
#[cfg(feature = "server")]
pub mod prices;
pub mod proto;
#[cfg(feature = "server")]
pub mod service;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod traffic;
#[cfg(feature = "server")]
pub mod yaml;
