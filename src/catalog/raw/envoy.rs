//! What Envoy may ask, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::Text;
use crate::yaml::{Entries, OneOrMany, Placed, TextOr};

/// A part of a request: a literal, or where Envoy says it.
pub(in crate::catalog) type RawPart = Placed<TextOr<RawOrigin>>;

/// What Envoy's filters may ask, and what it means.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Envoy")]
pub(in crate::catalog) struct RawEnvoy {
    /// For the rate limit filter: by its `domain`, what descriptors mean. The first whose `match` holds counts.
    #[serde(default)]
    pub(in crate::catalog) rate_limits: Entries<Placed<Vec<Placed<RawDescriptor>>>>,
    /// For the external processor filter.
    pub(in crate::catalog) processor: Option<Placed<RawProcessor>>,
}

/// What HTTP requests mean that the external processor filter shows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Processor")]
pub(in crate::catalog) struct RawProcessor {
    /// The first whose `match` holds counts.
    #[schemars(required)]
    pub(in crate::catalog) routes: Option<Placed<Vec<Placed<RawRoute>>>>,
    /// What becomes of a request that no route fits. Default: `pass`.
    pub(in crate::catalog) unmapped: Option<RawUnmapped>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawUnmapped {
    /// It goes on to the upstream.
    Pass,
    /// It is answered with 403.
    Refuse,
}

/// What a descriptor of the rate limit filter means.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Descriptor")]
pub(in crate::catalog) struct RawDescriptor {
    /// Entries that the descriptor must have, each with the values that fit; `any` fits every value.
    #[serde(rename = "match", default)]
    #[schemars(required)]
    pub(in crate::catalog) entries: Entries<OneOrMany<Placed<Text>>>,
    /// What is done.
    #[schemars(required)]
    pub(in crate::catalog) mode: Option<Placed<RawDescriptorMode>>,
    /// Who is charged.
    #[schemars(required)]
    pub(in crate::catalog) subject: Option<RawPart>,
    /// A person inside the subject.
    pub(in crate::catalog) user: Option<RawPart>,
    /// The id of the reservation, so that a repeat is known. Default: one of its own for each request.
    pub(in crate::catalog) id: Option<RawPart>,
    /// The id of the generation. Default: that of the reservation.
    pub(in crate::catalog) generation: Option<RawPart>,
    /// What is done.
    #[schemars(required)]
    pub(in crate::catalog) action: Option<RawPart>,
    /// The provider of the target.
    pub(in crate::catalog) provider: Option<RawPart>,
    /// The model of the target.
    pub(in crate::catalog) model: Option<RawPart>,
    /// Where it was meant to run. Default: the target.
    pub(in crate::catalog) planned: Option<Placed<RawPlanned>>,
    /// Outputs. Default: the hits of the descriptor, or 1 where a measure is made of them.
    pub(in crate::catalog) count: Option<RawPart>,
    /// Quantities of each output.
    #[serde(default)]
    pub(in crate::catalog) measures: Entries<RawPart>,
    /// Properties of the outputs.
    #[serde(default)]
    pub(in crate::catalog) attributes: Entries<RawPart>,
    /// Labels of the reservation and its events.
    #[serde(default)]
    pub(in crate::catalog) labels: Entries<RawPart>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(in crate::catalog) enum RawDescriptorMode {
    /// Asks whether it would be granted, and changes nothing.
    Check,
    /// Charges at once what fits, and denies what does not.
    Take,
    /// Books what has happened, whatever is left.
    Record,
}

/// What an HTTP request means.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Route")]
pub(in crate::catalog) struct RawRoute {
    /// Which requests.
    #[serde(rename = "match")]
    #[schemars(required)]
    pub(in crate::catalog) which: Option<Placed<RawRouteMatch>>,
    /// Who is charged.
    #[schemars(required)]
    pub(in crate::catalog) subject: Option<RawPart>,
    /// A person inside the subject.
    pub(in crate::catalog) user: Option<RawPart>,
    /// The id of the reservation. A second request with the same id is refused. Default: one of its own for each request.
    pub(in crate::catalog) id: Option<RawPart>,
    /// The id of the generation. Default: that of the reservation.
    pub(in crate::catalog) generation: Option<RawPart>,
    /// What is done.
    #[schemars(required)]
    pub(in crate::catalog) action: Option<RawPart>,
    /// The provider of the target.
    pub(in crate::catalog) provider: Option<RawPart>,
    /// The model of the target.
    pub(in crate::catalog) model: Option<RawPart>,
    /// Where it was meant to run. Default: the target.
    pub(in crate::catalog) planned: Option<Placed<RawPlanned>>,
    /// Targets that the upstream may fail over to: the hold is sized for the dearest that the plan allows.
    #[serde(default)]
    pub(in crate::catalog) fallbacks: Vec<Placed<RawFallback>>,
    /// Outputs. Default: 1.
    pub(in crate::catalog) count: Option<RawPart>,
    /// Quantities of each output.
    #[serde(default)]
    pub(in crate::catalog) measures: Entries<RawPart>,
    /// Properties of the outputs.
    #[serde(default)]
    pub(in crate::catalog) attributes: Entries<RawPart>,
    /// Labels of the reservation and its events.
    #[serde(default)]
    pub(in crate::catalog) labels: Entries<RawPart>,
    /// How long the hold lasts, in seconds. Default: as long as the server's.
    #[schemars(range(min = 1))]
    pub(in crate::catalog) ttl_seconds: Option<Placed<u32>>,
    /// Lets requests pass while there is no answer, and records what they come to. Default: false.
    pub(in crate::catalog) fail_open: Option<bool>,
    /// What is made of the answer.
    pub(in crate::catalog) settle: Option<Placed<RawSettling>>,
}

/// Conditions that must all hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RouteMatch")]
pub(in crate::catalog) struct RawRouteMatch {
    /// Default: every method.
    pub(in crate::catalog) method: Option<OneOrMany<Placed<String>>>,
    /// Such as `/v1/{model}/images`: `*` is any segment, `{name}` any that is kept, `**` at the end any rest.
    #[schemars(required)]
    pub(in crate::catalog) path: Option<Placed<String>>,
    /// Headers that the request must have, each with the values that fit; `any` fits every value.
    #[serde(default)]
    pub(in crate::catalog) headers: Entries<OneOrMany<Placed<Text>>>,
}

/// Where it was meant to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Planned")]
pub(in crate::catalog) struct RawPlanned {
    #[schemars(required)]
    pub(in crate::catalog) provider: Option<RawPart>,
    #[schemars(required)]
    pub(in crate::catalog) model: Option<RawPart>,
}

/// A target that the upstream may fail over to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Fallback")]
pub(in crate::catalog) struct RawFallback {
    #[schemars(required)]
    pub(in crate::catalog) provider: Option<Placed<String>>,
    #[schemars(required)]
    pub(in crate::catalog) model: Option<Placed<String>>,
}

/// What is made of an answer. What its headers and trailers do not say is as it was reserved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Settle")]
pub(in crate::catalog) struct RawSettling {
    /// The provider that ran it in the end.
    pub(in crate::catalog) provider: Option<RawPart>,
    /// The model that ran it in the end.
    pub(in crate::catalog) model: Option<RawPart>,
    /// Outputs that were delivered.
    pub(in crate::catalog) count: Option<RawPart>,
    /// Quantities of each output that was delivered.
    #[serde(default)]
    pub(in crate::catalog) measures: Entries<RawPart>,
    /// Properties of the outputs that were delivered.
    #[serde(default)]
    pub(in crate::catalog) attributes: Entries<RawPart>,
    /// What the provider bills.
    pub(in crate::catalog) cost: Option<RawPart>,
    /// What statuses mean: for each outcome, such as `accepted`, HTTP statuses (`202`, `4xx`) and codes of gRPC (`NOT_FOUND`). Default: 2xx,
    /// 101 and `OK` are `accepted`, 499 and `CANCELLED` are `cancelled`, all others `failed`.
    #[serde(default)]
    pub(in crate::catalog) outcomes: Entries<OneOrMany<Placed<Text>>>,
    /// The outcome of a request that ends without an answer. Default: `cancelled`.
    pub(in crate::catalog) unanswered: Option<Placed<String>>,
}

/// Where Envoy says a part of a request. Exactly one of `entry`, `hits`, `header` and `path`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Origin")]
pub(in crate::catalog) struct RawOrigin {
    /// An entry of the descriptor, by its key.
    pub(in crate::catalog) entry: Option<String>,
    /// `true`: what the descriptor adds to its limit.
    pub(in crate::catalog) hits: Option<Placed<bool>>,
    /// A header. Of an answer: a header or a trailer.
    pub(in crate::catalog) header: Option<String>,
    /// A named segment of the path.
    pub(in crate::catalog) path: Option<String>,
    /// What is taken where it is not said. Default: the request is refused.
    pub(in crate::catalog) default: Option<Placed<Text>>,
    /// `true`: the part is left out where it is not said.
    pub(in crate::catalog) optional: Option<Placed<bool>>,
}
