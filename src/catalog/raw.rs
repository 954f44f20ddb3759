//! The catalog as it is written: the keys of the file, nothing checked but their shape.
//!
//! The doc comments here are the descriptions of the published JSON Schema. Nearly everything is optional for the reader, so that one
//! missing key does not hide other problems; `check` says what is missing, and the schema names what is required.

mod envoy;
mod plan;
mod value;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use envoy::*;
pub(super) use plan::*;
pub(super) use value::{Amount, CONDITION_KEYS, Number, Text, When};

use crate::yaml::{Entries, OneOrMany, Placed};

/// The rules of a genquota server: what counts, what it costs, and what each plan gives.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "genquota catalog", extend("required" = ["catalog", "meters", "actions"]))]
pub(super) struct RawCatalog {
    /// The format of this file.
    #[schemars(extend("const" = "genquota/v1"))]
    pub(super) catalog: Option<Placed<String>>,
    /// A name for this edition. Reservations and events carry it, followed by a digest of the file.
    pub(super) version: Option<Placed<String>>,
    /// The currency of all money here, as ISO 4217. Default: `USD`.
    #[schemars(regex(pattern = r"^[A-Z]{3}$"))]
    pub(super) currency: Option<Placed<String>>,
    /// The share of a limit, in percent, from which answers say that it is near. Default: 80.
    #[schemars(range(min = 1, max = 100))]
    pub(super) near_limit: Option<Placed<u8>>,
    /// The plan of subjects that the store does not know. Without it they are denied.
    pub(super) default_plan: Option<Placed<String>>,
    /// What plans count, by name.
    #[serde(default)]
    pub(super) meters: Entries<RawMeter>,
    /// What can be done, by name, such as `image.generate`.
    #[serde(default)]
    pub(super) actions: Entries<RawAction>,
    /// What customers subscribe to, by name.
    #[serde(default)]
    pub(super) plans: Entries<RawPlan>,
    /// Ceilings over every subject, whatever its plan, by name.
    #[serde(default)]
    pub(super) caps: Entries<RawCap>,
    /// What providers charge. Entries of one target follow each other by date, oldest first.
    #[serde(default)]
    pub(super) prices: Vec<Placed<RawPrice>>,
    /// What becomes of a target without a price. Default: `refuse`.
    pub(super) unpriced: Option<Placed<RawUnpriced>>,
    /// What one-off credits are unless the grant says otherwise.
    pub(super) credits: Option<RawCredits>,
    /// What Envoy's filters may ask, and what it means.
    pub(super) envoy: Option<RawEnvoy>,
}

/// Something that plans count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Meter")]
pub(super) struct RawMeter {
    /// For people. Default: the name.
    pub(super) title: Option<String>,
}

/// Something that can be done. Either `free: true`, or a meter and counting rules.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Action")]
pub(super) struct RawAction {
    /// `true`: never touches an account and works at zero balance.
    pub(super) free: Option<Placed<bool>>,
    /// The meter that is charged.
    pub(super) meter: Option<Placed<String>>,
    /// The quantities an item may carry, such as `seconds`.
    pub(super) measures: Option<OneOrMany<Placed<String>>>,
    /// The properties an item may carry, each with its values; `any` allows every value.
    #[serde(default)]
    pub(super) attributes: Entries<OneOrMany<Placed<Text>>>,
    /// How it is counted. The first rule whose `when` holds for an item counts it, so the last one is usually without conditions.
    pub(super) rules: Option<Placed<Vec<Placed<RawRule>>>>,
}

/// How some work becomes units.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(super) struct RawRule {
    /// When this rule counts. Default: always.
    #[serde(default)]
    pub(super) when: When,
    /// What is multiplied: `request`, `output`, or a measure of the action.
    #[schemars(required)]
    pub(super) per: Option<Placed<String>>,
    /// Units for one of `per`.
    #[schemars(required)]
    pub(super) rate: Option<Placed<Number>>,
    /// How the product is rounded. Default: not at all.
    pub(super) round: Option<RawRound>,
}

/// How a product is rounded. It is computed exactly and rounded once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Round")]
pub(super) struct RawRound {
    /// The direction.
    pub(super) mode: RawMode,
    /// The step, greater than zero. Default: 1.
    pub(super) to: Option<Placed<Number>>,
    /// Whether every output is rounded, or the sum of the request. Default: `output`.
    pub(super) each: Option<RawEach>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawMode {
    None,
    Up,
    Down,
    HalfUp,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawEach {
    Output,
    Request,
}

/// What one model of a provider costs, from an instant on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Price")]
pub(super) struct RawPrice {
    /// Such as `fal`.
    #[schemars(required)]
    pub(super) provider: Option<Placed<String>>,
    /// As callers name it, such as `flux-pro`.
    #[schemars(required)]
    pub(super) model: Option<Placed<String>>,
    /// The price class, such as `premium`. One per target.
    #[schemars(required)]
    pub(super) tier: Option<Placed<String>>,
    /// A day, which starts at 00:00 UTC, or an instant such as `2026-02-25T08:00:00Z`. Default: since ever.
    pub(super) from: Option<Placed<String>>,
    /// What is added up. Of several components with one `per`, the first whose `when` holds for an item counts.
    #[schemars(required)]
    pub(super) components: Option<Placed<Vec<Placed<RawComponent>>>>,
}

/// One part of a price.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Component")]
pub(super) struct RawComponent {
    /// What is multiplied: `request`, `output`, or a measure.
    #[schemars(required)]
    pub(super) per: Option<Placed<String>>,
    /// Money for one of `per`, up to 19 digits after the point.
    #[schemars(required)]
    pub(super) price: Option<Placed<Number>>,
    /// The actions and attributes it is for. Default: all.
    #[serde(default)]
    pub(super) when: When,
    /// What is taken for a measure that the caller does not know yet, such as the tokens of an answer.
    pub(super) assume: Option<Placed<Number>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawUnpriced {
    /// Denied.
    Refuse,
    /// Let through at no cost, and flagged.
    Flag,
    /// Held and booked at this cost.
    Hold(Placed<Number>),
}

/// What one-off credits are unless the grant says otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credits")]
pub(super) struct RawCredits {
    /// Credits pay only while there is a subscription. Default: false.
    pub(super) requires_subscription: Option<bool>,
    /// Credits end with the period they were granted in. Default: false.
    pub(super) end_with_period: Option<bool>,
}
