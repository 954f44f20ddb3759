//! The pure core: what a request counts, costs and may draw on, and the ledger that decides.
//!
//! No clock, no I/O, no async, no logging, no file format: `now` is an argument and every answer is a value.

pub mod amount;
pub mod catalog;
pub mod condition;
pub mod counting;
pub mod ids;
pub mod ledger;
pub mod period;
pub mod plan;
pub mod price_book;
pub mod reservation;
pub mod subject;
pub mod work;
