//! The rules that are data: the catalog's check, counting and prices, on the example catalogs.

#![expect(clippy::unwrap_used, reason = "helpers of tests may stop at the first thing that is not as they say")]

mod bench;
mod catalog_check;
mod counting;
mod envoy_check;
mod pricing;
mod schema;
mod succession;
