//! Connecting to a sidecar, over TCP, TLS or a unix socket.
//!
//! Owns the address of a server as users write it, what is shown to it, and the deadlines of connecting and calling.

mod address;
mod connection;
mod connector;
mod error;

pub use self::address::{ServerAddress, ServerAddressError};
pub use self::connection::Connection;
pub use self::connector::{ConnectError, Connector, Token, connect};
