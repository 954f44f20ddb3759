//! A cost event as a CloudEvent 1.0 in JSON, one a line.

use anyhow::Context as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::cli::{Failure, output};
use crate::proto::v1::CostEvent;
use crate::traffic::CLOUD_EVENT_TYPE;

/// The line of an event of a ledger, with its end.
pub(super) fn line(event: &CostEvent, instance: &str) -> Result<String, Failure> {
    // Where it stood in one stream is of no use to another reader.
    let data = CostEvent { cursor: String::new(), ..event.clone() };
    let data: Value = serde_json::from_str(&output::json(&data)?).context("an event is no JSON")?;
    let time = data.get("eventTime").cloned().unwrap_or_default();
    let mut envelope = Map::new();
    let mut put = |key: &str, value: Value| envelope.insert(key.to_owned(), value);
    put("specversion", "1.0".into());
    put("id", event.event_id.as_str().into());
    put("source", format!("genquota/{instance}").into());
    put("type", CLOUD_EVENT_TYPE.into());
    put("subject", event.subject.as_str().into());
    put("time", time);
    put("datacontenttype", "application/json".into());
    if !event.trace_id.is_empty() {
        put("traceparent", traceparent(event).into());
    }
    put("data", data);
    let mut line = serde_json::to_string(&envelope).context("an envelope is no JSON")?;
    line.push('\n');
    Ok(line)
}

/// The trace of the call that closed the attempt. The event is a span of its own in it, named by its id.
fn traceparent(event: &CostEvent) -> String {
    let span: String = Sha256::digest(&event.event_id).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("00-{}-{span}-01", event.trace_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;

    #[test]
    fn an_event_is_one_line_with_all_that_consumers_need() {
        let event = CostEvent {
            event_id: "acme|r-1|2".to_owned(),
            cursor: "xyz".to_owned(),
            event_time: Some(prost_types::Timestamp { seconds: 1_771_977_600, nanos: 500_000_000 }),
            subject: "acme".to_owned(),
            attempt: Some(v1::Attempt { number: 1, cost: "0.04".to_owned(), ..Default::default() }),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            ..Default::default()
        };
        let line = line(&event, "main").unwrap();
        let envelope: Value = serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap();
        let expected = serde_json::json!({
            "specversion": "1.0",
            "id": "acme|r-1|2",
            "source": "genquota/main",
            "type": "dev.genquota.attempt.closed.v1",
            "subject": "acme",
            "time": "2026-02-25T00:00:00.500Z",
            "datacontenttype": "application/json",
            "traceparent": envelope["traceparent"],
            "data": {
                "eventId": "acme|r-1|2",
                "eventTime": "2026-02-25T00:00:00.500Z",
                "subject": "acme",
                "attempt": {"number": 1, "cost": "0.04"},
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
        });
        assert_eq!(envelope, expected);
        let parent: Vec<&str> = envelope["traceparent"].as_str().unwrap().split('-').collect();
        assert_eq!((parent[0], parent[1], parent[2].len(), parent[3]), ("00", "4bf92f3577b34da6a3ce929d0e0e4736", 16, "01"));
    }
}
