//! The five example catalogs, each with a day of its product and the product's own numbers.

mod agency;
mod avatars;
mod films;
mod prices;
mod stock;
