//! The catalog of these tests: one meter, a few actions and models, and whatever plans a test is about.

/// Images count 1, seconds of video count 1, uploads are free. The small model costs 0.01 for each output, the big one 0.04.
const BASE: &str = "
catalog: genquota/v1
version: \"tests\"
currency: USD
meters:
  units: {}
actions:
  image:
    meter: units
    attributes: {resolution: [1024, 2048]}
    rules: [{per: output, rate: 1}]
  edit:
    meter: units
    rules: [{per: output, rate: 1}]
  video:
    meter: units
    measures: seconds
    rules: [{per: seconds, rate: 1, round: {mode: up, to: 1, each: output}}]
  upload: {free: true}
prices:
  - {provider: lab, model: small, tier: basic, components: [{per: output, price: 0.01}]}
  - {provider: lab, model: big, tier: premium, components: [{per: output, price: 0.04}]}
  - {provider: studio, model: big, tier: premium, components: [{per: output, price: 0.10}]}
";

/// The base with more keys.
pub fn catalog(more: &str) -> String {
    format!("{BASE}\n{more}\n")
}

/// The base with plans, each on a line of its own: `name: {allowances: [...]}`.
pub fn plans(plans: &[&str]) -> String {
    catalog(&format!("plans:\n{}", plans.iter().map(|plan| format!("  {plan}\n")).collect::<String>()))
}

/// One plan, `pro`, that gives the subject so much each month.
pub fn monthly(amount: &str) -> String {
    plans(&[&format!("pro: {{allowances: [{{meter: units, amount: {amount}, per: subject}}]}}")])
}
