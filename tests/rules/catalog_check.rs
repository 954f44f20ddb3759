//! What a catalog's check says, and where.

use genquota::catalog::{self, check, load, parse};
use genquota::domain::cap::{CapOf, Dimension};
use genquota::domain::counting::{Charging, Per};
use genquota::domain::period::Cadence;
use genquota::domain::plan::{AllowancePer, BurnOrder, SourceKind};
use proptest::prelude::*;

use crate::bench::{EXAMPLES, example, in_repository};

/// A catalog without a mistake, for tests to spoil.
const SMALL: &str = "\
catalog: genquota/v1
meters: {credits: {}}
actions:
  image.generate:
    meter: credits
    attributes: {quality: [low, high]}
    rules:
      - {per: output, rate: 1}
plans:
  core:
    rank: 1
    allowances:
      - {meter: credits, amount: 10, per: user}
prices:
  - {provider: fal, model: flux, tier: basic, components: [{per: output, price: 0.04}]}
";

/// What the check says about `SMALL` with one text replaced by another.
fn after(good: &str, bad: &str) -> String {
    assert_eq!(SMALL.matches(good).count(), 1, "`{good}` stands once in the small catalog");
    check("c.yaml", &SMALL.replace(good, bad)).1.to_string()
}

/// Each spoiled catalog and all that is said about it.
fn expect(cases: &[(&str, &str, &str)]) {
    for (good, bad, said) in cases {
        assert_eq!(after(good, bad), *said, "{bad}");
    }
}

