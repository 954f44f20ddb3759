//! The export of a real ledger, played again: under its own catalog it is what it was, and under another one its documents still count.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bench::{CATALOG, genquota, run};

/// Serves a new store below a directory, runs commands against it, and exports what they left.
fn live(dir: &Path, commands: &[&str]) {
    std::fs::write(dir.join("old.yaml"), CATALOG).unwrap();
    let words = ["serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", "embedded:data", "--catalog", "old.yaml", "--json"];
    let mut server = genquota(dir, &words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let failed = commands.iter().find_map(|command| {
        let words: Vec<&str> = command.split(' ').chain(["--server", said["listen"][0].as_str().unwrap()]).collect();
        let (code, _, err) = run(dir, &words);
        (code != 0).then(|| format!("{command}: {err}"))
    });
    Command::new("kill").arg(server.id().to_string()).status().unwrap();
    server.wait().unwrap();
    assert_eq!(failed, None);
    let (code, _, err) = run(dir, &["store", "export", "embedded:data", "--to", "ledger.jsonl"]);
    assert_eq!(code, 0, "{err}");
}

fn replayed(dir: &Path, catalog: &str, more: &[&str]) -> Value {
    std::fs::write(dir.join("new.yaml"), catalog).unwrap();
    let words = [&["replay", "--events", "ledger.jsonl", "--catalog", "new.yaml", "--json"], more].concat();
    let (code, out, err) = run(dir, &words);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

const DAY: [&str; 16] = [
    "subject create acme",
    "subject subscribe acme --plan core --request-id s-1",
    "reserve acme --action image.generate --target fal/flux --count 4 --id r-1",
    "commit acme r-1 --count 3",
    "reserve acme --action video.generate --target google/veo --measure seconds=8 --id r-2",
    "release acme r-2 --outcome failed",
    "reserve acme --action video.generate --target google/veo --measure seconds=8 --id r-3",
    "release acme r-3 --outcome rejected",
    "reserve acme --action image.generate --target fal/flux --id r-4",
    "commit acme r-4 --billed-cost 0.07",
    // Never refused, whatever is left: 6 of 10 are, and 8 are asked.
    "record acme --id u-1 --action image.generate --target fal/flux --count 8",
    "subject grant acme --id g-1 --meter credits --units 5 --kind promotional",
    "reserve acme --action image.generate --target fal/flux --count 5 --id r-5",
    "commit acme r-5",
    "subject grant acme --id g-2 --meter credits --units 1 --kind promotional",
    "reserve acme --action image.generate --target fal/flux --id r-6",
];

#[test]
fn under_its_own_catalog_a_ledger_is_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    live(dir.path(), &DAY);
    let replayed = replayed(dir.path(), CATALOG, &[]);
    let total = &replayed["total"];
    for (then, now) in [("unitsThen", "unitsNow"), ("overageThen", "overageNow"), ("costThen", "costNow")] {
        assert_eq!(total[then], total[now], "{replayed}");
    }
    assert_eq!((&total["attempts"], &total["unitsNow"], &total["costNow"]), (&json!(6), &json!("17"), &json!("4.71")), "{replayed}");
    assert_eq!((&replayed["denied"], &replayed["refused"], &replayed["from"]), (&json!([]), &json!([]), &json!("ledger")));
    let notes = replayed["notes"].to_string();
    assert!(
        notes.contains("1 reservations are still held") && notes.contains("1 attempts have a cost that the provider billed"),
        "{notes}"
    );
}

#[test]
fn grants_and_plans_of_a_ledger_count_under_another_catalog() {
    let dir = tempfile::tempdir().unwrap();
    live(dir.path(), &DAY);
    // With 3 a month: r-1 fits, the videos cost 4 and are denied, r-4 is denied, u-1 is booked all the same, and the grant pays r-5.
    let replayed = replayed(dir.path(), &CATALOG.replace("amount: 10,", "amount: 4,"), &[]);
    let denied = &replayed["denied"];
    assert_eq!(
        (denied.as_array().unwrap().len(), &denied[0]["count"], &denied[0]["firstReason"]),
        (1, &json!(2), &json!("QUOTA_EXHAUSTED")),
        "{replayed}"
    );
    let total = &replayed["total"];
    assert_eq!((&total["notMade"], &total["unitsNow"], &total["overageNow"]), (&json!(2), &json!("17"), &json!("8")), "{replayed}");
    let replayed = self::replayed(dir.path(), &CATALOG.replace("amount: 10,", "amount: 4,"), &["--plan", "core=team"]);
    assert_eq!((&replayed["denied"], &replayed["total"]["overageNow"]), (&json!([]), &json!("0")), "{replayed}");
}

#[test]
fn a_ledger_that_was_cut_off_is_no_file_of_events() {
    let dir = tempfile::tempdir().unwrap();
    live(dir.path(), &DAY[..4]);
    let text = std::fs::read_to_string(dir.path().join("ledger.jsonl")).unwrap();
    let cut: String = text.lines().take(4).map(|line| format!("{line}\n")).collect();
    std::fs::write(dir.path().join("ledger.jsonl"), cut).unwrap();
    let (code, _, err) = run(dir.path(), &["replay", "--events", "ledger.jsonl", "--catalog", "old.yaml"]);
    assert!(code == 64 && err.contains("the file is cut off after line 4"), "{err}");
}
