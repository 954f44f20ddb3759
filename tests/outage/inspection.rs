//! `genquota journal`: the journal of a stopped sidecar, by the real binary.

use std::path::Path;
use std::process::Command;

use genquota::store::journal::Journal;

use crate::bench::Bench;
use crate::shaky::Weather;

/// Exit code, stdout and stderr.
fn genquota(words: &[&str], directory: &Path, numbers: &[String]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    let output = command.args(words).arg(directory).args(numbers).env_clear().output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn list(directory: &Path) -> Vec<serde_json::Value> {
    let (code, lines, errors) = genquota(&["journal", "list", "--json"], directory, &[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_person_sees_what_waits_and_what_is_dead_and_decides() {
    let mut bench = Bench::new().await;
    bench.store.set(Weather::Away);
    for id in ["a", "b"] {
        bench.commit("acme", id).await.unwrap();
    }
    bench.store.set(Weather::Fair);
    // Nobody knows these reservations.
    bench.replay().await;
    bench.store.set(Weather::Away);
    bench.release("acme", "c").await.unwrap();
    let dead: Vec<String> = bench.journal.dead().iter().map(|(number, _)| number.to_string()).collect();
    let directory = bench.directory();
    let place = directory.path();
    let (code, _, errors) = genquota(&["journal", "list"], place, &[]);
    assert_eq!(code, 1);
    assert!(errors.contains("in use by another process"), "{errors}");
    bench.stopped().await;

    let seen = list(place);
    let parts: Vec<_> = seen
        .iter()
        .map(|entry| (entry["state"].as_str().unwrap(), entry["what"].as_str().unwrap(), entry["reservation"].as_str().unwrap()))
        .collect();
    assert_eq!(parts, [("queued", "release", "c"), ("dead", "commit", "a"), ("dead", "commit", "b")]);
    assert!(seen[0].get("reason").is_none());
    assert!(seen[1]["reason"].as_str().unwrap().contains("not known"), "{}", seen[1]);
    let (_, table, _) = genquota(&["journal", "list"], place, &[]);
    assert!(table.contains("NUMBER") && table.contains("release"), "{table}");

    assert_eq!(genquota(&["journal", "retry"], place, &dead[..1]), (0, format!("queued again: {}\n", dead[0]), String::new()));
    assert_eq!(genquota(&["journal", "drop"], place, &dead[1..]).0, 0);
    let (code, _, errors) = genquota(&["journal", "drop"], place, &dead[1..]);
    assert_eq!(code, 1);
    assert!(errors.contains("hint: `genquota journal list`"), "{errors}");
    let left = Journal::open(place, 10).unwrap();
    let ids: Vec<String> = left.entries().iter().map(|(_, entry)| entry.id().to_string()).collect();
    assert_eq!(ids, ["c", "a"]);
    assert!(left.dead().is_empty());
}

#[test]
fn a_wrong_path_is_told_and_no_journal_is_made_there() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _, errors) = genquota(&["journal", "list"], directory.path(), &[]);
    assert_eq!(code, 64);
    assert!(errors.contains("no journal in"), "{errors}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
