//! Traffic as a test needs it: small catalogs, and cost events as lines of JSON.

use std::path::Path;
use std::process::{Command, Output};

use genquota::catalog;
use genquota::domain::catalog::Catalog;
use genquota::store::transfer::Progress;
use genquota::traffic::{ReadError, Traffic, read};
use serde_json::{Value, json};

/// Ten credits a month for each image and second; prices by output and second.
pub const CATALOG: &str = "\
catalog: genquota/v1
version: old
meters: {credits: {}}
actions:
  image.generate:
    meter: credits
    attributes: {quality: any}
    rules: [{per: output, rate: 1}]
  video.generate:
    meter: credits
    measures: seconds
    rules: [{per: seconds, rate: 0.5, round: {mode: up}}]
plans:
  core:
    rank: 1
    allowances: [{meter: credits, amount: 10, per: subject}]
  team:
    rank: 2
    allowances: [{meter: credits, amount: 100, per: subject}]
prices:
  - {provider: fal, model: flux, tier: basic, components: [{per: output, price: 0.04}]}
  - {provider: google, model: veo, tier: premium, components: [{per: seconds, price: 0.5}]}
";

pub fn catalog(text: &str) -> Catalog {
    catalog::parse("test.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The catalog with some of its text replaced.
pub fn changed(changes: &[(&str, &str)]) -> Catalog {
    let mut text = CATALOG.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    catalog(&text)
}

/// One attempt, to be made another with the methods.
#[derive(Clone)]
pub struct Event(pub Value);

/// An accepted attempt of one image at `fal/flux` for 0.04, by a reservation of this name.
pub fn image(subject: &str, reservation: &str, start: &str, end: &str) -> Event {
    let work = json!({"items": [{"count": "1"}]});
    Event(json!({
        "eventId": format!("{subject}|{reservation}|2"),
        "eventTime": end,
        "subject": subject,
        "plan": "core",
        "reservationId": reservation,
        "generationId": reservation,
        "attempt": {
            "number": 1,
            "reason": "ATTEMPT_REASON_FIRST",
            "target": {"provider": "fal", "model": "flux"},
            "tier": "basic",
            "outcome": "OUTCOME_ACCEPTED",
            "units": "1",
            "cost": "0.04",
            "plannedCost": "0.04",
            "costShift": "0",
            "costBasis": "COST_BASIS_PRICED",
            "startTime": start,
            "endTime": end,
        },
        "action": "image.generate",
        "plannedTarget": {"provider": "fal", "model": "flux"},
        "work": work,
        "billedWork": work,
        "currency": "USD",
        "catalogVersion": "old",
        "overageUnits": "0",
        "meter": "credits",
    }))
}

impl Event {
    /// With a member replaced, by its path of names.
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        let pointer = format!("/{}", path.replace('.', "/"));
        match self.0.pointer_mut(&pointer) {
            Some(place) => *place = value.into(),
            None => {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                self.0.pointer_mut(parent).unwrap()[name] = value.into();
            }
        }
        self
    }

    /// As another attempt of the same reservation.
    pub fn numbered(self, number: u32, outcome: &str, units: &str, cost: &str) -> Self {
        let id = format!("{}|{number}", self.0["eventId"].as_str().unwrap());
        let event = self.with("eventId", id).with("attempt.number", number).with("attempt.outcome", format!("OUTCOME_{outcome}"));
        event.with("attempt.units", units).with("attempt.cost", cost)
    }

    /// As a video of some seconds at `google/veo`.
    pub fn video(self, seconds: &str, units: &str, cost: &str) -> Self {
        let work = json!({"items": [{"count": "1", "measures": {"seconds": seconds}}]});
        let target = json!({"provider": "google", "model": "veo"});
        let event = self.with("action", "video.generate").with("work", work.clone()).with("billedWork", work);
        let event = event.with("attempt.target", target.clone()).with("plannedTarget", target).with("attempt.tier", "premium");
        event.with("attempt.units", units).with("attempt.cost", cost)
    }
}

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}
}

pub fn progress() -> impl Progress {
    Silent
}

pub fn lines(events: &[Event]) -> String {
    events.iter().map(|event| format!("{}\n", event.0)).collect()
}

pub fn read_text(text: &str) -> Result<Traffic, ReadError> {
    read(&mut text.as_bytes(), &Silent)
}

pub fn traffic(events: &[Event]) -> Traffic {
    read_text(&lines(events)).unwrap()
}

/// The binary in a directory, with no variable of this process.
pub fn genquota(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.args(words).current_dir(dir).env_clear().env("HOME", dir);
    command
}

/// Runs it to its end: exit code, stdout, stderr.
pub fn run(dir: &Path, words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = genquota(dir, words).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}
