//! Whatever is wrong with the file: the catalog before it stays in force, and log, health and metrics say so.

use std::fs;
use std::time::Duration;

use crate::sidecar::{Sidecar, WATCHED, edition};

#[test]
fn a_wrong_file_of_any_kind_keeps_the_catalog_and_is_told_once() {
    let sidecar = Sidecar::start(WATCHED, &edition("good", 10));
    sidecar.is_under("good");
    let broken = edition("bad", 10).replace("rate: 1", "rate: one");
    let (cut, less) = (edition("bad", 10), edition("less", 9));
    let huge = edition("bad", 10) + &"# filler\n".repeat(200_000);
    let wrong: [(&[u8], &str, &str); 7] = [
        (broken.as_bytes(), "catalog_rejected", "catalog.yaml:4:"),
        (b"", "catalog_rejected", "is empty"),
        (&cut.as_bytes()[..cut.len() / 2], "catalog_rejected", "catalog.yaml:"),
        (b"\xff\xfe\x00", "catalog_unreadable", "not UTF-8 at byte 0"),
        (huge.as_bytes(), "catalog_rejected", "is too large"),
        (b"password: hush", "catalog_rejected", "password"),
        (less.as_bytes(), "catalog_rejected", "plans.core.allowances.units: gives 9 instead of 10; hint: keep it"),
    ];
    for (number, (bytes, reason, said)) in wrong.iter().enumerate() {
        sidecar.replace(bytes);
        sidecar.is_told(reason, "good");
        let errors = sidecar.logged("ERROR");
        assert_eq!(errors.len(), number + 1, "{said}: {errors:?}");
        let told = errors[number].to_string();
        assert!(told.contains(said) && told.contains("\"in_force\":\"good."), "{said}: {told}");
        assert!(!sidecar.get("/readyz").1.contains("hush"));
        // It looks several times more, and has nothing to add; there is no sign to wait for.
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(sidecar.logged("ERROR").len(), number + 1, "{said}");
        // Between two wrong files a right one, so that each is news.
        sidecar.replace(edition("good", 10));
        sidecar.is_under("good");
    }
    assert_eq!((sidecar.reloads("rejected"), sidecar.reloads("unreadable")), (6.0, 1.0));
}

#[test]
fn a_file_that_is_gone_or_no_file_keeps_the_catalog() {
    let sidecar = Sidecar::start(WATCHED, &edition("good", 10));
    fs::remove_file(sidecar.file()).unwrap();
    sidecar.is_told("catalog_unreadable", "good");
    fs::create_dir(sidecar.file()).unwrap();
    crate::sidecar::until("the directory is told of", || (sidecar.logged("ERROR").len() == 2).then_some(()));
    assert!(sidecar.logged("ERROR")[1].to_string().contains("not a regular file"));
    sidecar.is_told("catalog_unreadable", "good");
    fs::remove_dir(sidecar.file()).unwrap();
    sidecar.write(edition("back", 10));
    sidecar.is_under("back");
}

#[test]
fn a_wrong_file_that_is_repaired_is_taken_up() {
    let sidecar = Sidecar::start(WATCHED, &edition("good", 10));
    sidecar.write("catalog: genquota/v2");
    sidecar.is_told("catalog_rejected", "good");
    sidecar.write(edition("less", 9));
    crate::sidecar::until("the second is told of", || (sidecar.logged("ERROR").len() == 2).then_some(()));
    sidecar.write(edition("more", 11));
    sidecar.is_under("more");
    assert_eq!((sidecar.reloads("ok"), sidecar.reloads("rejected")), (1.0, 2.0));
}
