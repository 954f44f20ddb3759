//! The rules that are data: the catalog's check, counting and prices, on the example catalogs.

mod bench;
mod catalog_check;
mod counting;
mod pricing;
mod schema;
