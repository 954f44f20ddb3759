//! Every way in which a file comes to say something else.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::sidecar::{Sidecar, WATCHED, directory, edition};

#[test]
fn a_file_that_is_written_renamed_over_or_made_anew_is_taken_up() {
    let sidecar = Sidecar::start(WATCHED, &edition("first", 10));
    sidecar.is_under("first");
    let loaded = sidecar.metric("genquota_catalog_loaded_seconds");
    sidecar.write(edition("written", 11));
    sidecar.is_under("written");
    assert!(sidecar.metric("genquota_catalog_loaded_seconds") > loaded);
    sidecar.replace(edition("renamed", 12));
    sidecar.is_under("renamed");
    fs::remove_file(sidecar.file()).unwrap();
    sidecar.is_told("catalog_unreadable", "renamed");
    sidecar.write(edition("anew", 13));
    sidecar.is_under("anew");
    // As long and as old as before.
    let modified = fs::metadata(sidecar.file()).unwrap().modified().unwrap();
    sidecar.write(edition("same", 13));
    fs::File::options().write(true).open(sidecar.file()).unwrap().set_modified(modified).unwrap();
    sidecar.is_under("same");
    assert_eq!((sidecar.reloads("ok"), sidecar.reloads("rejected")), (4.0, 0.0));
}

/// As Kubernetes replaces a ConfigMap: the file is a link through a link to a directory, and that link is swapped.
#[test]
fn a_swapped_link_of_a_directory_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    directory(&dir.path().join("..2026_01"), &edition("january", 10));
    directory(&dir.path().join("..2026_02"), &edition("february", 10));
    symlink("..2026_01", dir.path().join("..data")).unwrap();
    symlink("..data/catalog.yaml", dir.path().join("catalog.yaml")).unwrap();
    let sidecar = Sidecar::start_in(dir, WATCHED, "catalog.yaml");
    sidecar.is_under("january");
    let at = |name: &str| sidecar.dir.path().join(name);
    symlink("..2026_02", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..2026_01")).unwrap();
    sidecar.is_under("february");
    // A link to nothing is no catalog.
    fs::remove_file(at("..data")).unwrap();
    sidecar.is_told("catalog_unreadable", "february");
    symlink("..2026_02", at("..data")).unwrap();
    sidecar.is_under("february");
}

/// Each part but the whole is wrong by itself: whatever of it is looked at, it is never in force.
#[test]
fn a_file_written_in_pieces_is_taken_up_when_it_is_whole() {
    let sidecar = Sidecar::start(WATCHED, &edition("old", 10));
    let text = edition("new", 11);
    let mut file = fs::File::create(sidecar.file()).unwrap();
    for piece in text.as_bytes().chunks(text.len() / 40) {
        file.write_all(piece).unwrap();
        // Slow enough for several looks in all, and too quick for two looks to find the same.
        std::thread::sleep(Duration::from_millis(20));
        assert!(["old", "new"].contains(&sidecar.edition().as_str()));
    }
    sidecar.is_under("new");
}
