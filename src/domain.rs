//! The pure core: what a request counts, costs and may draw on, and the ledger that decides.
//!
//! No clock, no I/O, no async, no logging, no file format: `now` is an argument and every answer is a value.

pub mod adjustment;
pub mod administration;
pub mod alternative;
pub mod amount;
pub mod balance;
pub mod booking;
pub mod cap;
pub mod catalog;
pub mod charge;
pub mod condition;
pub mod counting;
pub mod denial;
pub mod entitlement;
pub mod envoy;
pub mod event;
pub mod failover;
pub mod filter;
pub mod history;
pub mod ids;
pub mod ledger;
pub mod overrides;
pub mod period;
pub mod plan;
pub mod preview;
pub mod price_book;
pub mod refund;
pub mod remedy;
pub mod report;
pub mod reservation;
pub mod retry;
pub mod settlement;
pub mod standing;
pub mod subject;
pub mod subscription;
pub mod summary;
pub mod timeline;
pub mod usage;
pub mod view;
pub mod work;
