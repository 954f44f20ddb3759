//! Prices: C1 to C3.

use genquota::domain::price_book::{CostBasis, PriceError};
use genquota::domain::work::Work;

use crate::bench::{example, item, outputs, price, seconds};

/// A book that says more than the examples: by action, from a day on, and as fine as a price can be.
const BOOK: &str = "\
catalog: genquota/v1
meters: {credits: {}}
actions:
  image.generate: {meter: credits, measures: pixels, rules: [{per: output, rate: 1}]}
  image.edit: {meter: credits, rules: [{per: output, rate: 1}]}
unpriced: {hold: 0.05}
prices:
  - {provider: fal, model: flux, tier: basic, components: [{per: output, price: 0.06, when: {action: image.edit}}, {per: output, price: 0.04}]}
  - {provider: fal, model: later, tier: basic, from: 2026-03-01, components: [{per: output, price: 0.02}]}
  - {provider: azure, model: mini, tier: basic, components: [{per: pixels, price: 0.0000000020751953125}]}
";

fn in_book(action: &str, at: &str, work: &Work, when: &str) -> (String, CostBasis) {
    let book = genquota::catalog::parse("book.yaml", BOOK).unwrap_or_else(|problems| panic!("{problems}"));
    let priced = price(&book, action, at, work, when).unwrap();
    (priced.cost.to_string(), priced.basis)
}

const NOW: &str = "2026-04-01T12:00:00Z";

fn cost(action: &str, at: &str, work: &Work, when: &str) -> (String, CostBasis) {
    let priced = price(&example("provider-pricing"), action, at, work, when).unwrap();
    (priced.cost.to_string(), priced.basis)
}

fn priced(cost: &str) -> (String, CostBasis) {
    (cost.to_owned(), CostBasis::Priced)
}

#[test]
fn a_price_is_by_output_second_character_token_request_or_compute_second() {
    assert_eq!(cost("image.generate", "fal/flux-schnell", &outputs(4), NOW), priced("0.012"));
    assert_eq!(cost("video.generate", "runway/gen4-turbo", &seconds(&["5", "10"]), NOW), priced("0.76"));
    let line = Work { items: vec![item(1, &[("characters", "1000")], &[])] };
    assert_eq!(cost("speech.generate", "elevenlabs/eleven-v3", &line, NOW), priced("0.22"));
    let message = Work { items: vec![item(1, &[("input_tokens", "4000"), ("output_tokens", "1500")], &[])] };
    assert_eq!(cost("text.message", "openai/gpt-5-mini", &message, NOW), priced("0.004"));
    let image = Work { items: vec![item(2, &[("compute_seconds", "8")], &[])] };
    assert_eq!(cost("image.generate", "replicate/sdxl", &image, NOW), priced("0.0116"));
}

#[test]
fn a_price_varies_by_attributes_and_the_first_component_that_holds_counts() {
    for (resolution, expected) in [("512", "0.02"), ("1024", "0.04"), ("2048", "0.06")] {
        let work = Work { items: vec![item(1, &[], &[("resolution", resolution)])] };
        assert_eq!(cost("image.generate", "fal/flux-pro-1.1", &work, NOW), priced(expected));
    }
    for (quality, resolution, expected) in
        [("high", "2048", "0.25"), ("high", "1024", "0.167"), ("medium", "2048", "0.042"), ("low", "512", "0.011")]
    {
        let work = Work { items: vec![item(1, &[], &[("quality", quality), ("resolution", resolution)])] };
        assert_eq!(cost("image.generate", "openai/gpt-image-1", &work, NOW), priced(expected));
    }
}

#[test]
fn the_price_in_effect_at_the_time_counts() {
    let work = Work { items: vec![item(1, &[("seconds", "8")], &[("audio", "on")])] };
    assert_eq!(cost("video.generate", "google/veo-3", &work, "2026-02-28T23:59:59Z"), priced("6"));
    assert_eq!(cost("video.generate", "google/veo-3", &work, "2026-03-01T00:00:00Z"), priced("3.2"));
}

