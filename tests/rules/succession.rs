//! Which catalog may follow which (P14): nothing that was issued is taken away, or given a second time.

use genquota::catalog::{check_after, parse};
use genquota::domain::catalog::Catalog;
use genquota::yaml::Severity;

use crate::bench::{EXAMPLES, in_repository};

/// A catalog in force, for tests to edit.
const OLD: &str = "\
catalog: genquota/v1
currency: USD
meters: {credits: {}, generations: {}}
actions:
  image:
    meter: credits
    rules: [{per: output, rate: 1}]
  edit:
    meter: generations
    rules: [{per: output, rate: 1}]
prices:
  - {provider: fal, model: flux, tier: basic, components: [{per: output, price: 0.04}]}
plans:
  core.v1:
    rank: 1
    allowances:
      - {meter: generations, amount: 25, per: user}
    caps:
      daily: {of: requests, limit: 100, per: day}
  team:
    rank: 2
    allowances:
      - {id: seats, meter: credits, amount: 150, per: seat, pool: shared, billed_yearly: {amount: 1800, every: year}, rollover: {cap: 50}}
      - {id: open, meter: generations, amount: unlimited, per: subject}
    add_ons:
      more: {meter: credits, amount: 200, price: 30, per: subject}
default_plan: core.v1
caps:
  budget: {of: cost, limit: 20, per: day}
";

/// The instant at which all of this is judged: the 25th in the east, the 24th elsewhere.
const NOW: &str = "2026-02-24T11:30:00Z";
const DATED: &str = "let what is new begin by dated `terms`: `from: 2026-02-26` or later";

const LESS: &str = "may give less to whoever has changed to this plan";

