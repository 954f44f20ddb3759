//! The files of `examples/envoy`, by Envoy's own check and by ours.

use std::process::Command;

use genquota::catalog;

use crate::bench::example;
use crate::lab::Tool;

#[test]
fn envoy_takes_the_files_of_the_example() {
    for file in ["processor.yaml", "rate-limit.yaml"] {
        let checked = Command::new(Tool::Envoy.program())
            .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "warn", "--config-path"])
            .arg(example(file))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.ends_with("OK\n"), "{file}: {said}{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_catalog_of_the_example_is_valid_and_without_warnings() {
    let text = std::fs::read_to_string(example("catalog.yaml")).unwrap();
    let (catalog, problems) = catalog::check("catalog.yaml", &text);
    assert_eq!(problems.to_string(), "");
    let envoy = catalog.unwrap().envoy;
    assert_eq!((envoy.routes.len(), envoy.rate_limits["gateway"].len()), (3, 3));
}

#[test]
fn a_mapping_that_cannot_be_is_refused_with_its_place() {
    let text = std::fs::read_to_string(example("catalog.yaml")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("catalog.yaml");
    std::fs::write(&file, text.replace("action: text.message", "action: text.mesage")).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_genquota")).args(["catalog", "check"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(64), "{said}");
    let line = text.lines().position(|line| line.contains("action: text.message")).unwrap() + 1;
    assert!(said.contains(&format!(":{line}:17: envoy.processor.routes[2].action: unknown action: `text.mesage`")), "{said}");
    assert!(said.contains("hint: did you mean `text.message`?"), "{said}");
}
