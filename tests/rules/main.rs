//! The rules that are data: the catalog's check, counting and prices, on the example catalogs.

mod catalog_check;
