//! What bounds memory, whatever callers do.

use std::time::Duration;

/// What bounds memory, whatever callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request message.
    pub message_bytes: usize,
    /// Most calls in flight on one connection.
    pub streams_per_connection: u32,
    /// Most connections, all listeners together.
    pub connections: usize,
    /// How long a connection may last. None: for ever.
    pub connection_age: Option<Duration>,
    /// How long a connection may take until TLS is agreed on and the first bytes have come.
    pub opening: Duration,
    /// Most calls in flight, all connections together.
    pub calls: usize,
    /// Most transactions waiting for the store.
    pub queue: usize,
}

impl Limits {
    pub(super) fn defaults() -> Self {
        Self {
            message_bytes: 65_536,
            streams_per_connection: 256,
            connections: 1024,
            connection_age: None,
            opening: Duration::from_secs(10),
            calls: 8192,
            queue: 4096,
        }
    }
}
