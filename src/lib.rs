pub mod domain;
pub mod clock;
pub mod store;
