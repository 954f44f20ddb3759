//! The catalog as it is written: the keys of the file, nothing checked but their shape.
//!
//! The doc comments here are the descriptions of the published JSON Schema. Nearly everything is optional for the reader, so that one
//! missing key does not hide other problems; `check` says what is missing, and the schema names what is required.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::yaml::{Entries, OneOrMany, Placed};

/// The keys of a `when` or `match` that are not attributes.
pub(super) const CONDITION_KEYS: [&str; 5] = ["action", "provider", "model", "tier", "plan"];

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

/// A plan. Its terms stand here, or as a list of dated terms under `terms`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Plan")]
pub(super) struct RawPlan {
    /// For people. Default: the name.
    pub(super) title: Option<String>,
    /// A higher rank is an upgrade. Unique. Default: 0.
    pub(super) rank: Option<Placed<i64>>,
    /// What the customer pays.
    pub(super) price: Option<RawPlanPrice>,
    /// Several terms, each from its day on, oldest first; instead of the keys below.
    pub(super) terms: Option<Placed<Vec<Placed<RawTerms>>>>,
    /// The first day of these terms, such as `2026-02-25`. Default: since ever.
    pub(super) from: Option<Placed<String>>,
    /// What the plan allows at all. Default: everything.
    pub(super) features: Option<RawFeatures>,
    /// What the plan gives per period.
    pub(super) allowances: Option<Vec<Placed<RawAllowance>>>,
    /// Ceilings of this plan, by name.
    pub(super) caps: Option<Entries<RawCap>>,
    /// Bundles that can be bought on top, by name.
    pub(super) add_ons: Option<Entries<RawAddOn>>,
    /// The order in which sources pay, all three named. Default: `[allowance, add_on, grant]`.
    pub(super) burn_order: Option<Placed<Vec<Placed<RawSource>>>>,
    /// Whether one generation may be paid from several sources. Default: true.
    pub(super) split: Option<bool>,
    /// How far one generation may fail over to other targets. Default: without bounds.
    pub(super) failover: Option<RawFailover>,
    /// What an upgrade gives for the rest of the period. Default: `prorated`.
    pub(super) proration: Option<RawProration>,
    /// What happens while the store gives no answer. Default: `closed`.
    pub(super) on_store_outage: Option<Placed<RawOnStoreOutage>>,
}

/// What a plan means from a day on. A period is judged by the terms in effect on its first day.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Terms")]
pub(super) struct RawTerms {
    /// The first day, such as `2026-02-25`. Only the first terms may leave it out: they hold since ever.
    pub(super) from: Option<Placed<String>>,
    /// What the plan allows at all. Default: everything.
    pub(super) features: Option<RawFeatures>,
    /// What the plan gives per period.
    pub(super) allowances: Option<Vec<Placed<RawAllowance>>>,
    /// Ceilings of these terms, by name.
    pub(super) caps: Option<Entries<RawCap>>,
    /// Bundles that can be bought on top, by name.
    pub(super) add_ons: Option<Entries<RawAddOn>>,
    /// The order in which sources pay, all three named. Default: `[allowance, add_on, grant]`.
    pub(super) burn_order: Option<Placed<Vec<Placed<RawSource>>>>,
    /// Whether one generation may be paid from several sources. Default: true.
    pub(super) split: Option<bool>,
    /// How far one generation may fail over to other targets. Default: without bounds.
    pub(super) failover: Option<RawFailover>,
    /// What an upgrade gives for the rest of the period. Default: `prorated`.
    pub(super) proration: Option<RawProration>,
    /// What happens while the store gives no answer. Default: `closed`.
    pub(super) on_store_outage: Option<Placed<RawOnStoreOutage>>,
}

/// What the customer pays, in the currency of the catalog.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlanPrice")]
pub(super) struct RawPlanPrice {
    /// Billed monthly.
    pub(super) month: Option<Placed<Number>>,
    /// Billed yearly, for the year.
    pub(super) year: Option<Placed<Number>>,
    /// The price is for each seat. Default: false.
    pub(super) per_seat: Option<bool>,
}

/// What a plan allows at all. A key that is left out allows everything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Features")]
pub(super) struct RawFeatures {
    /// The actions that may be used.
    pub(super) actions: Option<OneOrMany<Placed<String>>>,
    /// The tiers that may be used.
    pub(super) tiers: Option<OneOrMany<Placed<String>>>,
    /// The values an attribute may have.
    #[serde(default)]
    pub(super) attributes: Entries<OneOrMany<Placed<Text>>>,
    /// The most that one output may have of a measure.
    #[serde(default)]
    pub(super) measures: Entries<Placed<Number>>,
}

/// What a plan gives per period.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Allowance")]
pub(super) struct RawAllowance {
    /// Plans that use one id share its account, so an upgrade keeps what was used. Default: the meter.
    pub(super) id: Option<Placed<String>>,
    /// The meter it pays for.
    #[schemars(required)]
    pub(super) meter: Option<Placed<String>>,
    /// Units per period, or `unlimited`.
    #[schemars(required)]
    pub(super) amount: Option<Placed<Amount>>,
    /// Who has an account of their own.
    #[schemars(required)]
    pub(super) per: Option<Placed<RawPer>>,
    /// With `per: seat`: all seats share one pot of the amount times the seats.
    pub(super) pool: Option<Placed<RawPool>>,
    /// How often it is given. Default: `month`.
    pub(super) every: Option<RawEvery>,
    /// What an annual subscription gives instead. Default: the same.
    pub(super) billed_yearly: Option<Placed<RawIssue>>,
    /// What is left may still be used in the next period. Default: nothing.
    pub(super) rollover: Option<Placed<RawRollover>>,
}

