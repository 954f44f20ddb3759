//! The cost ledger: attempts and where they go (L7, L8), and what they come to in sums and ahead of time (C5, C7).

mod chains;
mod changes;
mod forecast;
mod policy;
mod sidecars;
mod summary;
mod unknown;

use crate::stores::NOON;
