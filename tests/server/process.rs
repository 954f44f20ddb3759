//! The server around the rules: listeners, health, reflection, bounds, load and the end.

mod drain;
mod listeners;
mod load;
mod outage;
mod overtaken;
mod probes;
mod racing;

const NOON: &str = "2026-03-10T12:00:00Z";
