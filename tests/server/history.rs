//! What a subject used, in sums, and what it asked for, generation by generation.

mod generations;
mod pages;
mod usage;
