//! Files of events: every form of a line, repeats, and lines that are none.

use genquota::domain::reservation::Outcome;
use genquota::traffic::ReadError;
use serde_json::json;

use crate::bench::{image, lines, read_text};

const START: &str = "2026-03-02T10:00:00Z";
const END: &str = "2026-03-02T10:00:05Z";

#[test]
fn a_cloud_event_a_message_of_the_stream_and_a_bare_event_tell_the_same() {
    let bare = image("acme", "r-1", START, END);
    let cloud = json!({
        "specversion": "1.0", "id": bare.0["eventId"], "source": "genquota/main", "type": "dev.genquota.attempt.closed.v1",
        "subject": "acme", "time": END, "datacontenttype": "application/json", "data": bare.0,
    });
    let forms = [cloud, json!({"event": bare.0}), bare.0.clone(), snake_case(&bare.0)];
    let read: Vec<_> = forms.iter().map(|form| read_text(&form.to_string()).unwrap().attempts).collect();
    assert_eq!((read[0].len(), read[0][0].outcome, read[0][0].cost.to_string().as_str()), (1, Outcome::Accepted, "0.04"));
    assert!(read.iter().all(|attempts| *attempts == read[0]), "{read:?}");
}

/// With the names of the proto file, which are as canonical as the others.
fn snake_case(value: &serde_json::Value) -> serde_json::Value {
    let mut value = value.clone();
    let map = value.as_object_mut().unwrap();
    for (camel, snake) in [("eventId", "event_id"), ("eventTime", "event_time"), ("billedWork", "billed_work")] {
        let member = map.remove(camel).unwrap();
        map.insert(snake.to_owned(), member);
    }
    value
}

#[test]
fn repeats_count_once_and_what_is_no_attempt_is_passed_over() {
    let (first, second) = (image("acme", "r-1", START, END), image("acme", "r-2", START, END));
    let others = "\n{\"checkpoint\":{\"cursor\":\"1\"}}\n{\"specversion\":\"1.0\",\"type\":\"dev.genquota.budget.v1\"}\n";
    let traffic = read_text(&format!("{}{others}{}", lines(&[first.clone(), second]), lines(&[first]))).unwrap();
    assert_eq!((traffic.attempts.len(), traffic.repeats), (2, 1));
    // A newer server may tell more.
    let newer = image("acme", "r-3", START, END).with("mood", "fine");
    assert_eq!(read_text(&lines(&[newer])).unwrap().attempts.len(), 1);
}

#[test]
fn every_bad_line_is_an_error_with_its_number() {
    let event = || image("acme", "r-1", START, END);
    let bad = [
        "not json".to_owned(),
        "{\"a\": 1}".to_owned(),
        "{\"specversion\":\"1.0\",\"type\":\"com.example\"}".to_owned(),
        event().with("attempt.cost", "").0.to_string(),
        event().with("attempt.cost", "-1").0.to_string(),
        event().with("attempt.outcome", "OUTCOME_UNSPECIFIED").0.to_string(),
        event().with("subject", "a b").0.to_string(),
        event().with("eventId", "").0.to_string(),
        event().with("attempt.number", 0).0.to_string(),
        event().with("work", json!({"items": [{"count": "0"}]})).0.to_string(),
    ];
    let Err(ReadError::Lines { problems, count }) = read_text(&format!("{}{}", lines(&[event()]), bad.join("\n"))) else {
        panic!("it was read")
    };
    assert_eq!((count, problems.iter().map(|(line, _)| *line).collect::<Vec<_>>()), (10, (2..=11).collect()));
    for ((line, problem), part) in problems.iter().zip([
        "expected ident",
        "no cost event",
        "another kind: `com.example`",
        "`attempt.cost`",
        "`attempt.cost`",
        "`attempt.outcome`",
        "`subject`",
        "`event_id`",
        "`attempt.number`",
        "`work.items[0].count`",
    ]) {
        assert!(problem.contains(part), "{line}: {problem}");
    }
}

#[test]
fn many_bad_lines_are_counted_and_the_first_are_named() {
    let error = read_text(&"x\n".repeat(100)).unwrap_err().to_string();
    assert!(error.starts_with("line 1: ") && error.ends_with("\nand 80 lines more"), "{error}");
    assert_eq!(error.lines().count(), 21);
}

#[test]
fn a_line_without_an_end_is_not_read_for_ever() {
    let error = read_text(&" ".repeat((1 << 20) + 1)).unwrap_err().to_string();
    assert!(error.contains("line 1: is longer than 1048576 bytes"), "{error}");
}
