//! A status code means that the question could not be answered: the table of the contract, and that nothing is changed.

mod fields;
mod ids;
mod limits;
mod states;

const NOON: &str = "2026-03-10T12:00:00Z";
