//! A week that is played by moving the clock: what cannot be waited for with a real one.

use std::sync::Arc;

use genquota::app::App;
use genquota::clock::ManualClock;
use genquota::config::{self, Given, Layers, Origin};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::browser::look;
use crate::gateway::Gateway;

/// A server in this process, and its clock.
struct Played {
    clock: Arc<ManualClock>,
    http: String,
    gateway: Gateway,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Played {
    async fn start(now: &str) -> Self {
        let settings = [("listen", "127.0.0.1:0"), ("http", "127.0.0.1:0"), ("store", "memory:"), ("log.filter", "off")];
        let given = settings.map(|(key, value)| Given {
            key: key.to_owned(),
            values: vec![value.to_owned()],
            origin: Origin::Flag(format!("--{key}")),
        });
        let config =
            config::load(&Layers { flags: given.into(), ..Layers::default() }).unwrap_or_else(|problems| panic!("{problems}")).config;
        let clock = Arc::new(ManualClock::at(now.parse().unwrap()));
        let app = App::build(config, clock.clone()).await.unwrap();
        let (grpc, http) = (app.bound().listen[0].to_string(), app.bound().http.unwrap().to_string());
        let stop = CancellationToken::new();
        let served = tokio::spawn(app.serve(stop.clone()));
        Self { clock, http, gateway: Gateway::connect(&grpc).await, stop, served }
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.gateway);
        self.served.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_has_a_bar_for_every_step_in_which_something_was_spent() {
    let mut played = Played::start("2026-03-02T09:20:00Z").await;
    played.gateway.sign_up().await;
    // Three days, busier by day than by night, and a night in which nothing happens.
    for number in 0..72 {
        let hour = (9 + number) % 24;
        let rounds = if hour < 6 { 0 } else { 1 + usize::from(hour > 11) + usize::from(hour > 17 && number > 48) };
        for round in 0..rounds {
            played.gateway.round(number * 10 + round).await;
        }
        played.clock.advance(SignedDuration::from_hours(1));
    }
    let page = |path: &str, scheme: &str, width: u32, shot: &str| json!({"path": path, "scheme": scheme, "width": width, "shot": shot});
    let (overview, subject) = ("/operations?span=week&refresh=off", "/operations/subjects?subject=aurora");
    let mut visits: Vec<Value> = Vec::new();
    for scheme in ["light", "dark"] {
        visits.push(page(overview, scheme, 1280, &format!("overview-{scheme}")));
        visits.push(page(subject, scheme, 1280, &format!("subject-{scheme}")));
        visits.push(page(overview, scheme, 320, &format!("overview-{scheme}-narrow")));
        visits.push(page(subject, scheme, 320, &format!("subject-{scheme}-narrow")));
    }
    visits.push(page("/operations", "light", 1280, "day-light"));
    visits.push(page("/operations/subjects", "light", 1280, "subjects-light"));
    let seen = tokio::task::block_in_place(|| look(&played.http, &visits)).remove(0);
    let steps = seen.table("Cost of each step in USD, by tier");
    assert_eq!(steps.len(), 28);
    let request = genquota::proto::v1::SummarizeCostsRequest {
        start_time: Some(prost_types::Timestamp { seconds: seen.times[0].parse::<jiff::Timestamp>().unwrap().as_second(), nanos: 0 }),
        step: Some(prost_types::Duration { seconds: 6 * 3600, nanos: 0 }),
        ..Default::default()
    };
    let rows = played.gateway.costs.summarize_costs(request).await.unwrap().into_inner().rows;
    let mut spent = 0;
    for step in steps {
        let start = step[0].text.replace(' ', "T") + ":00Z";
        let start = start.parse::<jiff::Timestamp>().unwrap().as_second();
        let of_step = rows.iter().filter(|row| row.time.as_ref().unwrap().seconds == start);
        let sum: rust_decimal::Decimal = of_step.map(|row| row.cost.parse::<rust_decimal::Decimal>().unwrap()).sum();
        assert_eq!(step.last().unwrap().value.as_ref().unwrap().parse::<rust_decimal::Decimal>().unwrap(), sum, "{step:?}");
        spent += usize::from(!sum.is_zero());
    }
    assert!((8..20).contains(&spent), "{spent}");
    let page = crate::http::get(&played.http, overview).body;
    let bars = page.split("<svg class=\"bars\"").nth(1).unwrap().split("</svg>").next().unwrap();
    assert_eq!(bars.matches("<g>").count(), spent, "{bars}");
    played.end().await;
}
