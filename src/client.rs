//! The client: from a connection to a sidecar up to a layer for a whole gateway. `docs/rust-client.md` tells it from the gateway's side.
//!
//! Owns the address of a server as users write it, what is shown to it, holds as values, and the settlements that no sidecar has heard of
//! yet. It decides nothing about quota, and repeats a call only with the ids and the payload it had. It knows no other part of the server:
//! a gateway builds it alone, with the feature `client`.

mod address;
mod ask;
mod connection;
mod connector;
mod error;
mod guard;
mod journal;
mod layer;
mod quota;
mod settler;

pub use self::address::{ServerAddress, ServerAddressError};
pub use self::ask::{Billing, Delivered, Request, Retry, Undelivered, Work};
pub use self::connection::Connection;
pub use self::connector::{ConnectError, Connector, Token, connect};
#[cfg(feature = "server")]
pub(crate) use self::error::reason_named;
pub use self::error::{Again, Error, Refusal};
pub use self::guard::{Guard, Retried, Settling};
pub use self::journal::{DeadLetter, Ending, Journal};
pub use self::layer::{Describe, End, QuotaLayer, QuotaService};
pub use self::quota::{Client, Decision, Options};
pub use self::settler::{Booking, Settled};
pub use crate::journal::{JournalError, OpenError};
pub use crate::proto::v1;

/// The guide for gateways, compiled with the documentation's other examples.
#[cfg(doctest)]
#[doc = include_str!("../docs/rust-client.md")]
struct Guide;