/// How much is given, and how often.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Issue")]
pub(super) struct RawIssue {
    /// Units per period, or `unlimited`. Default: as billed monthly.
    pub(super) amount: Option<Placed<Amount>>,
    /// How often it is given. Default: as billed monthly.
    pub(super) every: Option<RawEvery>,
}

/// How much of what is left rolls over, once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rollover")]
pub(super) struct RawRollover {
    /// The most units that roll over.
    #[schemars(required)]
    pub(super) cap: Option<Placed<Number>>,
}

/// A recurring bundle that is bought on top of the plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddOn")]
pub(super) struct RawAddOn {
    /// The meter it pays for.
    #[schemars(required)]
    pub(super) meter: Option<Placed<String>>,
    /// Units in one bundle.
    #[schemars(required)]
    pub(super) amount: Option<Placed<Number>>,
    /// What one bundle costs the customer.
    pub(super) price: Option<Placed<Number>>,
    /// Who the units are for.
    #[schemars(required)]
    pub(super) per: Option<Placed<RawPer>>,
    /// With `per: seat`: all seats share one pot.
    pub(super) pool: Option<Placed<RawPool>>,
    /// How often it is renewed. Default: `month`.
    pub(super) every: Option<RawEvery>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawPer {
    User,
    Seat,
    Subject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawPool {
    Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawEvery {
    Month,
    Year,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawSource {
    Allowance,
    AddOn,
    Grant,
}

/// How far one generation may fail over to other targets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Failover")]
pub(super) struct RawFailover {
    /// Attempts of one generation, the first one counted.
    #[schemars(range(min = 1))]
    pub(super) max_attempts: Option<Placed<u32>>,
    /// The cost of an attempt against the cost of the planned target.
    pub(super) max_cost_ratio: Option<Placed<Number>>,
    /// The cost of all attempts of one generation.
    pub(super) max_cost: Option<Placed<Number>>,
    /// The tiers it may fail over to.
    pub(super) tiers: Option<OneOrMany<Placed<String>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawProration {
    Full,
    Prorated,
    None,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawOnStoreOutage {
    /// Calls are denied.
    Closed,
    /// Calls pass, up to this many units per sidecar and outage; they are charged when the store is back.
    Open(Placed<Number>),
}

/// A ceiling that pays nothing but must not be exceeded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cap")]
pub(super) struct RawCap {
    /// What is limited.
    #[schemars(required)]
    pub(super) of: Option<Placed<RawCapOf>>,
    /// The meter, with `of: units`.
    pub(super) meter: Option<Placed<String>>,
    /// Units, money, requests, or generations in flight.
    #[schemars(required)]
    pub(super) limit: Option<Placed<Number>>,
    /// One ceiling for each: `user`, `provider`, `model`, `tier`, `action` or `label:NAME`. Default: one for the subject.
    pub(super) by: Option<OneOrMany<Placed<String>>>,
    /// The calendar window, in the subject's time zone. Default: without a window.
    pub(super) per: Option<Placed<RawWindow>>,
    /// What it applies to. Default: everything.
    #[serde(default, rename = "match")]
    pub(super) matches: When,
    /// What happens above it. Default: `enforce`.
    pub(super) mode: Option<RawCapMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawCapOf {
    Units,
    Cost,
    Requests,
    InFlight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawWindow {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    /// The period of the subscription.
    Period,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum RawCapMode {
    /// Deny.
    Enforce,
    /// Let through, and say so.
    Warn,
    /// Let through, and count.
    Shadow,
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
    /// Money for one of `per`, up to 12 digits after the point.
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

/// A `when` or `match`: `action`, `provider`, `model`, `tier`, `plan`, or an attribute, each with the values that fit.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct When(pub(super) Entries<OneOrMany<Placed<Text>>>);

impl JsonSchema for When {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<OneOrMany<Text>>();
        let mut properties = serde_json::Map::new();
        for key in CONDITION_KEYS {
            properties.insert(key.to_owned(), values.clone().to_value());
        }
        json_schema!({
            "type": "object",
            "description": "Conditions that must all hold: `action`, `provider`, `model`, `tier`, `plan`, or the name of an attribute, \
                            each with one value or several that fit.",
            "properties": properties,
            "additionalProperties": values,
        })
    }
}

/// A plain decimal, kept as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Number(pub(super) String);

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A plain decimal such as `0.33`, with or without quotes. It is read exactly, never as a float.",
            "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,12})?$" }],
        })
    }
}

/// A plain decimal, or `unlimited`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Amount(pub(super) String);

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "unlimited" }, generator.subschema_for::<Number>()] })
    }
}

/// The value of an attribute, or a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) String);

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A value, taken as the text that is written.", "type": ["string", "number", "boolean"] })
    }
}