fn catalog(text: &str) -> Catalog {
    parse("old", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn edited(good: &str, new: &str) -> String {
    assert_eq!(OLD.matches(good).count(), 1, "`{good}` stands once");
    OLD.replace(good, new)
}

/// What is said about a text that is valid by itself and follows another: `path: message`.
fn verdict(old: &str, new: &str) -> Vec<String> {
    catalog(new);
    let (accepted, problems) = check_after("new", new, &catalog(old), NOW.parse().unwrap());
    assert_eq!(accepted.is_some(), problems.errors() == 0);
    let wrong = problems.problems.iter().filter(|problem| problem.severity == Severity::Error);
    wrong.map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn a_catalog_may_follow_itself() {
    assert_eq!(verdict(OLD, OLD), [""; 0]);
    for name in EXAMPLES {
        let text = std::fs::read_to_string(in_repository(&format!("examples/catalogs/{name}.yaml"))).unwrap();
        let (accepted, problems) = check_after(name, &text, &catalog(&text), NOW.parse().unwrap());
        assert!(accepted.is_some(), "{problems}");
    }
}

#[test]
fn whatever_gives_more_or_issues_nothing_is_free() {
    for (good, new) in [
        ("amount: 25, per: user", "amount: 26, per: user"),
        ("amount: 150, per: seat", "amount: unlimited, per: seat"),
        ("amount: 1800", "amount: 1801"),
        ("rollover: {cap: 50}", "rollover: {cap: 60}"),
        ("amount: 200, price: 30", "amount: 250, price: 40"),
        ("price: 0.04", "price: 0.5"),
        ("    rank: 2\n", "    rank: 2\n    proration: full\n"),
        ("    rank: 2\n", "    rank: 2\n    proration_round: {mode: up}\n"),
        ("limit: 100", "limit: 1"),
        ("limit: 20", "limit: 1"),
        ("meter: credits\n    rules: [{per: output, rate: 1}]", "meter: generations\n    rules: [{per: output, rate: 3}]"),
        ("    rank: 1\n", "    rank: 1\n    price: {month: 9}\n    features: {tiers: [basic]}\n"),
        ("plans:\n", "plans:\n  new:\n    allowances: [{meter: credits, amount: 1, per: user}]\n"),
        ("caps:\n  budget: {of: cost, limit: 20, per: day}\n", "caps: {}\n"),
        ("daily: {of: requests", "daily: {of: in_flight, limit: 3}\n      again: {of: requests"),
        ("default_plan: core.v1", "default_plan: core.v1\nnear_limit: 50"),
    ] {
        assert_eq!(verdict(OLD, &edited(good, new)), [""; 0], "{new}");
    }
}

#[test]
fn a_smaller_amount_in_place_is_refused_with_place_plan_allowance_and_remedy() {
    let new = edited("amount: 25, per: user", "amount: 10, per: user");
    let (accepted, problems) = check_after("new.yaml", &new, &catalog(OLD), NOW.parse().unwrap());
    assert!(accepted.is_none());
    let line = new.lines().position(|line| line == "    allowances:").unwrap() + 1;
    let said = format!("new.yaml:{line}:5: plans.core.v1.allowances.generations: gives 10 instead of 25\n  hint: keep it, and {DATED}");
    assert_eq!(problems.to_string(), said);
    assert_eq!(problems.in_one_line(), said.replace("\n  hint", "; hint"));
}

#[test]
fn whatever_takes_away_is_refused() {
    let (core, seats) = ("plans.core.v1.allowances.generations", "plans.team.allowances.seats");
    for (good, new, place, said) in [
        ("amount: 25, per: user", "amount: 25, per: subject", core, "is `per: subject` instead of `per: user`"),
        ("amount: 25, per: user", "amount: 300, per: user, every: year", core, "is given every year instead of every month"),
        ("meter: generations, amount: 25", "id: other, meter: generations, amount: 25", core, "is gone"),
        ("amount: 150, per: seat, pool: shared", "amount: 150, per: seat", seats, "is `per: seat` instead of `per: seat, pool: shared`"),
        ("amount: 1800", "amount: 1799", seats, "gives 1799 instead of 1800, where billed yearly"),
        (", rollover: {cap: 50}", "", seats, "rolls over 0 instead of 50"),
        ("id: seats, meter: credits", "id: seats, meter: generations", seats, "is in `generations` instead of `credits`"),
        ("amount: unlimited", "amount: 1000000", "plans.team.allowances.open", "gives 1000000 instead of unlimited"),
        ("amount: 200", "amount: 199.5", "plans.team.add_ons.more", "gives 199.5 instead of 200"),
        (
            "per: subject}\ndefault",
            "per: subject, billed_yearly: {amount: 100}}\ndefault",
            "plans.team.add_ons.more",
            "gives 100 instead of 200, where billed yearly",
        ),
        ("    rank: 2\n", "    rank: 2\n    proration: none\n", "plans.team.proration", LESS),
        ("    rank: 2\n", "    rank: 2\n    proration_round: {to: 10}\n", "plans.team.proration", LESS),
        ("of: requests", "of: cost", "plans.core.v1.caps.daily", "limits something else than before under one name"),
        ("of: cost", "of: requests", "caps.budget", "limits something else than before under one name"),
        ("currency: USD", "currency: EUR", "currency", "is EUR, and what is booked already is in USD"),
        ("default_plan: core.v1\n", "", "default_plan", "is gone, and whoever has no subscription has what `core.v1` gives"),
        ("default_plan: core.v1", "default_plan: team", "default_plan.allowances.generations", "is gone"),
    ] {
        assert_eq!(verdict(OLD, &edited(good, new)), [format!("{place}: {said}")], "{new}");
    }
}

#[test]
fn a_plan_or_a_meter_that_is_gone_is_refused() {
    let (plan, other) = (OLD.find("  core.v1:\n").unwrap(), OLD.find("  team:\n").unwrap());
    let new = format!("{}{}", &OLD[..plan], &OLD[other..]).replace("default_plan: core.v1\n", "");
    let told = verdict(OLD, &new).join("\n");
    assert!(told.contains("plans.core.v1: is gone, and whoever is subscribed to it would have no plan"), "{told}");
    let new = OLD.replace("{credits: {}, generations: {}}", "{generations: {}}").replace("meter: credits", "meter: generations");
    let told = verdict(OLD, &new).join("\n");
    assert!(told.contains("meters.credits: is gone, and accounts and grants are kept in it"), "{told}");
}

#[test]
fn every_loss_is_told_at_once() {
    let new = edited("amount: 25", "amount: 24").replace("amount: 200", "amount: 100").replace("amount: 150", "amount: 140");
    assert_eq!(verdict(OLD, &new).len(), 3);
}

/// A plan of 25, and of `amount` from a day on.
fn dated(terms: &[(&str, u32)]) -> String {
    let mut text = String::from("    terms:\n");
    for (from, amount) in terms {
        let from = if from.is_empty() { String::new() } else { format!("from: {from}, ") };
        text.push_str(&format!("      - {{{from}allowances: [{{meter: generations, amount: {amount}, per: user}}]}}\n"));
    }
    let undated = "    allowances:\n      - {meter: generations, amount: 25, per: user}\n    caps:\n      daily: {of: requests, limit: 100, per: day}\n";
    edited(undated, &text)
}

#[test]
fn terms_of_coming_days_are_free_and_those_of_today_anywhere_are_not() {
    assert_eq!(verdict(OLD, &dated(&[("", 25), ("2026-02-26", 10)])), [""; 0]);
    let told = verdict(OLD, &dated(&[("", 25), ("2026-02-25", 10)]));
    assert!(told.len() == 1 && told[0].contains("gives 10 instead of 25"), "{told:?}");
    // What was announced may be withdrawn, or lowered, until it begins.
    let announced = dated(&[("", 25), ("2026-03-01", 40)]);
    assert_eq!(verdict(&announced, OLD), [""; 0]);
    assert_eq!(verdict(&announced, &dated(&[("", 25), ("2026-03-01", 5)])), [""; 0]);
}

#[test]
fn terms_may_be_tidied_away_when_no_period_can_have_begun_under_them() {
    let recent = dated(&[("", 25), ("2025-12-01", 10)]);
    let told = verdict(&recent, &dated(&[("", 10)]));
    assert!(told.len() == 1 && told[0].contains("gives 10 instead of 25, in periods that began before 2025-12-01"), "{told:?}");
    let old = dated(&[("", 25), ("2024-02-22", 10)]);
    assert_eq!(verdict(&old, &dated(&[("", 10)])), [""; 0]);
    assert_eq!(verdict(&dated(&[("", 25), ("2024-02-24", 10)]), &dated(&[("", 10)])).len(), 1);
}
