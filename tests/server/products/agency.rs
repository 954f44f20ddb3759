//! `agency-workspace`: R1 to R4, R6, P1, P4, P11, P12.

use genquota::proto::v1::DenialReason;

use crate::administrator::Change;
use crate::ask::{Ask, ask, item, named, outputs, paid_by, seconds, upgrade, work};
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";
const FLUX: &str = "fal/flux-pro-1.1";

fn tokens(input: &str, output: &str) -> Ask {
    ask("text.message", "openai/gpt-5-mini", work(vec![item(1, &[("input_tokens", input), ("output_tokens", output)], &[])]))
}

#[tokio::test]
async fn a_campaign_counts_what_the_agency_was_promised() {
    let server = Server::example("agency-workspace", NOON).await;
    let acme = server.customer("acme", "team").await;
    let picture = |resolution| ask("image.generate", FLUX, work(vec![item(1, &[], &[("resolution", resolution), ("quality", "high")])]));
    let table = [
        // One message with its reply, whatever its length.
        (tokens("12", "900"), "1"),
        (tokens("200000", "64000"), "1"),
        // Every image, whatever resolution or model; a later edit counts again.
        (picture("1024"), "1"),
        (picture("4096").at("openai/gpt-image-1"), "1"),
        (ask("image.edit", FLUX, outputs(1)), "1"),
        // 5 s at 0.33 are 1.65 and count 2; 3 s at 2 count 6.
        (ask("video.generate", "runway/gen4-turbo", seconds(&["5"])), "2"),
        (ask("video.generate", "google/veo-3", seconds(&["3"])), "6"),
        (ask("video.generate", "runway/gen4", seconds(&["3.2"])), "4"),
        // 20 variations of one master; the 5 formats of one creative; 5 translated cells; a voiceover.
        (ask("feed.variation", FLUX, outputs(20)), "20"),
        (ask("feed.creative", FLUX, work(vec![item(1, &[("formats", "5")], &[])])), "1"),
        (ask("sheet.translate", "openai/gpt-5-mini", outputs(5)), "5"),
        (ask("voiceover.generate", "elevenlabs/eleven-v3", work(vec![item(1, &[("characters", "800")], &[])])), "1"),
        // Free.
        (ask("asset.upload", "", outputs(40)), "0"),
        (ask("image.crop", "", outputs(5)), "0"),
        (ask("prompt.enhance", "", outputs(1)), "0"),
    ];
    let mut total = 0;
    for (ask, units) in table {
        let used = acme.used(&ask).await;
        assert_eq!(used.units_committed, units, "{}", ask.0.action);
        total += units.parse::<i32>().unwrap();
    }
    let balance = acme.balance().await;
    assert_eq!((balance.committed, balance.available), (total.to_string(), (2000 - total).to_string()));
    // Nothing rolls over.
    server.clock.set("2026-04-10T00:00:00Z");
    assert_eq!(acme.left().await, "2000");
}

#[tokio::test]
async fn a_trial_is_short_small_and_cheap() {
    let server = Server::example("agency-workspace", NOON).await;
    let acme = server.stranger("acme");
    let clip = |length| ask("video.generate", "runway/gen4-turbo", seconds(&[length]));
    assert_eq!(named(&acme.denied_for(&clip("5.1"), DenialReason::FeatureNotInPlan).await), ["seconds"]);
    assert_eq!(acme.used(&clip("5")).await.cost_committed, "0.25");
    // Its day of providers costs two dollars at most: 43 images at 0.04 and a clip are 1.97.
    assert_eq!(acme.used(&ask("image.generate", FLUX, outputs(43))).await.cost_committed, "1.72");
    assert_eq!(named(&acme.denied_for(&ask("image.generate", FLUX, outputs(1)), DenialReason::CapReached).await), ["daily_cost"]);
    acme.used(&ask("prompt.enhance", "", outputs(1))).await;
    server.clock.set("2026-03-11T00:00:00Z");
    // 50 a month: 2 and 43 are gone.
    acme.denied_for(&ask("image.generate", FLUX, outputs(6)), DenialReason::QuotaExhausted).await;
    acme.used(&ask("image.generate", FLUX, outputs(5))).await;
    acme.denied_for(&ask("image.generate", FLUX, outputs(1)), DenialReason::QuotaExhausted).await;
}

#[tokio::test]
async fn a_network_pays_by_campaign() {
    let server = Server::example("agency-workspace", NOON).await;
    let acme = server.customer("acme", "network").await;
    // 500 dollars for each campaign and month, at 0.40 a second.
    let clip = |campaign, length| ask("video.generate", "google/veo-3", seconds(&[length])).label("campaign", campaign);
    acme.used(&clip("spring", "1250")).await;
    let denial = acme.denied_for(&clip("spring", "1"), DenialReason::CapReached).await;
    assert_eq!((named(&denial), denial.violations[0].dimensions["campaign"].as_str()), (vec!["campaign_cost"], "spring"));
    acme.used(&clip("summer", "1")).await;
    assert!(acme.balance().await.unlimited);
}

#[tokio::test]
async fn a_workspace_goes_from_trial_to_team_to_network_and_back() {
    let server = Server::example("agency-workspace", NOON).await;
    let acme = server.subject("acme").await;
    acme.used(&ask("sheet.translate", "openai/gpt-5-mini", outputs(50))).await;
    let variations = |count| ask("feed.variation", FLUX, outputs(count));
    let denial = acme.denied_for(&variations(20), DenialReason::QuotaExhausted).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("team"));
    acme.changed(Change::Subscribe("team")).await;
    acme.used(&variations(20)).await;
    assert_eq!(acme.left().await, "1980");
    acme.changed(Change::Plan("network")).await;
    assert_eq!(paid_by(&acme.used(&variations(5000)).await), "allowance generations 5000");
    acme.changed(Change::Plan("team")).await;
    assert!(acme.balance().await.unlimited);
    server.clock.set("2026-04-10T00:00:00Z");
    assert_eq!(acme.left().await, "2000");
    acme.changed(Change::Cancel).await;
    server.clock.set("2026-05-10T00:00:00Z");
    assert_eq!((acme.all_balances("").await.plan.as_str(), acme.left().await.as_str()), ("trial", "50"));
}
