//! C1 and C2 between two price books: what differs, and what that means for attempts that were made.

use genquota::domain::amount::Micros;
use genquota::domain::price_book::{PriceBook, Unpriced};
use genquota::prices::Changes;
use genquota::traffic::Repriced;

use crate::bench::{CATALOG, catalog, changed, image, traffic};

const NEW_FLUX: &str = concat!(
    "  - {provider: fal, model: flux, tier: basic, components: ",
    "[{per: output, price: 0.06, when: {quality: high}}, {per: output, price: 0.05}]}\n"
);
const OLD_FLUX: &str = "  - {provider: fal, model: flux, tier: basic, components: [{per: output, price: 0.04}]}\n";
const VEO: &str = "  - {provider: google, model: veo, tier: premium, components: [{per: seconds, price: 0.5}]}\n";

fn told(old: &str, new: &str) -> Vec<String> {
    let changes = Changes::between(&catalog(old).price_book, &catalog(new).price_book);
    let unpriced = changes.unpriced.iter().map(|(old, new)| format!("unpriced: {old} to {new}"));
    let targets = changes.targets.iter().flat_map(|target| {
        let tier = (target.tier.0 != target.tier.1).then(|| format!("{} {}: tier {:?}", target.target, target.kind(), target.tier));
        let components = target.components.iter().map(|change| {
            let from = change.from.map(|from| format!(" from {from}")).unwrap_or_default();
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} {}: {}{from}: {} to {}", target.target, target.kind(), change.component, side(&change.old), side(&change.new))
        });
        tier.into_iter().chain(components).collect::<Vec<_>>()
    });
    unpriced.chain(targets).collect()
}

#[test]
fn each_component_that_differs_is_told_with_both_prices() {
    assert_eq!(told(CATALOG, CATALOG), Vec::<String>::new());
    assert_eq!(
        told(CATALOG, &CATALOG.replace(OLD_FLUX, NEW_FLUX)),
        ["fal/flux changed: output: 0.04 to 0.05", "fal/flux changed: output at quality high: - to 0.06"]
    );
    assert_eq!(
        told(CATALOG, &CATALOG.replace(OLD_FLUX, &OLD_FLUX.replace("basic", "standard"))),
        ["fal/flux changed: tier (Some(\"basic\"), Some(\"standard\"))"]
    );
}

#[test]
fn targets_that_come_and_go_and_later_prices_are_told() {
    let without = CATALOG.replace(VEO, "");
    assert_eq!(told(CATALOG, &without), ["google/veo removed: tier (Some(\"premium\"), None)", "google/veo removed: seconds: 0.5 to -"]);
    assert_eq!(told(&without, CATALOG), ["google/veo added: tier (None, Some(\"premium\"))", "google/veo added: seconds: - to 0.5"]);
    let later = format!("{VEO}{}", VEO.replace("tier: premium", "tier: premium, from: 2026-03-01").replace("0.5", "0.4"));
    assert_eq!(told(CATALOG, &CATALOG.replace(VEO, &later)), ["google/veo changed: seconds from 2026-03-01T00:00:00Z: - to 0.4"]);
}

#[test]
fn another_order_of_components_and_another_policy_are_changes() {
    let new = CATALOG.replace(OLD_FLUX, NEW_FLUX);
    let (high, base) = ("{per: output, price: 0.06, when: {quality: high}}", "{per: output, price: 0.05}");
    let turned = new.replace(&format!("{high}, {base}"), &format!("{base}, {high}"));
    assert_eq!(
        told(&new, &turned),
        ["fal/flux changed: order: output at quality high, then output to output, then output at quality high"]
    );
    assert_eq!(told(CATALOG, &format!("{CATALOG}unpriced: {{hold: 0.05}}\n")), ["unpriced: refuse to hold 0.05"]);
}