#[test]
fn every_example_is_valid_and_without_warnings() {
    for name in EXAMPLES {
        let path = in_repository(&format!("examples/catalogs/{name}.yaml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (catalog, problems) = check(name, &text);
        assert_eq!(problems.to_string(), "");
        assert!(catalog.is_some());
        assert!(text.starts_with("# yaml-language-server: $schema=../../docs/catalog.schema.json\n"), "{name}");
    }
    assert_eq!(check("small", SMALL).1.to_string(), "");
}

#[test]
fn the_bundled_catalog_is_valid() {
    let catalog = parse(catalog::BUNDLED_NAME, catalog::BUNDLED).unwrap();
    assert_eq!(catalog.plans.len(), 3);
    assert_eq!(catalog.default_plan.unwrap().as_str(), "microbudget");
}

#[test]
fn the_smallest_catalog_of_the_reference_is_valid() {
    let reference = std::fs::read_to_string(in_repository("docs/catalog.md")).unwrap();
    let smallest = reference.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(smallest.starts_with(&format!("catalog: {}\n", catalog::FORMAT)), "{smallest}");
    assert_eq!(check("catalog.md", smallest).1.to_string(), "");
}

#[test]
fn the_version_names_the_edition_and_digests_the_file() {
    let version = |text: &str| parse("c", text).unwrap().version.to_string();
    let plain = version(SMALL);
    assert_eq!(plain.len(), 12);
    assert!(plain.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(plain, version(SMALL));
    assert_ne!(plain, version(&format!("{SMALL}# a comment\n")));
    let named = version(&format!("version: 2026-02\n{SMALL}"));
    assert!(named.starts_with("2026-02.") && named.len() == 20, "{named}");
}

#[test]
fn what_a_file_says_is_what_the_catalog_holds() {
    let avatar = example("avatar-studio");
    let team = avatar.plans["team"].terms[0].allowances[0].clone();
    assert_eq!((team.per, team.monthly.every, team.yearly.every), (AllowancePer::Seat, Cadence::Month, Cadence::Year));
    assert_eq!((team.monthly.amount.unwrap().to_string(), team.yearly.amount.unwrap().to_string()), ("150".into(), "1800".into()));
    assert!(avatar.plans["team"].price.per_seat && avatar.credits.requires_subscription && avatar.credits.end_with_period);
    let personal = &avatar.plans["personal"].terms[0].add_ons[0];
    assert_eq!(
        (personal.monthly.amount.to_string(), personal.price.unwrap().to_string(), personal.per),
        ("60".into(), "10".into(), AllowancePer::User)
    );

    let stock = example("stock-studio");
    let core = &stock.plans["core"];
    let per_user = |day: &str| core.terms_on(day.parse().unwrap()).allowances[0].monthly.amount.unwrap().to_string();
    assert_eq!((per_user("2026-02-24"), per_user("2026-02-25")), ("25".into(), "10".into()));
    let ultimate = &stock.plans["ultimate"].terms[0].allowances[0];
    assert_eq!((ultimate.monthly.amount, ultimate.yearly.every), (None, Cadence::Month));

    let film = example("film-studio");
    let hollywood = &film.plans["hollywood"].terms[0];
    assert_eq!(hollywood.burn_order, BurnOrder(vec![SourceKind::Allowance, SourceKind::AddOn, SourceKind::Grant]));
    assert_eq!(hollywood.allowances[0].rollover.unwrap().cap.to_string(), "500");
    assert_eq!((hollywood.failover.plan.attempts_max, hollywood.features.tiers.clone()), (Some(4), None));
    assert!(
        matches!(&film.actions["video.generate"].charge, Charging::Metered { rules, .. } if matches!(&rules[2].per, Per::Measure(m) if m.as_str() == "seconds"))
    );
    assert_eq!(film.near_limit_percent, 80);

    let pricing = example("provider-pricing");
    let hour = pricing.caps.iter().find(|cap| cap.id.as_str() == "model_hour").unwrap();
    assert_eq!((&hour.of, &hour.by[..]), (&CapOf::Cost, &[Dimension::Provider, Dimension::Model][..]));
}

#[test]
fn a_file_with_many_mistakes_says_all_of_them_in_one_go() {
    let text = "\
catalog: genquota/v2
currancy: USD
currency: dollars
near_limit: 200
default_plan: cor
meters:
  credits: {titel: Credits}
  cost: {}
actions:
  image.generate:
    meter: credit
    attributes: {quality: [low, high]}
    rules:
      - {per: outputs, rate: -1}
      - {when: {quality: best, tier: gold}, per: output}
      - {per: output, rate: 1, round: {mode: upp, to: 0}}
      - {per: output, rate: [1]}
  video.generate: {}
plans:
  core:
    rank: one
    allowances:
      - {meter: credits, amount: unlimted, per: user, pool: shared}
      - {amount: 1e3, per: seats}
    caps:
      daily: {of: units, limit: 2.0000001}
    colour: blue
  core: {}
prices:
  - {provider: fal, model: flux, tier: basic, from: 2026-13-01, components: []}
  - {provider: fal pro, tier: basic, components: [{per: second, price: free}]}
";
    let (catalog, problems) = check("c.yaml", text);
    assert!(catalog.is_none());
    let said: Vec<String> = problems.problems.iter().map(|p| format!("{}:{} {}: {}", p.line, p.column, p.path, p.message)).collect();
    assert_eq!(
        said,
        [
            "1:10 catalog: unknown format: `genquota/v2`",
            "2:1 currancy: unknown key: `currancy`",
            "3:11 currency: must be a currency code such as `USD`: got `dollars`",
            "4:13 near_limit: must be a percentage from 1 to 100: got `200`",
            "5:15 default_plan: unknown plan: `cor`",
            "7:13 meters.credits.titel: unknown key: `titel`",
            "8:3 meters.cost: the meter `cost` is built in",
            "11:12 actions.image.generate.meter: unknown meter: `credit`",
            "14:15 actions.image.generate.rules[0].per: `outputs` is neither `request`, `output` nor a measure of this action",
            "14:30 actions.image.generate.rules[0].rate: must be a plain decimal such as `1.65`: digits, at most one point, no sign and no exponent; got \"-1\"",
            "15:9 actions.image.generate.rules[1]: is never used: the rule at line 14 has no conditions",
            "15:9 actions.image.generate.rules[1].rate: is missing",
            "15:26 actions.image.generate.rules[1].when.quality: `best` is not a value of `quality`",
            "15:38 actions.image.generate.rules[1].when.tier: unknown tier: `gold`",
            "16:9 actions.image.generate.rules[2]: is never used: the rule at line 14 has no conditions",
            "16:46 actions.image.generate.rules[2].round.mode: must be one of `none`, `up`, `down`, `half_up`: got `upp`",
            "17:9 actions.image.generate.rules[3]: is never used: the rule at line 14 has no conditions",
            "17:23 actions.image.generate.rules[3].rate: must be a single value, not a list",
            "18:3 actions.video.generate: is neither free nor charged",
            "21:11 plans.core.rank: must be a whole number: got `one`",
            "23:34 plans.core.allowances[0].amount: must be an amount or `unlimited`: got `unlimted`",
            "23:61 plans.core.allowances[0].pool: only seats can share a pool",
            "24:9 plans.core.allowances[1].meter: is missing",
            "24:18 plans.core.allowances[1].amount: must be a plain decimal such as `1.65`: digits, at most one point, no sign and no exponent; got \"1e3\"",
            "24:28 plans.core.allowances[1].per: must be one of `user`, `seat`, `subject`: got `seats`",
            "26:7 plans.core.caps.daily.meter: is missing",
            "26:33 plans.core.caps.daily.limit: has more than 6 digits after the point: 2.0000001",
            "27:5 plans.core.colour: unknown key: `colour`",
            "28:3 plans.core: duplicate key",
            "30:53 prices[0].from: must be a day such as `2026-02-25` or an instant such as `2026-02-25T08:00:00Z`: got `2026-13-01`",
            "30:65 prices[0].components: is an empty list",
            "31:5 prices[1].model: is missing",
            "31:16 prices[1].provider: not a name: has ' ' at byte 3; allowed are letters, digits and `._:@/-`",
            "31:57 prices[1].components[0].per: unknown measure: `second`",
            "31:72 prices[1].components[0].price: must be a plain decimal such as `1.65`: digits, at most one point, no sign and no exponent; got \"free\"",
        ],
        "{problems}"
    );
}

#[test]
fn an_unknown_name_is_named_with_what_was_probably_meant() {
    expect(&[
        (
            "meter: credits\n",
            "meter: credit\n",
            "c.yaml:5:12: actions.image.generate.meter: unknown meter: `credit`\n  hint: did you mean `credits`?",
        ),
        (
            "{meter: credits, amount",
            "{meter: euros, amount",
            "c.yaml:13:17: plans.core.allowances[0].meter: unknown meter: `euros`\n  hint: declared are `credits`",
        ),
        (
            "catalog: genquota/v1",
            "catalog: genquota/v1\ndefault_plan: pro",
            "c.yaml:2:15: default_plan: unknown plan: `pro`\n  hint: declared are `core`",
        ),
        (
            "rank: 1",
            "features: {tiers: gold}",
            "c.yaml:11:23: plans.core.features.tiers: unknown tier: `gold`\n  hint: declared are `basic`",
        ),
        (
            "rank: 1",
            "features: {actions: [image.generat]}",
            "c.yaml:11:26: plans.core.features.actions[0]: unknown action: `image.generat`\n  hint: did you mean `image.generate`?",
        ),
        (
            "rank: 1",
            "features: {measures: {seconds: 5}}",
            "c.yaml:11:27: plans.core.features.measures.seconds: unknown measure: `seconds`\n  hint: declare it under `actions`",
        ),
        (
            "rank: 1",
            "features: {attributes: {qualty: low}}",
            "c.yaml:11:29: plans.core.features.attributes.qualty: unknown attribute: `qualty`\n  hint: did you mean `quality`?",
        ),
        (
            "rank: 1",
            "features: {attributes: {quality: medium}}",
            "c.yaml:11:38: plans.core.features.attributes.quality: `medium` is not a value of `quality`\n  hint: declared are `high`, `low`",
        ),
        (
            "[{per: output, price",
            "[{per: seconds, price",
            "c.yaml:15:66: prices[0].components[0].per: unknown measure: `seconds`\n  hint: declare it under `actions`",
        ),
    ]);
}

#[test]
fn a_condition_looks_only_at_what_can_be_told() {
    let price = |when: &str| after("price: 0.04}", &format!("price: 0.04, when: {when}}}"));
    assert_eq!(
        price("{tier: basic}"),
        "c.yaml:15:94: prices[0].components[0].when.tier: a price cannot depend on the tier\n  hint: possible here are `action` and attributes"
    );
    assert_eq!(
        price("{qualify: low}"),
        "c.yaml:15:94: prices[0].components[0].when.qualify: unknown condition: `qualify`\n  hint: did you mean `quality`?"
    );
    assert_eq!(price("{action: image.generate, quality: [low, high]}"), "");
    assert_eq!(
        after("      - {per: output, rate: 1}", "      - {when: {teir: basic}, per: output, rate: 2}\n      - {per: output, rate: 1}"),
        "c.yaml:8:17: actions.image.generate.rules[0].when.teir: unknown condition: `teir` is no attribute of this action\n  \
         hint: did you mean `tier`?"
    );
    assert_eq!(
        after("rank: 1", "caps: {daily: {of: cost, limit: 1, match: {quality: low}}}"),
        "c.yaml:11:48: plans.core.caps.daily.match.quality: unknown condition: `quality`\n  \
         hint: possible here are `action`, `provider`, `model`, `tier`, `plan`"
    );
}

#[test]
fn counting_rules_are_complete_and_round_to_a_step() {
    expect(&[
        ("- {per: output, rate: 1}", "- {per: output}", "c.yaml:8:9: actions.image.generate.rules[0].rate: is missing"),
        (
            "      - {per: output, rate: 1}",
            "      []",
            "c.yaml:7:5: actions.image.generate.rules: is an empty list\n  hint: add a rule such as `{per: output, rate: 1}`",
        ),
        ("rate: 1}", "rate: 1, round: {mode: up, to: 0}}", "c.yaml:8:54: actions.image.generate.rules[0].round.to: must be more than zero"),
        ("rate: 1}", "rate: 1000000001}", "c.yaml:8:29: actions.image.generate.rules[0].rate: is larger than 1000000000: 1000000001"),
        (
            "    meter: credits\n",
            "    free: true\n",
            "c.yaml:5:11: actions.image.generate.free: an action is either free or charged by rules, not both\n  \
             hint: remove `free`, or remove `meter` and `rules`\n\
             c.yaml:13:17: warning: plans.core.allowances[0].meter: no action is charged in `credits`\n  \
             hint: charge an action in it, or give an allowance of another meter",
        ),
        (
            "    attributes: {quality",
            "    measures: output\n    attributes: {quality",
            "c.yaml:6:15: actions.image.generate.measures: the name `output` has a meaning of its own after `per`\n  hint: give the measure another name",
        ),
    ]);
}

#[test]
fn plans_are_ranked_dated_and_consistent() {
    expect(&[(
        "prices:",
        "  pro: {rank: 1}\nprices:",
        "c.yaml:14:15: plans.pro.rank: the plan `core` has the same rank: 1\n  hint: give each plan its own `rank`; a higher rank is an upgrade",
    )]);
    assert_eq!(
        after(
            "    allowances:\n      - {meter: credits, amount: 10, per: user}",
            "    terms:\n      - {from: 2026-03-01}\n      - {from: 2026-02-01}\n      - {}\n      - {from: 2026-02-30}"
        ),
        "c.yaml:14:16: plans.core.terms[1].from: is not later than the terms before it: `2026-02-01`\n  hint: order terms by date, oldest first\n\
         c.yaml:15:9: plans.core.terms[2].from: is missing\n\
         c.yaml:16:16: plans.core.terms[3].from: must be a day such as `2026-02-25`: got `2026-02-30`"
    );
    assert_eq!(
        after("    rank: 1", "    rank: 1\n    terms: [{}]"),
        "c.yaml:12:5: plans.core.terms: terms stand either in this list or in the plan itself, not in both\n  \
         hint: move the other keys of the plan, but `title`, `rank` and `price`, into the first of them"
    );
    assert_eq!(
        after("prices:", "  pro: {rank: 2, burn_order: [grant, allowance], failover: {max_attempts: 0}}\nprices:"),
        "c.yaml:14:18: plans.pro.burn_order: must name each of `allowance`, `add_on` and `grant` once\n  \
         hint: such as `[allowance, add_on, grant]`\n\
         c.yaml:14:75: plans.pro.failover.max_attempts: must be 1 to 32: the first attempt counts"
    );
}

#[test]
fn allowances_say_how_much_of_what_for_whom() {
    expect(&[
        (
            "amount: 10",
            "amount: 10.0000001",
            "c.yaml:13:34: plans.core.allowances[0].amount: has more than 6 digits after the point: 10.0000001",
        ),
        ("amount: 10", "amount: 1000000001", "c.yaml:13:34: plans.core.allowances[0].amount: is larger than 1000000000: 1000000001"),
        (
            "per: user}",
            "per: user, pool: shared}",
            "c.yaml:13:55: plans.core.allowances[0].pool: only seats can share a pool\n  hint: write `per: seat`, or leave `pool` out",
        ),
        (
            "per: user}",
            "per: user, billed_yearly: {}}",
            "c.yaml:13:49: plans.core.allowances[0].billed_yearly: says nothing: it has neither `amount` nor `every`\n  hint: leave it out",
        ),
        (
            "per: user}",
            "per: user}\n      - {meter: credits, amount: 1, per: subject}",
            "c.yaml:14:17: plans.core.allowances[1].meter: there is another allowance `credits` in these terms\n  \
             hint: give one of them an `id` of its own",
        ),
    ]);
    let two_meters = SMALL
        .replace("{credits: {}}", "{credits: {}, clips: {}}")
        .replace("prices:", "  pro: {rank: 2, allowances: [{id: credits, meter: clips, amount: 1, per: user}]}\nprices:");
    assert_eq!(
        check("c.yaml", &two_meters).1.to_string(),
        "c.yaml:14:36: plans.pro.allowances[0].id: the allowance `credits` at line 13 counts `credits`, not `clips`\n  \
         hint: give one of them another `id`: allowances with one id share an account\n\
         c.yaml:14:52: warning: plans.pro.allowances[0].meter: no action is charged in `clips`\n  \
         hint: charge an action in it, or give an allowance of another meter"
    );
}

#[test]
fn caps_say_what_they_limit() {
    let cap = |cap: &str| after("rank: 1", &format!("caps: {{c: {cap}}}"));
    assert_eq!(cap("{of: units, limit: 5}"), "c.yaml:11:12: plans.core.caps.c.meter: is missing");
    assert_eq!(cap("{}"), "c.yaml:11:12: plans.core.caps.c.of: is missing\nc.yaml:11:12: plans.core.caps.c.limit: is missing");
    assert_eq!(
        cap("{of: cost, meter: credits, limit: 5}"),
        "c.yaml:11:33: plans.core.caps.c.meter: only a cap of units has a meter\n  hint: remove `meter`, or write `of: units`"
    );
    assert_eq!(cap("{of: requests, limit: 1.5, per: day}"), "c.yaml:11:37: plans.core.caps.c.limit: must be a whole number: got `1.5`");
    assert_eq!(
        cap("{of: in_flight, limit: 5, per: day}"),
        "c.yaml:11:46: plans.core.caps.c.per: a cap of generations in flight has no window\n  hint: remove `per`: it counts what is running now"
    );
    assert_eq!(
        cap("{of: cost, limit: 5, by: [user, usr, user]}"),
        "c.yaml:11:47: plans.core.caps.c.by[1]: must be `user`, `provider`, `model`, `tier`, `action` or `label:NAME`: got `usr`\n  \
         hint: did you mean `user`?\nc.yaml:11:52: plans.core.caps.c.by[2]: is named twice: `user`"
    );
    assert_eq!(cap("{of: cost, limit: 5, by: [user, 'label:campaign'], per: week, match: {tier: basic, action: image.generate}}"), "");
    let twice = SMALL.replace("rank: 1", "caps: {c: {of: cost, limit: 5}}").replace("prices:", "caps: {c: {of: cost, limit: 9}}\nprices:");
    assert_eq!(
        check("c.yaml", &twice).1.to_string(),
        "c.yaml:11:12: plans.core.caps.c: `c` is also a cap over all plans\n  hint: give one of them another name"
    );
}

#[test]
fn prices_of_one_target_follow_each_other_and_share_a_tier() {
    let second = |price: &str| {
        let price = format!("  - {{provider: fal, model: flux, {price}, components: [{{per: output, price: 1}}]}}\n");
        check("c.yaml", &format!("{SMALL}{price}")).1.to_string()
    };
    assert_eq!(second("tier: basic, from: 2026-03-01"), "");
    assert_eq!(
        second("tier: basic"),
        "c.yaml:16:5: prices[1]: `fal/flux` has a price at line 15 that is not older than this one\n  \
         hint: give each price a later `from` than the one before it"
    );
    assert_eq!(
        second("tier: premium, from: 2026-03-01"),
        "c.yaml:16:40: prices[1].tier: `fal/flux` has the tier `basic` at line 15; a target has one tier"
    );
    assert_eq!(
        second("tier: basic, from: March"),
        "c.yaml:16:53: prices[1].from: must be a day such as `2026-02-25` or an instant such as `2026-02-25T08:00:00Z`: got `March`"
    );
    assert_eq!(
        after("price: 0.04}", "price: 0.04, assume: 5}"),
        "c.yaml:15:95: prices[0].components[0].assume: only a measure can be assumed\n  hint: remove `assume`, or price a measure"
    );
}

#[test]
fn what_is_odd_but_valid_is_a_warning() {
    let warned = |text: &str| {
        let (catalog, problems) = check("c.yaml", text);
        assert!(catalog.is_some(), "{problems}");
        assert_eq!((problems.errors(), problems.warnings()), (0, 1), "{problems}");
        problems.to_string()
    };
    assert_eq!(
        warned(&SMALL.replace("- {per: output, rate: 1}", "- {when: {tier: basic}, per: output, rate: 1}")),
        "c.yaml:8:9: warning: actions.image.generate.rules[0]: even the last rule has conditions: work that no rule covers is refused\n  \
         hint: end with a rule without `when`, unless that is meant"
    );
    assert_eq!(
        warned(
            &SMALL.replace("- {per: output, rate: 1}", "- {when: {model: fluks}, per: output, rate: 2}\n      - {per: output, rate: 1}")
        ),
        "c.yaml:8:24: warning: actions.image.generate.rules[0].when.model: no price has the model `fluks`, and targets without a price are \
         refused\n  hint: did you mean `flux`?"
    );
    assert_eq!(
        warned(&SMALL.replace("price: 0.04}", "price: 0.04}, {per: output, price: 9, when: {quality: high}}")),
        "c.yaml:15:88: warning: prices[0].components[1]: is never used: the component at line 15 has no conditions\n  \
         hint: put the component without conditions last"
    );
    let without_prices = &SMALL[..SMALL.find("prices:").unwrap()];
    assert!(warned(without_prices).contains("there are no prices, and targets without a price are refused"));
}

#[test]
fn a_structural_mistake_hides_no_name_and_starts_no_avalanche() {
    // The plan cannot be read in part, and is still a plan; the action too.
    expect(&[
        ("catalog: genquota/v1\n", "catalog: genquota/v1\ndefault_plan: core\n", ""),
        ("    rank: 1", "    rank: [1]", "c.yaml:11:5: plans.core.rank: must be a whole number, not a list"),
        ("meters: {credits: {}}", "meters: {credits: 5}", "c.yaml:2:19: meters.credits: must be a mapping: got `5`"),
        ("meters: {credits: {}}", "meters: [credits]", "c.yaml:2:1: meters: must be a mapping, not a list"),
        ("catalog: genquota/v1", "catalog: [genquota/v1]", "c.yaml:1:1: catalog: must be a single value, not a list"),
    ]);
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.yaml");
    let said = || load(&path).unwrap_err().to_string().replace(&path.display().to_string(), "c.yaml");
    assert!(said().starts_with("c.yaml: cannot be read: No such file"), "{}", said());
    std::fs::write(&path, b"catalog: \xff").unwrap();
    assert_eq!(said(), "c.yaml: cannot be read: not UTF-8 at byte 9");
    std::fs::write(&path, "#".repeat(2_000_000)).unwrap();
    assert!(said().starts_with("c.yaml: is too large: "), "{}", said());
    std::fs::write(&path, "catalog: 'genquota\n").unwrap();
    assert!(said().contains("is not valid YAML"), "{}", said());
    std::fs::write(&path, SMALL).unwrap();
    assert!(load(&path).is_ok());
}

proptest! {
    /// However a catalog is spoiled, the answer is a catalog or an error that names a place.
    #[test]
    fn a_spoiled_catalog_is_read_or_refused(from in 0..catalog::BUNDLED.len(), length in 0..12_usize, put in "[a-z0-9{}:,\\[\\]\n -]{0,6}") {
        let text = catalog::BUNDLED;
        let spoiled = format!("{}{put}{}", &text[..from], &text[(from + length).min(text.len())..]);
        let (catalog, problems) = check("c.yaml", &spoiled);
        prop_assert_eq!(catalog.is_some(), problems.errors() == 0);
        prop_assert!(problems.problems.iter().all(|problem| problem.line > 0 && !problem.message.is_empty()), "{}", problems);
    }
}
