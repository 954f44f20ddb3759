//! `film-studio`: P4, P7 to P13, P15, and bounds on failover.

use genquota::proto::v1::DenialReason;

use crate::administrator::Change;
use crate::ask::{Ask, ask, buy_credits, item, named, outputs, paid_by, seconds, upgrade, work};
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";
const HALF: &str = "2026-03-25T12:00:00Z";
const NEXT: &str = "2026-04-10T00:00:00Z";
const TURBO: &str = "runway/gen4-turbo";

fn pictures(count: i64) -> Ask {
    ask("image.generate", "fal/flux-schnell", outputs(count))
}

#[tokio::test]
async fn credits_come_after_the_allowance_and_unlock_nothing() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "microbudget").await;
    acme.grant("gift", "100", |request| request.meter = "credits".to_owned()).await.unwrap();
    let clip = |model: &str, length: &str, resolution: &str| {
        ask("video.generate", model, work(vec![item(1, &[("seconds", length)], &[("resolution", resolution)])]))
    };
    let denial = acme.denied_for(&clip("google/veo-3", "8", "4k"), DenialReason::FeatureNotInPlan).await;
    assert_eq!(named(&denial)[..3], ["resolution", "seconds", "tiers"]);
    acme.used(&clip(TURBO, "5", "720p")).await;
    // 3 dollars a day: the pictures are made over several.
    for day in 11..16 {
        server.clock.set(&format!("2026-03-{day}T12:00:00Z"));
        acme.used(&ask("image.generate", "fal/flux-pro-1.1", outputs(59))).await;
    }
    server.clock.set("2026-03-16T12:00:00Z");
    assert_eq!(paid_by(&acme.used(&ask("image.generate", "fal/flux-schnell", outputs(3))).await), "grant gift 3");
    let balance = acme.balance().await;
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("0", "97"));
    // What is left of the credits is there in the next period, beside a new allowance.
    server.clock.set("2026-04-10T00:00:00Z");
    let balance = acme.balance().await;
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("300", "97"));
}

#[tokio::test]
async fn tiers_count_and_open_up_by_plan() {
    let server = Server::example("film-studio", NOON).await;
    let of = |tier: &str| match tier {
        "basic" => ask("image.generate", "fal/flux-schnell", outputs(1)),
        "standard" => ask("image.generate", "fal/flux-pro-1.1", outputs(1)),
        _ => ask("image.generate", "openai/gpt-image-1", outputs(1)),
    };
    let table = [
        ("microbudget", [Some("1"), Some("1"), None]),
        ("independent", [Some("1"), Some("1"), Some("2")]),
        ("hollywood", [Some("1"), Some("1"), Some("2")]),
    ];
    for (plan, counts) in table {
        let acme = server.customer(plan, plan).await;
        for (tier, units) in ["basic", "standard", "premium"].into_iter().zip(counts) {
            match units {
                Some(units) => assert_eq!(acme.used(&of(tier)).await.units_committed, units, "{plan} {tier}"),
                None => assert_eq!(named(&acme.denied_for(&of(tier), DenialReason::FeatureNotInPlan).await), ["tiers"]),
            }
        }
    }
    let hollywood = server.stranger("hollywood");
    let clip =
        |resolution| ask("video.generate", "google/veo-3", work(vec![item(1, &[("seconds", "3.5")], &[("resolution", resolution)])]));
    // 3.5 s at 4 are 14, at 2 are 7; since March 2026 4k costs 0.60 a second.
    let four_k = hollywood.used(&clip("4k")).await;
    assert_eq!((four_k.units_committed.as_str(), four_k.cost_committed.as_str()), ("14", "2.1"));
    assert_eq!(hollywood.used(&clip("1080p")).await.units_committed, "7");
}

#[tokio::test]
async fn a_voice_counts_by_thousands_of_characters_for_the_request() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    let lines = work(vec![item(2, &[("characters", "600")], &[]), item(1, &[("characters", "900")], &[])]);
    let used = acme.used(&ask("voice.generate", "elevenlabs/eleven-v3", lines)).await;
    assert_eq!((used.units_committed.as_str(), used.cost_committed.as_str()), ("3", "0.462"));
    acme.used(&ask("script.draft", "openai/gpt-5-mini", work(vec![item(1, &[("input_tokens", "900")], &[])]))).await;
    assert_eq!(acme.left().await, "997");
}

#[tokio::test]
async fn a_stranger_has_microbudget_and_a_better_plan_helps() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.subject("acme").await;
    assert_eq!((acme.all_balances("").await.plan.as_str(), acme.left().await.as_str()), ("microbudget", "300"));
    acme.record(&ask("image.generate", "fal/flux-schnell", outputs(300)), |_| {}).await.unwrap();
    let picture = ask("image.generate", "fal/flux-schnell", outputs(5));
    let denial = acme.denied_for(&picture, DenialReason::QuotaExhausted).await;
    assert_eq!((upgrade(&denial).as_deref(), buy_credits(&denial).as_deref()), (Some("independent"), Some("5")));
    acme.subscribe("independent", |_| {}).await.unwrap();
    acme.held(&picture).await;
}

