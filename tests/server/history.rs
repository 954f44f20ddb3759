//! What a subject used, in sums, and what it asked for, generation by generation.

use crate::costs::stores;

mod generations;
mod pages;
mod usage;
