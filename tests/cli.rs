//! The command line, by the real binary: help, configuration, completions, and the client commands against a server that answers as told.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use genquota::proto::v1::quota_service_server::{QuotaService, QuotaServiceServer};
use genquota::proto::v1::{self, reserve_response};
use tokio::runtime::Runtime;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The binary in an empty directory with no variable of this process but the search path.
fn genquota(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(words).current_dir(dir).env_clear().env("HOME", "/users/somebody");
    command
}

fn run(words: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    genquota(dir.path(), words).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn help_of_every_command_goes_to_stdout_and_shows_examples() {
    for words in [
        "serve",
        "demo",
        "config",
        "catalog",
        "catalog check",
        "catalog explain",
        "catalog schema",
        "prices",
        "prices import",
        "prices diff",
        "replay",
        "reserve",
        "commit",
        "release",
        "extend",
        "retry",
        "refund",
        "record",
        "quote",
        "balance",
        "costs",
        "costs watch",
        "costs export",
        "costs summary",
        "costs forecast",
        "reservation",
        "usage",
        "generations",
        "store",
        "store check",
        "store accept-loss",
        "journal",
        "journal list",
        "journal retry",
        "journal drop",
        "store export",
        "store import",
        "subject",
        "subject create",
        "subject subscribe",
        "subject change-plan",
        "subject preview-change",
        "subject cancel",
        "subject seats",
        "subject add-on",
        "subject override",
        "subject suspend",
        "subject resume",
        "subject grant",
        "subject void-grant",
        "subject adjust",
        "subject show",
        "subject list",
        "subject audit",
        "completions",
    ] {
        let words: Vec<&str> = words.split(' ').chain(["--help"]).collect();
        let output = run(&words);
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{words:?}");
        assert!(stdout(&output).contains("Example"), "{words:?}");
    }
    assert!(stdout(&run(&["--version"])).starts_with(concat!("genquota ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_exits_64_and_says_so_on_stderr() {
    for words in [vec![], vec!["nonsense"], vec!["reserve"], vec!["config", "--nonsense"], vec!["balance", "acme", "--server", "ftp://x"]] {
        let output = run(&words);
        assert_eq!((code(&output), stdout(&output).as_str()), (64, ""), "{words:?}");
        assert!(!stderr(&output).is_empty(), "{words:?}");
    }
}

#[test]
fn merged_configuration_tells_where_each_value_came_from() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("genquota.yaml"), "reservation:\n  ttl: 1m\n  ttl_max: 1h\nretention: 1d\n").unwrap();
    let words = ["config", "--config", "genquota.yaml", "--reservation-ttl", "3m", "--json"];
    let output = genquota(dir.path(), &words)
        .env("GENQUOTA_RESERVATION_TTL", "2m")
        .env("GENQUOTA_RESERVATION_TTL_MAX", "3h")
        .env("GENQUOTA_LISTEN", "127.0.0.1:1,unix:q.sock")
        .env("GENQUOTA_RETENTOIN", "1d")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("warning: GENQUOTA_RETENTOIN"), "{}", stderr(&output));
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = [
        ("reservation.ttl", serde_json::json!({"value": "3m", "origin": "--reservation-ttl"})),
        ("reservation.ttl_max", serde_json::json!({"value": "3h", "origin": "GENQUOTA_RESERVATION_TTL_MAX"})),
        ("retention", serde_json::json!({"value": "1d", "origin": "genquota.yaml:4"})),
        ("listen", serde_json::json!({"value": ["127.0.0.1:1", "unix:q.sock"], "origin": "GENQUOTA_LISTEN"})),
        ("http", serde_json::json!({"value": "127.0.0.1:7071", "origin": "default"})),
    ];
    for (key, value) in expected {
        assert_eq!(settings[key], value, "{key}");
    }
    let table = stdout(&genquota(dir.path(), &["config", "--config", "genquota.yaml"]).output().unwrap());
    let row = table.lines().find(|line| line.starts_with("retention ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["retention", "1d", "genquota.yaml:4"]);
}

#[test]
fn all_problems_of_the_configuration_come_at_once_with_exit_64() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("genquota.yaml"), "retention: soon\nlimits:\n  queu: 1\n").unwrap();
    for command in ["config", "serve"] {
        let words = [command, "--config", "genquota.yaml", "--listen", "0.0.0.0:7070"];
        let output = genquota(dir.path(), &words).env("GENQUOTA_STORE", "redis://user:secret@cache/first").output().unwrap();
        assert_eq!((code(&output), stdout(&output).as_str()), (64, ""));
        let text = stderr(&output);
        for part in [
            "genquota.yaml:1: `retention`",
            "genquota.yaml:3: `limits.queu`",
            "GENQUOTA_STORE: `store`",
            "--listen: `listen`",
            "4 problems",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("secret"), "{text}");
    }
    let output = genquota(dir.path(), &["config", "--config", "genquota.yaml", "--json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(told["error"]["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn completions_for_bash_are_a_valid_script() {
    let dir = tempfile::tempdir().unwrap();
    let script = stdout(&run(&["completions", "bash"]));
    assert!(script.contains("void-grant"));
    std::fs::write(dir.path().join("completions.bash"), script).unwrap();
    match Command::new("bash").arg("-n").arg(dir.path().join("completions.bash")).output() {
        Ok(output) => assert!(output.status.success(), "{}", stderr(&output)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => panic!("{error}"),
    }
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(stdout(&run(&["completions", shell])).contains("genquota"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = genquota(dir.path(), &["config"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn absent_server_exits_69() {
    let dir = tempfile::tempdir().unwrap();
    let output = genquota(dir.path(), &["balance", "acme", "--server", "unix:absent.sock"]).output().unwrap();
    assert_eq!((code(&output), stdout(&output).as_str()), (69, ""));
    assert!(stderr(&output).contains("no server at `unix:absent.sock`"), "{}", stderr(&output));
    let output = genquota(dir.path(), &["subject", "list", "--json"]).env("GENQUOTA_SERVER", "unix:absent.sock").output().unwrap();
    assert_eq!(code(&output), 69);
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(told["error"]["message"].as_str().unwrap().contains("absent.sock"));
}

/// Answers by what is asked: the action of a reserve and the id of a settlement say how.
struct Canned;

#[tonic::async_trait]
impl QuotaService for Canned {
    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        let request = request.into_inner();
        let outcome = match request.action.as_str() {
            "denied" => reserve_response::Outcome::Denial(denial()),
            "wrong" => {
                let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "genquota", []);
                details.add_bad_request_violation("action", "no such action: `wrong`");
                return Err(Status::with_error_details(Code::InvalidArgument, "a field is wrong", details));
            }
            _ => reserve_response::Outcome::Reservation(reservation(&request)),
        };
        Ok(Response::new(v1::ReserveResponse { outcome: Some(outcome), ..Default::default() }))
    }

    async fn get_balance(&self, _: Request<v1::GetBalanceRequest>) -> Result<Response<v1::GetBalanceResponse>, Status> {
        let balance = v1::Balance { meter: "credits".into(), available: "7.5".into(), reserved: "1".into(), ..Default::default() };
        let unlimited = v1::Balance { meter: "generations".into(), unlimited: true, ..Default::default() };
        Ok(Response::new(v1::GetBalanceResponse { balances: vec![balance, unlimited], ..Default::default() }))
    }
}

fn reservation(request: &v1::ReserveRequest) -> v1::Reservation {
    let work = request.work.clone().unwrap();
    v1::Reservation {
        subject: request.subject.clone(),
        reservation_id: request.reservation_id.clone(),
        generation_id: request.reservation_id.clone(),
        action: request.action.clone(),
        state: v1::State::Held.into(),
        meter: "credits".into(),
        units_reserved: work.items.iter().map(|item| item.count.unwrap_or(1)).sum::<i64>().to_string(),
        cost_reserved: "0.16".into(),
        currency: "USD".into(),
        expire_time: Some(prost_types::Timestamp { seconds: 1_771_977_600, nanos: 0 }),
        ..Default::default()
    }
}

fn denial() -> v1::Denial {
    use v1::remedy::Remedy;
    let violation = |reason: v1::DenialReason, name: &str| v1::Violation {
        reason: reason.into(),
        name: name.into(),
        limit: "10".into(),
        reserved: "1".into(),
        committed: "8".into(),
        requested: "4".into(),
        available: "1".into(),
        meter: "credits".into(),
        ..Default::default()
    };
    let remedies = [Remedy::FewerCount("1".into()), Remedy::BuyCredits("3".into()), Remedy::UpgradeToPlan("pro".into())];
    v1::Denial {
        reason: v1::DenialReason::CapReached.into(),
        violations: vec![violation(v1::DenialReason::CapReached, "per-day"), violation(v1::DenialReason::QuotaExhausted, "monthly")],
        retry_after: Some(prost_types::Duration { seconds: 90, nanos: 1 }),
        remedies: remedies.into_iter().map(|remedy| v1::Remedy { remedy: Some(remedy) }).collect(),
        message: "the cap is reached".into(),
    }
}

/// Serves [`Canned`] on a free port while the runtime lives.
fn serve_canned() -> (Runtime, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    runtime.spawn(tonic::transport::Server::builder().add_service(QuotaServiceServer::new(Canned)).serve_with_incoming(incoming));
    (runtime, address)
}

fn ask(address: SocketAddr, words: &str) -> Output {
    let address = address.to_string();
    run(&words.split(' ').chain(["--server", &address]).collect::<Vec<_>>())
}

#[test]
fn granted_reservation_is_shown_with_its_id_and_exits_0() {
    let (_runtime, address) = serve_canned();
    let words = "reserve acme --action image.generate --target openai/gpt-image --id r-1";
    let output = ask(address, &format!("{words} --item count=2,measure.seconds=5 --item count=3"));
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("held r-1\n"), "{text}");
    for part in ["5 credits", "0.16 USD", "2026-02-25T00:00:00Z"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let made_up = stdout(&ask(address, "reserve acme --action image.generate --target openai/gpt-image"));
    let id = made_up.lines().next().unwrap().strip_prefix("held ").unwrap();
    assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
}

#[test]
fn answers_are_canonical_json_on_request() {
    let (_runtime, address) = serve_canned();
    let output = ask(address, "reserve acme --action image.generate --target openai/gpt-image --id r-1 --count 4 --json");
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["reservation"]["reservationId"], "r-1");
    assert_eq!(answer["reservation"]["state"], "STATE_HELD");
    assert_eq!(answer["reservation"]["expireTime"], "2026-02-25T00:00:00Z");
}

#[test]
fn denial_shows_every_violation_and_remedy_and_exits_3() {
    let (_runtime, address) = serve_canned();
    let output = ask(address, "reserve acme --action denied --target openai/gpt-image");
    assert_eq!((code(&output), stderr(&output).as_str()), (3, ""));
    let expected = "\
denied: CAP_REACHED: the cap is reached
  CAP_REACHED: `per-day`: 4 credits requested, 1 available (limit 10, reserved 1, committed 8)
  QUOTA_EXHAUSTED: `monthly`: 4 credits requested, 1 available (limit 10, reserved 1, committed 8)
  retry after: 1m31s
  hint: ask for 1
  hint: buy 3 units
  hint: change to plan `pro`
";
    assert_eq!(stdout(&output), expected);
    let output = ask(address, "reserve acme --action denied --target openai/gpt-image --json");
    assert_eq!(code(&output), 3);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["denial"]["reason"], "DENIAL_REASON_CAP_REACHED");
}

#[test]
fn status_is_told_with_code_reason_fields_and_id_and_exits_1() {
    let (_runtime, address) = serve_canned();
    let output = ask(address, "reserve acme --action wrong --target openai/gpt-image");
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    let text = stderr(&output);
    assert!(text.starts_with("error: INVALID_ARGUMENT: INVALID_FIELD: a field is wrong\n  `action`: no such action: `wrong`\n"), "{text}");
    let output = ask(address, "commit acme r-1");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).starts_with("error: UNIMPLEMENTED: "), "{}", stderr(&output));
}

#[test]
fn balances_are_a_table_without_empty_columns() {
    let (_runtime, address) = serve_canned();
    let text = stdout(&ask(address, "balance acme"));
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [vec!["METER", "AVAILABLE", "RESERVED"], vec!["credits", "7.5", "1"], vec!["generations", "unlimited"]]);
}

#[cfg(unix)]
#[test]
fn server_is_reached_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(async { tokio::net::UnixListener::bind(dir.path().join("q.sock")) }).unwrap();
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    runtime.spawn(tonic::transport::Server::builder().add_service(QuotaServiceServer::new(Canned)).serve_with_incoming(incoming));
    let output = genquota(dir.path(), &["balance", "acme", "--server", "unix:q.sock"]).output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn server_that_hangs_up_exits_69() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let output = ask(address, "reserve acme --action image.generate --target openai/gpt-image --id r-1");
    assert_eq!(code(&output), 69, "{}", stderr(&output));
}

/// A server of the real binary, ended with the test.
struct Served {
    child: Child,
    /// What it printed first.
    said: serde_json::Value,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(dir: &Path) -> Served {
    let words = ["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--store", "memory:", "--json"];
    let mut child = genquota(dir, &words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Served { child, said: serde_json::from_str(&line).unwrap() }
}

#[test]
fn server_tells_where_it_listens_and_the_commands_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path());
    let address: SocketAddr = served.said["listen"][0].as_str().unwrap().parse().unwrap();
    assert_ne!(address.port(), 0);
    for (words, exit, part) in [
        ("subject create acme --label region=eu", 0, "subject acme"),
        ("subject subscribe acme --plan independent --request-id s-1", 0, "independent"),
        ("subject grant acme --id g-1 --meter credits --units 50 --kind promotional", 0, "50 credits"),
        ("subject list", 0, "acme"),
        ("reserve acme --action image.generate --target fal/flux-schnell --count 4 --id r-1", 0, "held r-1"),
        ("extend acme r-1 --ttl 1h", 0, "held r-1"),
        ("commit acme r-1 --count 3", 0, "committed r-1"),
        ("commit acme r-1 --count 3", 0, "replayed"),
        ("release acme r-1", 1, ""),
        ("refund acme r-1 --units 1 --request-id f-1 --detail blurred", 0, "refunded     1 credits"),
        ("refund acme r-1 --units 1 --request-id f-1 --detail blurred", 0, "replayed"),
        ("refund acme r-1 --units 3", 1, ""),
        ("subject adjust acme --kind grant --id g-1 --units 2 --request-id adj-1", 0, "left         "),
        ("subject adjust acme --kind grant --id g-1 --units -2", 0, "left         "),
        ("subject adjust acme --kind allowance --id nothing --units 1", 1, ""),
        ("reserve acme --action image.generate --target fal/flux-schnell --count 9000", 3, "denied: "),
        ("record acme --id u-1 --action image.generate --target fal/flux-schnell", 0, "committed u-1"),
        ("quote acme --action image.generate --target fal/flux-schnell", 0, "yes"),
        ("reservation acme r-1", 0, "3 credits"),
        ("balance acme", 0, "997"),
        ("usage acme", 0, "3 credits"),
        ("usage acme --by user,action --since 2020-01-01", 1, ""),
        ("usage acme --by action,tier", 0, "image.generate"),
        ("usage nobody", 0, "nothing was used in this span"),
        ("generations acme", 0, "r-1"),
        ("generations acme", 0, "fal/flux-schnell accepted"),
        ("generations acme --page-size 1", 0, "more with --page-token "),
        ("generations acme --until 2020-01-01", 0, "no generations"),
        ("generations acme --page-token nonsense", 1, ""),
        ("subject void-grant acme g-1", 0, "void since"),
        ("subject preview-change acme --plan hollywood", 0, "50 USD"),
        ("subject add-on acme --add-on extra_reel --units 2 --request-id a-1", 0, "extra_reel x 2"),
        ("subject add-on acme --add-on extra_reel --units 2 --request-id a-1", 0, "(replayed)"),
        ("subject add-on acme --add-on extra_reel --units 1", 0, "extra_reel x 2, 1 from its next period on"),
        ("subject change-plan acme --plan microbudget", 0, "plan microbudget from "),
        ("subject change-plan acme --plan hollywood", 0, "hollywood"),
        ("subject seats acme --count 3", 0, "0 of 3 occupied"),
        ("subject seats acme", 64, ""),
        ("subject override acme --allowance credits --value unlimited", 0, "allowance credits: unlimited"),
        ("subject override acme --allowance credits --cap running --reset", 64, ""),
        ("subject override acme --allowance credits --reset", 0, "hollywood"),
        ("subject suspend acme --detail unpaid", 0, "suspended"),
        ("subject resume acme", 0, "active"),
        ("subject cancel acme", 0, "ends"),
        ("subject subscribe acme --plan hollywood", 0, "hollywood"),
        ("subject cancel acme --now", 0, "subject acme"),
        ("subject seats acme --count 4", 1, ""),
        ("subject show acme", 0, "subject acme"),
        ("subject audit acme", 0, "acme SuspendSubject"),
        ("subject audit", 0, "because `unpaid`"),
        ("subject audit nobody", 0, ""),
    ] {
        let output = ask(address, words);
        assert_eq!(code(&output), exit, "{words}: {}", stderr(&output));
        assert!(stdout(&output).contains(part), "{words}: {}", stdout(&output));
    }
}

#[cfg(unix)]
#[test]
fn server_ends_with_0_on_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = serve(dir.path());
    Command::new("kill").arg(served.child.id().to_string()).status().unwrap();
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

const CATALOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/catalogs");

#[test]
fn catalog_check_exits_0_for_valid_files_and_64_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let valid = format!("{CATALOGS}/film-studio.yaml");
    let output = run(&["catalog", "check", &valid]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert!(stdout(&output).contains(": ok: "));
    let text = std::fs::read_to_string(&valid).unwrap().replace("meters:", "metres:").replace("rank: 2", "rank: second");
    std::fs::write(dir.path().join("wrong.yaml"), text).unwrap();
    let output = genquota(dir.path(), &["catalog", "check", &valid, "wrong.yaml", "absent.yaml", "--json"]).output().unwrap();
    assert_eq!(code(&output), 64);
    let reports: Vec<serde_json::Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.iter().map(|report| report["ok"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false, false]);
    assert!(reports[1]["problems"].as_array().unwrap().len() >= 2);
    assert!(reports[1]["problems"].as_array().unwrap().iter().all(|problem| problem["line"].as_u64().unwrap() > 0));
    let output = genquota(dir.path(), &["serve", "--catalog", "wrong.yaml", "--store", "memory:", "--http", "off"]).output().unwrap();
    assert_eq!(code(&output), 64, "{}", stderr(&output));
}

#[test]
fn catalog_check_tells_what_a_catalog_would_take_away_from_those_who_have_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let old = format!("{CATALOGS}/film-studio.yaml");
    let text = std::fs::read_to_string(&old).unwrap();
    std::fs::write(dir.path().join("new.yaml"), text.replace("amount: 1000, per: subject", "amount: 100, per: subject")).unwrap();
    assert_eq!(code(&run(&["catalog", "check", &old, "--after", &old])), 0);
    let output = genquota(dir.path(), &["catalog", "check", "new.yaml"]).output().unwrap();
    assert_eq!(code(&output), 0, "valid by itself: {}", stdout(&output));
    let output = genquota(dir.path(), &["catalog", "check", "new.yaml", "--after", &old]).output().unwrap();
    assert_eq!(code(&output), 64);
    let text = stdout(&output);
    assert!(text.contains(": plans.independent.allowances.credits: gives 100 instead of 1000\n"), "{text}");
    assert!(text.contains("hint: keep it, and let what is new begin by dated `terms`: `from: ") && text.contains("1 error"), "{text}");
    let output = genquota(dir.path(), &["catalog", "check", "new.yaml", "--after", &old, "--json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &told["ok"]), (64, &false.into()));
    assert_eq!(told["problems"][0]["path"], "plans.independent.allowances.credits");
    std::fs::write(dir.path().join("wrong.yaml"), "catalog: none").unwrap();
    let output = genquota(dir.path(), &["catalog", "check", &old, "--after", "wrong.yaml"]).output().unwrap();
    assert_eq!(code(&output), 64, "{}", stdout(&output));
    assert!(stderr(&output).contains("wrong.yaml:1:"), "{}", stderr(&output));
}

#[test]
fn catalog_explain_tells_rule_by_rule_what_work_counts_and_costs() {
    let words =
        "catalog explain --plan hollywood --action video.generate --target google/veo-3 --measure seconds=8.2 --attribute resolution=4k";
    let words: Vec<&str> = words.split(' ').collect();
    let output = run(&words);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = stdout(&output);
    let rule = "rule 1 when tier premium, resolution 4k: 8.2 seconds at 4, rounded up to 1 for each output: 33";
    for part in [rule, "33 credits", "allowed      yes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let output = run(&words.iter().copied().chain(["--json"]).collect::<Vec<_>>());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["units"], &told["lines"][0]["rule"]), (&"33".into(), &0.into()));
    for words in ["catalog explain --action nope", "catalog explain --plan nope --action image.generate --target fal/flux-schnell"] {
        assert_eq!(code(&run(&words.split(' ').collect::<Vec<_>>())), 64, "{words}");
    }
}

#[test]
fn catalog_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_slice(&run(&["catalog", "schema"]).stdout).unwrap();
    assert!(schema["properties"]["plans"].is_object());
}
