//! The ledger's rules, shown from outside by its public interface alone.
//!
//! Tables that read like a bank statement state every rule (`rules_*`, `answers`, `documents`); random operations are held against a
//! reference model (`random`, `model`); all orders of seven operations on one hold are tried (`permutations`). Every call of every test
//! goes through a [`bank::Bank`], which audits the invariants after it.

mod answers;
mod audit;
mod bank;
mod documents;
mod model;
mod permutations;
mod random;
mod requests;
mod rules_caps;
mod rules_refunds;
mod rules_settlement;
mod rules_sources;
mod rules_time;
mod statement;
