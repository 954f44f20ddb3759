//! `genquota prices import`, `prices diff` and `replay`, by the real binary.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bench::{CATALOG, genquota, image, lines, run};

const TABLE: &str = r#"{
"fal_ai/flux": {"litellm_provider": "fal_ai", "mode": "image_generation", "output_cost_per_image": 4e-02},
"gpt": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-07, "input_cost_per_token_flex": 1e-07},
"free": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0}
}"#;

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn events(dir: &Path) {
    let at = |day: u32| image("acme", &format!("r-{day}"), &format!("2026-03-{day:02}T10:00:00Z"), &format!("2026-03-{day:02}T10:00:05Z"));
    // The last is out of the span of 30 days that ends with the newest.
    let old = image("acme", "old", "2026-01-02T10:00:00Z", "2026-01-02T10:00:05Z");
    write(dir, "events.jsonl", &lines(&[old, at(2), at(3), at(4)]));
}

#[test]
fn an_import_writes_the_section_to_stdout_and_the_account_to_stderr() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "table.json", TABLE);
    let (code, out, err) = run(dir.path(), &["prices", "import", "table.json", "--tier", "basic", "--tier", "premium=openai/*"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("# currency: USD\n") && out.contains("model: gpt\n    tier: premium\n"), "{out}");
    assert!(out.contains("model: flux\n    tier: basic\n    components:\n      - {per: output, price: 0.04}\n"), "{out}");
    for part in ["3 models: 2 mapped to 2 targets, 1 not mapped", "1  has no price above 0", "1  a class of service", "hint: `--verbose`"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    let (_, _, err) = run(dir.path(), &["prices", "import", "table.json", "--verbose"]);
    assert!(
        err.contains("  free: has no price above 0\n") && err.contains("gpt: `input_cost_per_token_flex`: a class of service"),
        "{err}"
    );
}

#[test]
fn an_import_as_json_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "table.json", TABLE);
    let (code, out, err) = run(dir.path(), &["prices", "import", "table.json", "--json"]);
    assert_eq!((code, err.as_str(), out.lines().count()), (0, "", 1));
    let account: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&account["models"], &account["mapped"], &account["aside"]), (&json!(3), &json!(2), &json!(0)));
    assert_eq!(account["modes"]["chat"], json!({"models": 2, "mapped": 1, "unmapped": 1}));
    assert_eq!(account["unmapped"], json!([{"model": "free", "mode": "chat", "reason": "has no price above 0", "detail": ""}]));
    assert_eq!(account["leftOut"], json!([{"model": "gpt", "field": "input_cost_per_token_flex", "reason": "a class of service"}]));
    assert!(account["section"].as_str().unwrap().contains("prices:\n"));
}

#[test]
fn a_file_that_is_no_table_and_flags_that_make_no_sense_exit_64() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "table.json", TABLE);
    write(dir.path(), "broken.json", "{\"a\": {\"litellm_provider\": \"p\"},\n  nonsense");
    write(dir.path(), "other.json", "{\"a\": {}}");
    for (words, part) in [
        ("broken.json", "`broken.json`: not a price table of LiteLLM: key must be a string at line 2 column 3"),
        ("other.json", "no entry has a `litellm_provider`"),
        ("missing.json", "cannot read `missing.json`"),
        ("table.json --mode video", "no model has the mode `video`"),
        ("table.json --tier a=b=c/x --tier é", "`é` is not a name"),
        ("table.json --from soon", "`--from soon`: write `2026-02-25T12:00:00Z` or `2026-02-25`"),
        ("table.json --assume output_tokens=-1", "`--assume output_tokens`: must be a plain decimal"),
        ("table.json --currency dollars", "`--currency dollars`: write a code such as `USD`"),
    ] {
        let words: Vec<&str> = ["prices", "import"].into_iter().chain(words.split(' ')).collect();
        let (code, out, err) = run(dir.path(), &words);
        assert_eq!((code, out.as_str()), (64, ""), "{words:?}: {err}");
        assert!(err.contains(part), "{words:?}: {err}");
    }
}