#[tokio::test]
async fn hollywood_rolls_over_500_and_only_warns_its_crew() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "hollywood").await;
    let pictures = |count| ask("image.generate", "fal/flux-schnell", outputs(count)).user("ann");
    acme.used(&pictures(1000)).await;
    server.clock.set("2026-04-10T00:00:00Z");
    assert_eq!(acme.left().await, "3000");
}

#[tokio::test]
async fn so_many_run_at_once_and_so_many_are_asked_in_a_minute() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "microbudget").await;
    let picture = || ask("image.generate", "fal/flux-schnell", outputs(1));
    let first = picture();
    acme.held(&first).await;
    acme.held(&ask("video.generate", TURBO, seconds(&["1"]))).await;
    assert_eq!(named(&acme.denied_for(&picture(), DenialReason::CapReached).await), ["running"]);
    acme.committed(first.key()).await;
    for _ in 0..118 {
        acme.used(&picture()).await;
    }
    assert_eq!(named(&acme.denied_for(&picture(), DenialReason::CapReached).await), ["burst"]);
    server.clock.set("2026-03-10T12:01:00Z");
    acme.held(&picture()).await;
}

#[tokio::test]
async fn a_failover_stays_within_bounds() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    let clip = |at: &str| ask("video.generate", at, seconds(&["4"])).planned(TURBO);
    let shifted = acme.used(&clip("runway/gen4")).await;
    assert_eq!(shifted.attempts[0].cost_shift, "0.28");
    let denial = acme.denied_for(&clip("google/veo-3"), DenialReason::FailoverPolicy).await;
    assert_eq!(named(&denial), ["max_cost_ratio"]);
}

#[tokio::test]
async fn three_hundred_used_of_1000_leave_2200_of_hollywood() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    acme.used(&pictures(300)).await;
    server.clock.set(HALF);
    acme.changed(Change::Plan("hollywood")).await;
    assert_eq!(acme.left().await, "2200");
    acme.used(&pictures(200)).await;
    server.clock.set(NEXT);
    // 2500 anew, and 500 of the 2000 that were left.
    assert_eq!(acme.left().await, "3000");
}

#[tokio::test]
async fn from_10_to_25_dollars_half_a_period_costs_7_50_and_gives_350() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "microbudget").await;
    acme.used(&pictures(100)).await;
    server.clock.set(HALF);
    let preview = acme.preview("independent", "").await.unwrap();
    assert_eq!([preview.present_price.as_str(), &preview.new_price, &preview.amount_due, &preview.currency], ["10", "25", "7.5", "USD"]);
    assert_eq!(acme.left().await, "200");
    let premium = ask("image.generate", "openai/gpt-image-1", outputs(1));
    acme.denied_for(&premium, DenialReason::FeatureNotInPlan).await;
    acme.changed(Change::Plan("independent")).await;
    assert_eq!(acme.left().await, "550");
    acme.used(&premium).await;
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "1000");
}

#[tokio::test]
async fn a_lower_plan_keeps_credits_tiers_and_reels_until_the_period_ends() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "hollywood").await;
    acme.changed(Change::AddOn("extra_reel", 1)).await;
    acme.grant("gift", "40", |request| request.meter = "credits".to_owned()).await.unwrap();
    acme.changed(Change::Plan("microbudget")).await;
    server.clock.set("2026-04-09T23:59:59.999Z");
    assert_eq!(acme.left().await, "3140");
    acme.used(&ask("image.generate", "openai/gpt-image-1", outputs(1))).await;
    server.clock.set(NEXT);
    // The reel is not sold with this plan; the gift outlives everything.
    assert_eq!(acme.left().await, "340");
    let denial = acme.denied_for(&ask("image.generate", "openai/gpt-image-1", outputs(1)), DenialReason::FeatureNotInPlan).await;
    assert_eq!(named(&denial), ["tiers"]);
}

#[tokio::test]
async fn reels_are_the_size_of_the_plan_that_sells_them() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    acme.changed(Change::AddOn("extra_reel", 1)).await;
    assert_eq!(acme.left().await, "1250");
    server.clock.set(HALF);
    acme.changed(Change::Plan("hollywood")).await;
    assert_eq!(acme.left().await, "2750");
    acme.changed(Change::AddOn("extra_reel", 2)).await;
    assert_eq!(acme.left().await, "3350");
    acme.used(&pictures(3350)).await;
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "3700");
}

#[tokio::test]
async fn who_cancels_is_on_microbudget_when_the_period_is_over() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    acme.used(&pictures(200)).await;
    acme.changed(Change::Cancel).await;
    server.clock.set("2026-04-09T23:59:59.999Z");
    assert_eq!(acme.left().await, "800");
    server.clock.set(NEXT);
    assert_eq!((acme.all_balances("").await.plan.as_str(), acme.left().await.as_str()), ("microbudget", "300"));
    acme.changed(Change::Subscribe("independent")).await;
    assert_eq!(acme.left().await, "1000");
}