#[test]
fn a_price_from_an_instant_starts_at_that_instant() {
    let message = Work { items: vec![item(1, &[("input_tokens", "1000"), ("output_tokens", "1000")], &[])] };
    let at = |when| price(&example("provider-pricing"), "text.message", "anthropic/claude-haiku-4.5", &message, when);
    assert!(matches!(at("2025-10-15T14:59:59Z"), Err(PriceError::Unpriced { .. })));
    assert_eq!(at("2025-10-15T15:00:00Z").unwrap().cost.to_string(), "0.006");
}

#[test]
fn a_measure_that_is_not_known_before_the_run_is_assumed_and_the_cost_is_an_estimate() {
    let message = Work { items: vec![item(1, &[("input_tokens", "4000")], &[])] };
    assert_eq!(cost("text.message", "openai/gpt-5-mini", &message, NOW), ("0.002".to_owned(), CostBasis::Estimated));
}

#[test]
fn the_price_book_says_the_tier_of_a_target() {
    for (target, tier) in [("fal/wan-2.2", "basic"), ("runway/gen4-turbo", "standard"), ("google/veo-3", "premium")] {
        let found = price(&example("provider-pricing"), "video.generate", target, &seconds(&["1"]), NOW).unwrap();
        assert_eq!(found.tier.unwrap().as_str(), tier);
    }
}

#[test]
fn a_target_without_a_price_is_refused_held_at_a_default_or_flagged_at_nothing() {
    let work = outputs(1);
    let ask = |catalog: &str| price(&example(catalog), "image.generate", "fal/unheard-of", &work, NOW);
    assert!(matches!(ask("provider-pricing"), Err(PriceError::Unpriced { .. })));
    let held = ask("agency-workspace").unwrap();
    assert_eq!((held.cost.to_string(), held.basis), ("0.05".to_owned(), CostBasis::Estimated));
    let flagged = ask("stock-studio").unwrap();
    assert_eq!((flagged.cost.to_string(), flagged.basis), ("0".to_owned(), CostBasis::None));
}

#[test]
fn each_attempt_is_priced_at_the_target_that_ran_it() {
    let film = example("film-studio");
    // Two tries rejected by a quality gate and one accepted, at 0.04 each: 0.12 for one accepted output.
    let attempt = || price(&film, "image.generate", "fal/flux-pro-1.1", &outputs(1), NOW).unwrap().cost;
    let sum = attempt().checked_add(attempt()).and_then(|two| two.checked_add(attempt())).unwrap();
    assert_eq!(sum.to_string(), "0.12");
    // The same work on another target costs what that one charges.
    assert_eq!(price(&film, "image.generate", "openai/gpt-image-1", &outputs(1), NOW).unwrap().cost.to_string(), "0.042");
}

#[test]
fn a_price_can_be_that_of_an_action() {
    assert_eq!(in_book("image.generate", "fal/flux", &outputs(2), NOW), priced("0.08"));
    assert_eq!(in_book("image.edit", "fal/flux", &outputs(2), NOW), priced("0.12"));
}

#[test]
fn before_its_first_price_a_target_has_none_and_the_default_is_held_once() {
    let held = ("0.05".to_owned(), CostBasis::Estimated);
    assert_eq!(in_book("image.generate", "fal/later", &outputs(4), "2026-02-28T23:59:59Z"), held);
    assert_eq!(in_book("image.generate", "fal/later", &outputs(4), "2026-03-01T00:00:00Z"), priced("0.08"));
}

#[test]
fn a_price_per_pixel_is_exact_to_its_last_digit() {
    let image = Work { items: vec![item(2, &[("pixels", "1048576")], &[])] };
    // 1024 times 1024 pixels at 0.0000000020751953125 are 0.002176, to the digit: twice that is 0.004352.
    assert_eq!(in_book("image.generate", "azure/mini", &image, NOW), priced("0.004352"));
}
