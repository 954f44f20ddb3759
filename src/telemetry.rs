//! What the process tells about itself while it runs.
//!
//! Owns the set-up of logs. Never on the path of a decision: what cannot be told is dropped, not waited for.

pub mod logs;