#[test]
fn a_diff_tells_what_changed_and_what_it_means_for_the_last_thirty_days() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "old.yaml", CATALOG);
    write(dir.path(), "new.yaml", &CATALOG.replace("price: 0.04", "price: 0.05"));
    events(dir.path());
    let (code, out, err) = run(dir.path(), &["prices", "diff", "old.yaml", "new.yaml"]);
    assert_eq!(code, 0, "{err}");
    let row = out.lines().find(|line| line.starts_with("fal/flux")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["fal/flux", "changed", "output", "0.04", "0.05"]);
    let (_, out, _) = run(dir.path(), &["prices", "diff", "old.yaml", "new.yaml", "--events", "events.jsonl"]);
    assert!(out.contains("3 attempts since 2026-02-02T10:00:05Z, costs in USD"), "{out}");
    let row = out.lines().find(|line| line.starts_with("fal ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["fal", "flux", "basic", "3", "0.12", "0.12", "0.15", "0.03"]);
    let words =
        ["prices", "diff", "old.yaml", "new.yaml", "--events", "events.jsonl", "--since", "2026-01-01", "--until", "2026-03-04", "--json"];
    let (_, out, _) = run(dir.path(), &words);
    let diff: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(diff["targets"][0]["components"], json!([{"from": null, "component": "output", "old": "0.04", "new": "0.05"}]));
    let expected = json!({"attempts": 3, "billed": 0, "booked": "0.12", "old": "0.12", "new": "0.15", "difference": "0.03", "newlyUnpriced": 0, "newlyPriced": 0, "unpriced": 0});
    assert_eq!(diff["events"]["total"], expected);
}

#[test]
fn a_diff_of_the_same_prices_says_so_and_two_currencies_are_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "old.yaml", CATALOG);
    write(dir.path(), "euro.yaml", &CATALOG.replace("version: old\n", "currency: EUR\n"));
    let (code, out, _) = run(dir.path(), &["prices", "diff", "old.yaml", "old.yaml"]);
    assert!(code == 0 && out.contains("the prices are the same"), "{out}");
    let (code, _, err) = run(dir.path(), &["prices", "diff", "old.yaml", "euro.yaml"]);
    assert!(code == 64 && err.contains("those of OLD are in USD, those of NEW in EUR"), "{err}");
}

#[test]
fn a_replay_tells_units_costs_and_who_is_denied() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "new.yaml", &CATALOG.replace("amount: 10,", "amount: 2,").replace("price: 0.04", "price: 0.05"));
    events(dir.path());
    let (code, out, err) = run(dir.path(), &["replay", "--events", "events.jsonl", "--catalog", "new.yaml"]);
    assert_eq!(code, 0, "{err}");
    let row = out.lines().find(|line| line.starts_with("image.generate")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["image.generate", "core", "fal/flux", "4", "1", "4", "3", "0.16", "0.15"]);
    let row = out.lines().find(|line| line.starts_with("acme")).unwrap();
    assert!(row.contains("2026-03-04T10:00:00Z") && row.contains("QUOTA_EXHAUSTED"), "{row}");
    for part in ["would have been denied: 1 reservations of 1 subjects", "without grants", "who of them would pass now is not known"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, out, _) = run(dir.path(), &["replay", "--events", "events.jsonl", "--catalog", "new.yaml", "--plan", "core=team", "--json"]);
    let replayed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&replayed["total"]["unitsNow"], &replayed["denied"]), (&json!("4"), &json!([])));
    assert_eq!(replayed["from"], "events");
}

#[test]
fn events_come_through_a_pipe_too() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "new.yaml", CATALOG);
    events(dir.path());
    let input = std::fs::File::open(dir.path().join("events.jsonl")).unwrap();
    let output =
        genquota(dir.path(), &["replay", "--events", "-", "--catalog", "new.yaml", "--json"]).stdin(Stdio::from(input)).output().unwrap();
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(replayed["total"]["attempts"], 4);
}

#[test]
fn bad_lines_and_bad_catalogs_exit_64_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "new.yaml", CATALOG);
    write(dir.path(), "bad.yaml", "catalog: genquota/v1\n");
    write(dir.path(), "bad.jsonl", "{}\n");
    events(dir.path());
    for (words, part) in [
        ("replay --events bad.jsonl --catalog new.yaml", "`bad.jsonl` has lines that are no events\nline 1: no cost event"),
        ("replay --events events.jsonl --catalog bad.yaml", "bad.yaml"),
        ("replay --events missing.jsonl --catalog new.yaml", "cannot read `missing.jsonl`"),
        ("replay --events events.jsonl --catalog new.yaml --plan core=gone", "no plan `gone`"),
        ("prices diff new.yaml new.yaml --events bad.jsonl", "line 1: no cost event"),
        ("prices diff new.yaml bad.yaml", "bad.yaml"),
    ] {
        let (code, out, err) = run(dir.path(), &words.split(' ').collect::<Vec<_>>());
        assert_eq!((code, out.as_str()), (64, ""), "{words}: {err}");
        assert!(err.contains(part), "{words}: {err}");
    }
}
