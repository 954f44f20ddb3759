//! Traffic: attempts that have ended, read from files of events, and what another catalog would have made of them.
//!
//! Two kinds of file are read as one: cost events as JSON lines, and the export of a whole ledger. What is asked of them is asked of the
//! domain: prices of its price book, decisions of its ledger. Nothing here counts, prices or judges by itself, and nothing is written.

mod attempt;
mod cost;
mod read;
mod replay;
mod reprice;
mod wire;

pub use attempt::Attempted;
pub use cost::Sum;
pub use read::{CLOUD_EVENT_TYPE, LedgerFile, ReadError, Traffic, read};
pub use replay::{DeniedSubject, Replay, ReplayError, Replayed, Totals};
pub use reprice::{Repriced, RepricedRow};
