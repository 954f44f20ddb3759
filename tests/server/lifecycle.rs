//! The life of a reservation (chapter 5), and its cost (chapter 6).

mod costs;
mod expiry;
mod partial;
mod quotes;
mod rates;
mod records;
mod refunds;
mod replays;
mod settlements;

const NOON: &str = "2026-03-10T12:00:00Z";
