//! Prices from a public table, two catalogs compared, and past traffic under another catalog: the rules with their numbers, and the commands by
//! the real binary.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod bench;
mod changes;
mod commands;
mod events;
mod ledger;
mod replay;
mod table;
