//! The ledger: accounts, reservations and the one step that changes them.
//!
//! A synchronous state machine with `now` as an argument. It is the specification: a store is this machine over a database, or a script
//! held to it by tests. It knows account keys, whole numbers, limits and order; it knows no plans, prices, meters or calendars.

mod account;
mod history;
mod row;
mod state;
mod take;
mod transaction;

pub use account::{Account, AccountKey, AccountKind};
pub use history::HistoryPlace;
pub use row::{Event, EventKind, Fingerprint, Leg, Row, State};
pub use state::{Changes, Ledger};
pub use transaction::{
    Answer, CapLeg, Carry, Correction, Denied, Done, Expected, Movement, Next, Refunding, Share, Side, Source, Step, Take, Transaction,
};
