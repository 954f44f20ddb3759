//! Prices of elsewhere: a public price table becomes a part of our price book, and two price books are compared.
//!
//! The table is the one that LiteLLM publishes, `model_prices_and_context_window.json`. Numbers are read as they are written, never through a
//! float. What our book cannot express is told field by field, never dropped in silence. Nothing is fetched; the command line hands in texts.
//! `docs/prices.md` has the mapping.

mod changes;
mod field;
mod import;
mod name;
mod number;
mod section;
mod table;

pub use changes::{Change, Changes, TargetChange};
pub use import::{Import, ImportError, LeftOut, ModeCount, Options, Tiers, Unmapped};
