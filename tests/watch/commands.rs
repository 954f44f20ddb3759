//! `genquota costs ...`, by the real binary.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::ask::images;
use crate::catalogs::monthly;
use crate::harness::{Server, Setup, eventually};

const NOON: &str = "2026-03-01T12:00:00Z";

fn genquota(server: &str, dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(words).args(["--server", server]).current_dir(dir).env_clear().env("HOME", "/users/somebody");
    command
}

fn costs(server: &str, dir: &Path, words: &[&str]) -> Command {
    genquota(server, dir, &[&["costs"], words].concat())
}

async fn run(server: &Server, dir: &Path, words: &[&str]) -> Output {
    output(costs(&server.listen[0].to_string(), dir, words)).await
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The real command at work. It does not outlive its test.
struct Watching {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Watching {
    fn start(server: &str, dir: &Path, words: &[&str]) -> Self {
        let mut child = costs(server, dir, words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    async fn line(mut self) -> (Self, String) {
        let read = move || {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            (self, line.trim_end().to_owned())
        };
        tokio::time::timeout(crate::harness::PATIENCE, tokio::task::spawn_blocking(read)).await.unwrap().unwrap()
    }

    async fn json(self) -> (Self, serde_json::Value) {
        let (watching, line) = self.line().await;
        (watching, serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}")))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_exported_as_a_cloud_event_and_as_a_row_of_focus() {
    let server = Server::start(&monthly("1000"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (used, shifted) = (images(2).label("campaign", "a,b"), images(1).at("lab/big").planned("lab/small"));
    acme.used(&used).await;
    acme.used(&shifted).await;
    let dir = tempfile::tempdir().unwrap();

    let lines = text(&run(&server, dir.path(), &["export", "--format", "cloudevents", "--instance", "main"]).await);
    let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    let (id, data) = (format!("acme|{}|2", used.key()), &events[0]["data"]);
    assert_eq!((events[0]["id"].as_str(), events[0]["source"].as_str()), (Some(&*id), Some("genquota/main")));
    assert_eq!((data["eventId"].as_str(), data["attempt"]["cost"].as_str()), (Some(&*id), Some("0.02")));
    assert_eq!(data.get("cursor"), None);

    run(&server, dir.path(), &["export", "--format", "focus", "--out", "costs.csv"]).await;
    let mut table = csv::Reader::from_path(dir.path().join("costs.csv")).unwrap();
    let header = table.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| rows[row].get(header.iter().position(|column| column == name).unwrap()).unwrap().to_owned();
    assert_eq!((rows.len(), cell(0, "BilledCost"), cell(1, "x_CostShift")), (2, "0.02".to_owned(), "0.03".to_owned()));
    assert_eq!(cell(0, "Tags"), r#"{"campaign":"a,b"}"#);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

    let none = ["export", "--format", "cloudevents", "--since", "2026-03-01T12:00:01Z"];
    assert_eq!(text(&run(&server, dir.path(), &none).await), "");
    let all = ["export", "--format", "cloudevents", "--since", NOON, "--until", "2026-03-02"];
    assert_eq!(text(&run(&server, dir.path(), &all).await).lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_prints_what_happens_in_each_form() {
    let server = Server::start(&monthly("1000"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    let (dir, address) = (tempfile::tempdir().unwrap(), server.listen[0].to_string());
    let (_json, event) = Watching::start(&address, dir.path(), &["watch", "--from-start", "--json"]).json().await;
    assert_eq!(event["subject"], "acme");
    let (csv, header) = Watching::start(&address, dir.path(), &["watch", "--from-start", "--csv"]).line().await;
    assert!(header.starts_with("event_id,event_time,subject,"), "{header}");
    assert!(csv.line().await.1.contains(",lab,small,basic,1,FIRST,ACCEPTED,units,1,0,USD,0.01,"));
    let (_lines, line) = Watching::start(&address, dir.path(), &["watch", "--from-start"]).line().await;
    assert_eq!(line, "2026-03-01T12:00:00Z  acme  image  lab/small  basic  accepted  0.01 USD");
    let filtered = ["watch", "--from-start", "--json", "--outcome", "accepted", "--outcome", "failed", "--model", "small"];
    let (_filtered, event) = Watching::start(&address, dir.path(), &filtered).json().await;
    assert_eq!(event["attempt"]["target"]["model"], "small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_with_a_cursor_file_goes_on_where_it_was_killed_and_over_a_restart_of_the_server() {
    let place = Setup::new(&monthly("1000"), NOON).embedded().with("listen", &["unix:watch.sock"]);
    let path = place.path("watch.sock");
    let place = place.with("listen", &[&format!("unix:{}", path.display())]);
    let server = place.start().await;
    let (dir, address) = (tempfile::tempdir().unwrap(), server.listen[0].to_string());
    let words = ["watch", "--from-start", "--json", "--cursor-file", "cursor"];
    let acme = server.customer("acme", "pro").await;
    let (first, second, third) = (images(1), images(1), images(1));
    acme.used(&first).await;
    let (watching, event) = Watching::start(&address, dir.path(), &words).json().await;
    assert_eq!(event["reservationId"], first.key());
    // The server goes and comes back; the watcher stays.
    drop(acme);
    server.begin_stop();
    server.stopped().await.unwrap();
    let server = place.start().await;
    server.stranger("acme").used(&second).await;
    let (watching, event) = watching.json().await;
    assert_eq!(event["reservationId"], second.key());
    let cursor = event["cursor"].as_str().unwrap().to_owned();
    eventually("the cursor is kept", async || {
        let kept = std::fs::read_to_string(dir.path().join("cursor")).ok()?;
        (kept.trim() == cursor).then_some(())
    })
    .await;
    drop(watching);
    server.stranger("acme").used(&third).await;
    // At least once: what was not written down is told again, and nothing is left out.
    let mut watching = Watching::start(&address, dir.path(), &words);
    loop {
        let (again, event) = watching.json().await;
        watching = again;
        if event["reservationId"] == third.key() {
            break;
        }
        assert_eq!(event["reservationId"], second.key(), "what was written down is not told again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_a_summary_and_a_forecast_tell_what_happened() {
    let server = Server::start(&monthly("1000"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (dir, address) = (tempfile::tempdir().unwrap(), server.listen[0].to_string());
    let ask = images(2);
    acme.held(&ask).await;
    let again = ["retry", "acme", ask.key(), "--attempt", "1", "--outcome", "rejected", "--target", "lab/big"];
    let told = text(&output(genquota(&address, dir.path(), &again)).await);
    assert!(told.contains("lab/big") && told.contains("rejected"), "{told}");
    let json: serde_json::Value =
        serde_json::from_str(&text(&output(genquota(&address, dir.path(), &[&again[..], &["--json"]].concat())).await)).unwrap();
    assert_eq!((&json["replayed"], json["reservation"]["attempts"].as_array().unwrap().len()), (&true.into(), 2));
    acme.committed(ask.key()).await;

    let csv = text(&run(&server, dir.path(), &["summary", "--csv", "--by", "subject"]).await);
    let mut table = csv::Reader::from_reader(csv.as_bytes());
    let header = table.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    let cell = |row: usize, name: &str| rows[row].get(header.iter().position(|column| column == name).unwrap()).unwrap().to_owned();
    let models = [cell(0, "model"), cell(1, "model")];
    assert_eq!((rows.len(), models), (2, ["big".to_owned(), "small".to_owned()]));
    assert_eq!(
        ["subject", "attempts", "accepted_outputs", "failovers", "cost", "cost_shift"].map(|name| cell(0, name)),
        ["acme", "1", "2", "1", "0.08", "0.06"]
    );
    let shown = text(&run(&server, dir.path(), &["summary"]).await);
    assert!(shown.lines().any(|line| line.split_whitespace().collect::<Vec<_>>()[..2] == ["lab/small", "basic"]), "{shown}");

    let forecast = ["forecast", "--action", "image", "--target", "lab/big", "--count", "2", "--actions", "1000"];
    let shown = text(&run(&server, dir.path(), &forecast).await);
    assert!(shown.contains("80 USD per month") && shown.contains("1 attempts"), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&text(&run(&server, dir.path(), &[&forecast[..], &["--json"]].concat()).await)).unwrap();
    assert_eq!(json["monthlyCost"], "80");
    let unknown =
        run(&server, dir.path(), &["forecast", "--action", "none", "--target", "lab/big", "--count", "1", "--actions", "1"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("action"));
}

#[tokio::test]
async fn an_expired_cursor_is_a_failure_that_names_the_next_step() {
    let server = setup_with_few_events().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    let stale = crate::watcher::history(&server.channel).await.remove(0).cursor;
    for _ in 0..8 {
        acme.used(&images(1)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = run(&server, dir.path(), &["watch", "--cursor", &stale]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("OUT_OF_RANGE: CURSOR_EXPIRED") && said.contains("oldest_cursor: `"), "{said}");
}

async fn setup_with_few_events() -> Server {
    Setup::new(&monthly("1000"), NOON).with("events.max", &["4"]).embedded().start().await
}

#[tokio::test]
async fn no_server_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let output = output(costs("unix:absent.sock", dir.path(), &["watch"])).await;
    assert_eq!(output.status.code(), Some(69));
}
