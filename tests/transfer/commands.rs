//! `genquota store export` and `import`, by the real binary: the commands that the documentation shows, a process that is killed, and how
//! what is wrong is told.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use genquota::clock::ManualClock;

use crate::fixtures::start;
use crate::lab::{Kind, PATIENCE, Server, Settings};
use crate::life::live;
use crate::shelf::{assert_same, embedded, told};

/// The binary in a directory, with no variable of this process.
fn genquota(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(words).current_dir(dir).env_clear().env("HOME", dir);
    command
}

fn run(dir: &Path, words: &[&str]) -> Output {
    genquota(dir, words).output().unwrap()
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn fails(output: &Output, code: i32, words: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code) && told.contains(words), "{:?}, and not {words:?}: {told}", output.status);
}

/// A ledger in `data` below a directory.
async fn with_data(dir: &Path, subjects: usize) {
    let clock = Arc::new(ManualClock::at(start()));
    let store = embedded(&dir.join("data"), &clock);
    live(&store, &clock, subjects).await;
}

fn server() -> Server {
    Server::start(Kind::Redis7, Settings::default())
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

#[tokio::test]
async fn the_commands_of_the_documentation_move_a_ledger() {
    let dir = tempfile::tempdir().unwrap();
    with_data(dir.path(), 5).await;
    let server = server();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Moving a ledger")).unwrap();
    let blocks = section.split("```sh\n").skip(1).flat_map(|rest| rest.split("```").next().unwrap().lines());
    let mut count = 0;
    for line in blocks {
        let line = line.replace("redis://127.0.0.1:6379", &server.url());
        let words: Vec<&str> = line.split_whitespace().collect();
        let [program, words @ ..] = words.as_slice() else { panic!("{line}") };
        assert_eq!(*program, "genquota", "{line}");
        succeeds(&run(dir.path(), words));
        count += 1;
    }
    assert_eq!(count, 3);
    assert_same(&read(dir.path(), "ledger.jsonl"), &read(dir.path(), "moved.jsonl"));
}

#[tokio::test]
async fn a_summary_says_what_was_moved() {
    let dir = tempfile::tempdir().unwrap();
    with_data(dir.path(), 4).await;
    let server = server();
    let url = server.url();
    let exported = run(dir.path(), &["store", "export", "embedded:data", "--to", "a.jsonl", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&succeeds(&exported)).unwrap();
    assert_eq!((&summary["counts"]["subjects"], &summary["changed"]), (&serde_json::json!(4), &serde_json::json!(false)));
    // No terminal: lines instead of a bar.
    let lines = read(dir.path(), "a.jsonl").lines().count();
    assert!(String::from_utf8_lossy(&exported.stderr).contains(&format!("exporting: {lines} lines")), "{exported:?}");
    assert!(!dir.path().join("a.jsonl.part").exists());

    let mut summaries = Vec::new();
    for _ in 0..2 {
        let text = succeeds(&run(dir.path(), &["store", "import", &url, "--from", "a.jsonl", "--json", "--redis-partitions", "8"]));
        summaries.push(serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }
    let all = told(&read(dir.path(), "a.jsonl")).len();
    assert_eq!((&summaries[0]["written"], &summaries[0]["known"]), (&serde_json::json!(all), &serde_json::json!(0)));
    assert_eq!((&summaries[1]["written"], &summaries[1]["known"]), (&serde_json::json!(0), &serde_json::json!(all)));
    let again = succeeds(&run(dir.path(), &["store", "import", &url, "--from", "a.jsonl"]));
    assert!(again.contains(&format!("0 lines written, {all} already there")), "{again}");

    // Through pipes, from a server to a directory.
    let out = run(dir.path(), &["store", "export", &url, "--to", "-"]);
    let piped = succeeds(&out);
    assert_same(&read(dir.path(), "a.jsonl"), &piped);
    let mut import = genquota(dir.path(), &["store", "import", "embedded:other", "--from", "-"]);
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(piped.as_bytes()).unwrap();
    let text = succeeds(&import.wait_with_output().unwrap());
    assert!(text.contains("0 already there") && text.contains("sums of costs"), "{text}");
    succeeds(&run(dir.path(), &["store", "export", "embedded:other", "--to", "b.jsonl"]));
    assert_same(&piped, &read(dir.path(), "b.jsonl"));
}

#[tokio::test]
async fn an_import_that_is_killed_is_completed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    with_data(dir.path(), 60).await;
    let server = server();
    let url = server.url();
    succeeds(&run(dir.path(), &["store", "export", "embedded:data", "--to", "a.jsonl"]));
    let file = read(dir.path(), "a.jsonl");
    let half: String = file.lines().take(file.lines().count() / 2).flat_map(|line| [line, "\n"]).collect();

    let mut import = genquota(dir.path(), &["store", "import", &url, "--from", "-"]);
    let mut import = import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = import.stdin.take().unwrap();
    input.write_all(half.as_bytes()).unwrap();
    // It waits for more, and has written what came.
    let deadline = std::time::Instant::now() + PATIENCE;
    while server.command(&["KEYS", "*s:subject-*"]).lines().count() < 60 {
        assert!(std::time::Instant::now() < deadline, "the import writes nothing");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    import.kill().unwrap();
    import.wait().unwrap();
    drop(input);

    let refused = run(dir.path(), &["store", "export", &url, "--to", "half.jsonl"]);
    fails(&refused, 1, "hint: run `genquota store import` with the same file again");
    assert!(!dir.path().join("half.jsonl").exists() && !dir.path().join("half.jsonl.part").exists());
    let text = succeeds(&run(dir.path(), &["store", "import", &url, "--from", "a.jsonl", "--json"]));
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (written, known) = (summary["written"].as_u64().unwrap(), summary["known"].as_u64().unwrap());
    assert!(written > 0 && known >= 60 && written + known == told(&file).len() as u64, "{text}");
    succeeds(&run(dir.path(), &["store", "export", &url, "--to", "b.jsonl"]));
    assert_same(&file, &read(dir.path(), "b.jsonl"));
}

#[tokio::test]
async fn what_is_wrong_is_told_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    with_data(dir.path(), 2).await;
    let server = server();
    let url = server.url();
    let at = dir.path();
    succeeds(&run(at, &["store", "export", "embedded:data", "--to", "a.jsonl"]));
    let file = read(at, "a.jsonl");
    let lines = file.lines().count();
    std::fs::write(at.join("cut.jsonl"), &file[..file.len() - 9]).unwrap();
    std::fs::write(at.join("bad.jsonl"), file.replacen("\"catalog\"", "\"catalogue\"", 1)).unwrap();

    fails(&run(at, &["store", "export", "embedded:data", "--to", "a.jsonl"]), 64, "there is a file already");
    fails(&run(at, &["store", "export", "embedded:nowhere", "--to", "b.jsonl"]), 1, "there is no ledger to export");
    assert!(!at.join("nowhere").exists() && !at.join("b.jsonl").exists());
    fails(&run(at, &["store", "export", &url, "--to", "b.jsonl"]), 1, "no instance `default`");
    fails(&run(at, &["store", "export", "memory:", "--to", "b.jsonl"]), 64, "keeps nothing");
    fails(&run(at, &["store", "import", &url, "--from", "cut.jsonl"]), 1, &format!("cut off after line {}", lines - 1));
    fails(&run(at, &["store", "import", &url, "--from", "bad.jsonl"]), 1, "line 2: ");
    fails(&run(at, &["store", "import", &url, "--from", "none.jsonl"]), 1, "cannot read `none.jsonl`");
    fails(&run(at, &["store", "import", &url, "--from", "a.jsonl", "--instance", "other"]), 64, "`--instance default`");
    assert_eq!(server.command(&["DBSIZE"]), "0", "nothing of all that changed anything");
    let told = run(at, &["store", "import", &url, "--from", "cut.jsonl", "--json"]);
    let error: serde_json::Value =
        serde_json::from_slice(told.stderr.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap()).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("cut off"), "{error}");
}
