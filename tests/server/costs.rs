//! The cost ledger: attempts and where they go (L7, L8), and what they come to in sums and ahead of time (C5, C7).

mod chains;
mod changes;
mod forecast;
mod policy;
mod sidecars;
pub(crate) mod stores;
mod summary;
mod unknown;

const NOON: &str = "2026-03-10T12:00:00Z";
