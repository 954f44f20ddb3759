//! The real table of LiteLLM, as `tests/run.sh` fetches it: everything is mapped or told, and `docs/prices.md` has the counts.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::run;

/// The version that the counts are of: tests/prices/requirements.txt.
const TABLE: &str = "test-tools/litellm/litellm/model_prices_and_context_window_backup.json";

/// # Panics
/// If it is not there: a test that cannot run has not passed.
fn table() -> PathBuf {
    let from_cargo = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let build = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| from_cargo.to_owned(), |dir| root().join(dir));
    let table = build.join(TABLE);
    assert!(table.is_file(), "there is no `{}`\nhint: `tests/run.sh tables` fetches it", table.display());
    table
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the import says of the table, and the section it wrote.
fn imported(dir: &Path, more: &[&str]) -> (Value, String) {
    let table = table();
    let words = [&["prices", "import", table.to_str().unwrap(), "--json", "--out", "prices.yaml"], more].concat();
    let (code, out, err) = run(dir, &words);
    assert_eq!(code, 0, "{err}");
    (serde_json::from_str(&out).unwrap(), std::fs::read_to_string(dir.join("prices.yaml")).unwrap())
}

/// A table in markdown, one row for each mode, as the documentation has it.
fn as_markdown(account: &Value) -> String {
    let mut text = String::new();
    for (mode, count) in account["modes"].as_object().unwrap() {
        let name = if mode.is_empty() { "(none)".to_owned() } else { format!("`{mode}`") };
        text.push_str(&format!("| {name} | {} | {} | {} |\n", count["models"], count["mapped"], count["unmapped"]));
    }
    let unmapped = account["unmapped"].as_array().unwrap().len();
    text.push_str(&format!("| all | {} | {} | {unmapped} |\n", account["models"], account["mapped"]));
    text
}

#[test]
fn every_model_is_mapped_or_told_and_the_documentation_has_the_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (account, section) = imported(dir.path(), &[]);
    let counts = as_markdown(&account);
    println!("{counts}");
    let documentation = std::fs::read_to_string(root().join("docs/prices.md")).unwrap();
    assert!(documentation.contains(&counts), "docs/prices.md has other counts than these:\n{counts}");
    let number = |name: &str| account[name].as_u64().unwrap();
    assert_eq!(number("models"), 2252);
    assert_eq!(number("models"), number("mapped") + account["unmapped"].as_array().unwrap().len() as u64);
    assert_eq!(section.matches("  - provider: ").count() as u64, number("targets"));
    assert!(section.len() < 1 << 20, "{}", section.len());
    for left in account["leftOut"].as_array().unwrap() {
        assert_ne!(left["reason"], "an unknown field", "{left}");
    }
}

#[test]
fn the_documentation_has_every_reason_that_the_table_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (account, _) = imported(dir.path(), &[]);
    let documentation = std::fs::read_to_string(root().join("docs/prices.md")).unwrap();
    for told in account["unmapped"].as_array().unwrap().iter().chain(account["leftOut"].as_array().unwrap()) {
        let reason = told["reason"].as_str().unwrap();
        assert!(documentation.contains(reason), "docs/prices.md does not say: {reason}");
    }
}

#[test]
fn prices_come_out_exactly_as_the_table_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let (_, section) = imported(dir.path(), &["--mode", "image_generation,video_generation,audio_speech,audio_transcription,image_edit"]);
    for (target, parts) in [
        (
            "provider: openai\n    model: gpt-image-1\n",
            &["{per: output, price: 0.167, when: {quality: high, size: \"1024x1024\"}}", "{per: output, price: 0.042}"][..],
        ),
        // 2.0751953125e-09 in the table.
        (
            "provider: azure\n    model: gpt-image-1-mini\n",
            &["{per: pixels, price: 0.0000000020751953125, when: {quality: low, size: \"1024x1024\"}}"],
        ),
        ("provider: fal_ai\n    model: fal-ai/flux/schnell\n", &["{per: output, price: 0.003}"]),
        ("provider: runwayml\n    model: gen4_turbo\n", &["{per: seconds, price: 0.05}"]),
        // 15e-06 in the table.
        ("provider: azure\n    model: speech/azure-tts\n", &["{per: characters, price: 0.000015}"]),
        ("provider: openai\n    model: whisper-1\n", &["{per: seconds, price: 0.0001}"]),
    ] {
        let entry = section.split("\n  - ").find(|entry| entry.starts_with(target)).unwrap_or_else(|| panic!("no {target}"));
        for part in parts {
            assert!(entry.contains(part), "{entry}");
        }
    }
}

#[test]
fn the_section_is_valid_in_a_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let (account, section) = imported(dir.path(), &["--from", "2026-03-01", "--assume", "output_tokens=500"]);
    let declared = |what: &str| section.lines().find_map(|line| line.strip_prefix(&format!("# {what}: "))).unwrap().to_owned();
    let head = format!(
        "catalog: genquota/v1\nmeters: {{credits: {{}}}}\nactions:\n  any:\n    meter: credits\n    measures: {}\n    attributes: {{quality: {}, size: {}, \
         steps: {}}}\n    rules: [{{per: request, rate: 1}}]\n",
        declared("measures"),
        declared("attribute quality"),
        declared("attribute size"),
        declared("attribute steps"),
    );
    std::fs::write(dir.path().join("catalog.yaml"), head + &section).unwrap();
    let (code, out, err) = run(dir.path(), &["catalog", "check", "catalog.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("{} priced targets, 0 warnings", account["targets"])), "{out}");
}
