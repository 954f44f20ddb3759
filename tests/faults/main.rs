//! Faults of real servers. For now each piece of the lab is shown to do what it says.

#[path = "../lab/mod.rs"]
mod lab;

mod failover;
mod proxy;
mod servers;
