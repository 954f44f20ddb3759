//! `genquota demo`, by the real binary: what a newcomer sees first must work, and must be true.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

use std::process::{Command, Output};

use rust_decimal::Decimal;
use serde_json::Value;

/// The widest line of a plain run.
const COLUMNS_MAX: usize = 100;

fn demo(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    // Whatever this process has set up for a real server is not the demo's.
    command.arg("demo").args(words).env_clear().env("GENQUOTA_STORE", "nonsense").env("TERM", "xterm-256color");
    command.output().unwrap()
}

fn plain(seed: &str) -> String {
    let output = demo(&["--plain", "--seed", seed]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn summary(seed: &str) -> Value {
    let output = demo(&["--json", "--seed", seed]);
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The sum of a field, a number or a decimal, over rows.
fn sum(rows: &Value, field: &str) -> Decimal {
    rows.as_array().unwrap().iter().map(|row| decimal(&row[field])).sum()
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).parse().unwrap()
}

#[test]
fn a_plain_day_shows_one_of_each_kind_and_fits_a_pipe() {
    let text = plain("7");
    // Notes are broken into lines by words.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "subscribed to nothing, so on the default plan `microbudget`",
        "failed: ",
        "billed all the same",
        "moderation blocks",
        "quality gate rejects",
        "3 of 4 images arrive",
        "fal/wan-2.2 goes down",
        "wan-2.2 is down: ",
        "lantern denied: cap `daily_cost` is reached",
        "would help: wait until midnight",
        "mia denied: the plan does not include tier `premium`",
        "mia denied: cap `running` is reached",
        "mia denied: not enough `credits` left",
        "or plan `independent`, or buy ",
        "mia buys 100 credits, and the same request goes through",
        "48 images or fewer",
        "crashes: ",
        "the hold that the crash left behind expires",
        "commits late",
        "the reply to Commit is lost",
        "the reply to Reserve is lost",
        "check ok: ",
        "genquota serve",
    ] {
        assert!(words.contains(told), "{told}\n{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS_MAX, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    let notes = text.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with(' ')).count();
    assert!((20..=45).contains(&notes), "{notes}");
}

#[test]
fn a_failover_says_what_it_costs_more() {
    let text = plain("7");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told: Vec<&str> = words.split("wan-2.2 is down: ").skip(1).collect();
    assert!(!told.is_empty());
    for one in told {
        // 8 s of video go to runway/gen4: 0.96 instead of 0.32 USD (+0.64) ...
        let (cost, rest) = one.split_once(": ").unwrap().1.split_once(" instead of ").unwrap();
        let (planned, rest) = rest.split_once(" USD (").unwrap();
        let [cost, planned, shift] = [cost, planned, rest.split_once(')').unwrap().0].map(|text| text.parse::<Decimal>().unwrap());
        assert_eq!(cost - planned, shift, "{one}");
        assert!(shift > Decimal::ZERO, "{one}");
    }
}

#[test]
fn the_same_seed_plays_the_same_day() {
    let story = |text: &str| text.lines().filter(|line| !line.starts_with("played day")).map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (plain("11"), plain("11"));
    assert_eq!(story(&one), story(&other));
    assert_ne!(story(&one), story(&plain("12")));
}

#[test]
fn totals_of_the_json_summary_add_up() {
    for seed in ["3", "7"] {
        let summary = summary(seed);
        assert_eq!(summary["agrees"], true);
        let costs = &summary["costs"];
        for (total, field) in [("attempts", "attempts"), ("cost", "cost"), ("delivered", "acceptedAttempts")] {
            assert_eq!(decimal(&summary[total]), sum(costs, field), "{total}");
        }
        assert_eq!(decimal(&summary["failover"]["attempts"]), sum(costs, "failovers"));
        assert_eq!(decimal(&summary["failover"]["costShift"]), sum(costs, "costShift"));
        assert!(decimal(&summary["failover"]["costShift"]) > Decimal::ZERO);
        let subjects = &summary["subjects"];
        let counts = |of: &str| summary[of].as_object().unwrap().values().map(decimal).sum::<Decimal>();
        assert_eq!(counts("denied"), sum(subjects, "denials"));
        assert_eq!(counts("outcomes"), decimal(&summary["attempts"]));
        assert_eq!(sum(subjects, "accepted"), sum(subjects, "committed"));
        assert_eq!(sum(subjects, "reserved"), Decimal::ZERO);
        for reason in ["CAP_REACHED", "FEATURE_NOT_IN_PLAN", "QUOTA_EXHAUSTED"] {
            assert!(summary["denied"][reason].as_u64().unwrap() > 0, "{reason}");
        }
        assert_eq!((summary["expired"].as_u64(), summary["late"].as_u64(), summary["replayed"].as_u64()), (Some(3), Some(1), Some(2)));
    }
}

#[test]
fn what_was_bought_and_given_is_all_there_is() {
    let summary = summary("5");
    for subject in summary["subjects"].as_array().unwrap() {
        let of = |field: &str| decimal(&subject[field]);
        let bought = match subject["subject"].as_str().unwrap() {
            "aurora" => Decimal::ONE_THOUSAND,
            "mia" => decimal(&summary["unitsBought"]),
            _ => Decimal::ZERO,
        };
        let left = of("allowanceAvailable") + of("creditsAvailable");
        assert_eq!(left + of("reserved") + of("committed"), of("allowance") + bought, "{subject}");
    }
}

/// A signal ends the day early, says so on stderr and is told by the exit code.
#[cfg(unix)]
#[test]
fn a_signal_stops_the_day() {
    use std::io::{BufRead, BufReader, Read};
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(["demo", "--plain", "--speed", "1"]).env_clear();
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("06:00 mia"), "{first}");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.starts_with("stopped at "), "{said}");
}
