//! What a catalog's check says, and where.

use genquota::catalog;

#[test]
fn the_bundled_catalog_is_valid_and_says_so_without_warnings() {
    let (catalog, problems) = catalog::check(catalog::BUNDLED_NAME, catalog::BUNDLED);
    assert_eq!(problems.to_string(), "");
    let catalog = catalog.unwrap();
    assert_eq!(catalog.plans.len(), 3);
    assert!(catalog.version.as_str().starts_with("2026-02."));
}
