//! `provider-pricing`: C1 to C3, and caps over cost by provider, model and tier.

use genquota::proto::v1::{CostBasis, DenialReason};

use crate::administrator::Change;
use crate::ask::{Ask, ask, item, named, outputs, work};
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";

fn one(action: &str, at: &str, measures: &[(&str, &str)], attributes: &[(&str, &str)]) -> Ask {
    ask(action, at, work(vec![item(1, measures, attributes)]))
}

#[tokio::test]
async fn every_way_to_charge_is_known_before_the_run() {
    let server = Server::example("provider-pricing", NOON).await;
    let acme = server.stranger("acme");
    let clip = |at, attributes| one("video.generate", at, &[("seconds", "8")], attributes);
    let table = [
        (one("image.generate", "fal/flux-schnell", &[], &[]), "0.003"),
        (one("image.generate", "fal/flux-pro-1.1", &[], &[("resolution", "512")]), "0.02"),
        (one("image.generate", "fal/flux-pro-1.1", &[], &[("resolution", "2048")]), "0.06"),
        (one("image.generate", "openai/gpt-image-1", &[], &[("quality", "high"), ("resolution", "2048")]), "0.25"),
        (one("image.generate", "openai/gpt-image-1", &[], &[("quality", "high")]), "0.167"),
        (one("image.generate", "openai/gpt-image-1", &[], &[]), "0.011"),
        // Six seconds of the machine are assumed.
        (one("image.generate", "replicate/sdxl", &[], &[]), "0.00435"),
        (clip("fal/wan-2.2", &[("resolution", "720p")]), "0.32"),
        (clip("runway/gen4-turbo", &[]), "0.41"),
        (clip("google/veo-3", &[("audio", "on")]), "3.2"),
        (clip("google/veo-3", &[("audio", "off")]), "1.6"),
        (one("speech.generate", "elevenlabs/eleven-v3", &[("characters", "1000")], &[]), "0.22"),
        (one("text.message", "openai/gpt-5-mini", &[("input_tokens", "4000")], &[]), "0.002"),
        (one("text.message", "anthropic/claude-haiku-4.5", &[("input_tokens", "4000"), ("output_tokens", "100")], &[]), "0.0045"),
    ];
    for (ask, cost) in table {
        let held = acme.held(&ask).await;
        assert_eq!((held.cost_reserved.as_str(), held.units_reserved.as_str()), (cost, "1"), "{:?}", ask.0.target);
    }
    // Before March sound was dearer.
    let earlier = Server::example("provider-pricing", "2026-02-28T23:59:59Z").await;
    assert_eq!(earlier.stranger("acme").held(&clip("google/veo-3", &[("audio", "on")])).await.cost_reserved, "6");
}

#[tokio::test]
async fn what_was_assumed_is_replaced_by_what_was_billed() {
    let server = Server::example("provider-pricing", NOON).await;
    let acme = server.stranger("acme");
    let (assumed, told) = (one("image.generate", "replicate/sdxl", &[], &[]), one("image.generate", "replicate/sdxl", &[], &[]));
    assert_eq!(acme.used(&assumed).await.attempts[0].cost_basis(), CostBasis::Estimated);
    acme.held(&told).await;
    let billed = work(vec![item(1, &[("compute_seconds", "9.5")], &[])]);
    let committed = acme.commit(told.key(), |request| request.billed_work = Some(billed)).await.unwrap().reservation.unwrap();
    assert_eq!((committed.cost_committed.as_str(), committed.attempts[0].cost_basis()), ("0.006888", CostBasis::Priced));
}

#[tokio::test]
async fn a_target_or_a_work_without_a_price_is_refused() {
    let server = Server::example("provider-pricing", NOON).await;
    let acme = server.stranger("acme");
    acme.denied_for(&one("image.generate", "startup/beta", &[], &[]), DenialReason::UnpricedTarget).await;
    // This model has prices by resolution, and none without one.
    acme.denied_for(&one("image.generate", "fal/flux-pro-1.1", &[], &[]), DenialReason::UnpricedTarget).await;
}

#[tokio::test]
async fn cost_is_capped_by_provider_model_and_tier() {
    let server = Server::example("provider-pricing", NOON).await;
    let acme = server.stranger("acme");
    let high =
        |count| ask("image.generate", "openai/gpt-image-1", work(vec![item(count, &[], &[("quality", "high"), ("resolution", "2048")])]));
    acme.used(&high(160)).await;
    assert_eq!(named(&acme.denied_for(&high(1), DenialReason::CapReached).await), ["model_hour"]);
    acme.used(&ask("image.generate", "fal/flux-schnell", outputs(1))).await;
    server.clock.set("2026-03-10T13:00:00Z");
    acme.used(&high(40)).await;
    // 50 dollars a day for all of premium.
    assert_eq!(named(&acme.denied_for(&high(1), DenialReason::CapReached).await), ["premium_day"]);
    let clip = one("video.generate", "google/veo-3", &[("seconds", "1")], &[]);
    assert_eq!(named(&acme.denied_for(&clip, DenialReason::CapReached).await), ["premium_day"]);
}

#[tokio::test]
async fn the_same_work_costs_what_the_target_that_ran_it_charges() {
    let server = Server::example("provider-pricing", NOON).await;
    let acme = server.stranger("acme");
    let clip = |at: &str| one("video.generate", at, &[("seconds", "8")], &[("resolution", "720p")]);
    let quote = acme.quote(&clip("fal/wan-2.2"), &["fal/wan-2.2", "runway/gen4-turbo", "google/veo-3"]).await.unwrap();
    let offers: Vec<_> = quote.offers.iter().map(|offer| (offer.cost.as_str(), offer.cost_shift.as_str(), offer.fits)).collect();
    assert_eq!(offers, [("0.32", "0", true), ("0.41", "0.09", true), ("1.6", "1.28", false)]);
    assert_eq!(quote.offers[2].denial.as_ref().unwrap().reason(), DenialReason::FailoverPolicy);
    let shifted = acme.used(&clip("runway/gen4-turbo").planned("fal/wan-2.2")).await;
    assert_eq!((shifted.cost_committed.as_str(), shifted.attempts[0].cost_shift.as_str()), ("0.41", "0.09"));
}

#[tokio::test]
async fn a_cap_that_a_contract_raises_lets_the_next_call_through() {
    let server = Server::example("provider-pricing", NOON).await;
    let acme = server.subject("acme").await;
    let clip = || one("video.generate", "google/veo-3", &[("seconds", "10")], &[("audio", "on")]);
    for _ in 0..10 {
        acme.used(&clip()).await;
    }
    assert_eq!(named(&acme.denied_for(&clip(), DenialReason::CapReached).await), ["model_hour"]);
    acme.changed(Change::Cap("model_hour", "unlimited")).await;
    for _ in 0..2 {
        acme.used(&clip()).await;
    }
    assert_eq!(named(&acme.denied_for(&clip(), DenialReason::CapReached).await), ["premium_day"]);
    acme.changed(Change::Cap("premium_day", "52")).await;
    acme.used(&clip()).await;
    assert_eq!(named(&acme.denied_for(&clip(), DenialReason::CapReached).await), ["premium_day"]);
}