fn row(repriced: &Repriced, provider: &str) -> Vec<String> {
    let (_, row) = repriced.rows.iter().find(|((name, _, _), _)| name == provider).unwrap();
    let counts = [row.attempts, row.billed, row.newly_unpriced, row.newly_priced].map(|count| count.to_string());
    [row.booked, row.old, row.new, row.new.above(row.old)].map(|sum| sum.to_string()).into_iter().chain(counts).collect()
}

#[test]
fn attempts_cost_what_each_book_says_and_what_was_billed_stands() {
    let event = |id: &str| image("acme", id, "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z");
    let events = [
        event("r-1"),
        event("r-2").numbered(1, "REJECTED", "0", "0.04"),
        // The provider's bill is not the price.
        event("r-3").with("attempt.cost", "0.07").with("attempt.costBasis", "COST_BASIS_BILLED"),
        // Nothing was billed, so there is nothing to price.
        event("r-4")
            .numbered(1, "FAILED", "0", "0")
            .with("billedWork", serde_json::json!({"items": []}))
            .with("attempt.costBasis", "COST_BASIS_NONE"),
        event("r-5").video("8", "4", "4"),
    ];
    let traffic = traffic(&events);
    let (old, new) = (catalog(CATALOG), changed(&[(OLD_FLUX, NEW_FLUX), (VEO, "")]));
    let repriced = Repriced::of(&traffic.attempts, &old.price_book, &new.price_book);
    // booked, old, new, difference; attempts, billed, newly unpriced, newly priced.
    assert_eq!(row(&repriced, "fal"), ["0.15", "0.15", "0.17", "0.02", "4", "1", "0", "0"]);
    assert_eq!(row(&repriced, "google"), ["4", "4", "0", "-4", "1", "0", "1", "0"]);
    let back = Repriced::of(&traffic.attempts, &new.price_book, &old.price_book);
    assert_eq!(row(&back, "google"), ["4", "0", "4", "4", "1", "0", "0", "1"]);
    let total = repriced.total();
    assert_eq!((total.attempts, total.old.to_string(), total.new.to_string()), (5, "4.15".to_owned(), "0.17".to_owned()));
}

#[test]
fn the_price_of_the_day_an_attempt_was_made_counts() {
    let later = format!("{VEO}{}", VEO.replace("tier: premium", "tier: premium, from: 2026-03-02").replace("0.5", "0.4"));
    let new = changed(&[(VEO, &later)]);
    let video = |id: &str, day: &str| image("acme", id, &format!("{day}T23:59:59Z"), "2026-03-02T00:00:09Z").video("10", "5", "5");
    let traffic =
        traffic(&[video("r-1", "2026-03-01"), image("acme", "r-2", "2026-03-02T00:00:00Z", "2026-03-02T00:00:09Z").video("10", "5", "5")]);
    let repriced = Repriced::of(&traffic.attempts, &catalog(CATALOG).price_book, &new.price_book);
    assert_eq!(row(&repriced, "google")[..4], ["10", "10", "9", "-1"]);
}

#[test]
fn work_that_lacks_what_a_price_asks_for_has_none() {
    let new = changed(&[("components: [{per: output, price: 0.04}]", "components: [{per: seconds, price: 0.04}]")]);
    let traffic = traffic(&[image("acme", "r-1", "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z")]);
    let repriced = Repriced::of(&traffic.attempts, &catalog(CATALOG).price_book, &new.price_book);
    assert_eq!(row(&repriced, "fal"), ["0.04", "0.04", "0", "-0.04", "1", "0", "1", "0"]);
    // What the book says of work without a price holds for it too.
    let held = Repriced::of(
        &traffic.attempts,
        &new.price_book,
        &PriceBook { unpriced: Unpriced::Hold(Micros::new(70_000).unwrap()), ..new.price_book.clone() },
    );
    assert_eq!(row(&held, "fal"), ["0.04", "0", "0.07", "0.07", "1", "0", "0", "0"]);
    assert_eq!(held.total().unpriced, 1);
}
