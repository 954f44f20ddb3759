//! Subscriptions as a whole: random stories of them, put to the service and to a reference that recomputes everything from what happened.
//!
//! The reference is written from the product's rules (P2 to P9, P11 to P15, L3) and shares no code with the program. Beside it stands a
//! promise that knows no formula: no story yields more than the best plan held in a period, plus what was bought.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod bench;
mod calendar;
#[path = "../lab/mod.rs"]
mod lab;
mod life;
mod memory;
mod plans;
mod promise;
mod random;
mod reference;
mod steps;
mod story;
