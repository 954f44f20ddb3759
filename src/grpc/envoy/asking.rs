//! Messages of `genquota.v1`, made of what Envoy says by a mapping of the catalog.
//!
//! Only that something is missing is told here, and whether a count is a number: everything else is checked where every request is.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::said::{Ambiguous, Headers, Said};
use crate::domain::charge::InvalidField;
use crate::domain::envoy::{Mapping, Origin, Otherwise, Settling, TargetMapping, Value, WorkMapping};
use crate::domain::ids::{AttributeId, MeasureId};
use crate::grpc::{read, write};
use crate::proto::v1;

/// A request to reserve, and who named it.
pub(super) struct Wanted {
    pub(super) message: v1::ReserveRequest,
    /// False: its id is one of our own, which no client can send again. What is replayed under it is a repeat of the store's link, which did
    /// not hear of its first try.
    is_named: bool,
}

impl Wanted {
    /// Whether an answer is that of an earlier request of a client: one hold pays for one request, and nobody must ride on another's.
    pub(super) fn is_spent(&self, answer: &v1::ReserveResponse) -> bool {
        answer.replayed && self.is_named
    }
}

/// The request to reserve that a mapping makes of what is said, or everything that is wrong with it.
pub(super) fn reserve(mapping: &Mapping, said: &impl Said) -> Result<Wanted, Vec<InvalidField>> {
    let mut parts = Parts { said, problems: Vec::new() };
    let optional = |parts: &mut Parts<'_, _>, field: &str, value: &Option<Value>| {
        value.as_ref().and_then(|value| parts.text(field, value)).unwrap_or_default()
    };
    let id = optional(&mut parts, "reservation_id", &mapping.id);
    let is_named = !id.is_empty();
    let message = v1::ReserveRequest {
        subject: parts.text("subject", &mapping.subject).unwrap_or_default(),
        user: optional(&mut parts, "user", &mapping.user),
        reservation_id: if is_named { id } else { own_id() },
        generation_id: optional(&mut parts, "generation_id", &mapping.generation),
        action: parts.text("action", &mapping.action).unwrap_or_default(),
        target: parts.target("target", mapping.target.as_ref()),
        planned_target: parts.target("planned_target", mapping.planned_target.as_ref()),
        fallbacks: mapping.fallbacks.iter().map(write::target).collect(),
        work: Some(v1::Work { items: vec![parts.item(&mapping.work)] }),
        labels: mapping.labels.iter().filter_map(|(key, value)| Some((key.to_string(), parts.text("labels", value)?))).collect(),
        ..v1::ReserveRequest::default()
    };
    if parts.problems.is_empty() { Ok(Wanted { message, is_named }) } else { Err(parts.problems) }
}

/// The same as usage that has happened.
pub(super) fn record(request: v1::ReserveRequest) -> v1::RecordUsageRequest {
    v1::RecordUsageRequest {
        subject: request.subject,
        user: request.user,
        usage_id: request.reservation_id,
        generation_id: request.generation_id,
        action: request.action,
        target: request.target,
        work: request.work,
        labels: request.labels,
        ..v1::RecordUsageRequest::default()
    }
}

/// An id that no other request has.
pub(super) fn own_id() -> String {
    Uuid::now_v7().to_string()
}

/// Whether what a descriptor adds to its limit is a part of the work.
pub(super) fn uses_hits(work: &WorkMapping) -> bool {
    work.count.as_ref().is_none_or(is_hits) || measures_hits(work)
}

fn measures_hits(work: &WorkMapping) -> bool {
    work.measures.values().any(is_hits)
}

fn is_hits(value: &Value) -> bool {
    matches!(value, Value::From { origin: Origin::Hits, .. })
}

/// What an answer says of how it was made. What cannot be read is as if it were not said, and told of.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) target: Option<v1::Target>,
    /// `None`: as it was reserved.
    pub(super) work: Option<v1::Work>,
    pub(super) cost: Option<String>,
    pub(super) problems: Vec<InvalidField>,
}

impl Answered {
    pub(super) fn of(settling: &Settling, reserved: Option<&v1::Work>, answer: &Headers) -> Self {
        let mut parts = Parts { said: answer, problems: Vec::new() };
        let target = settling.target.as_ref().and_then(|target| {
            let provider = parts.text("provider", &target.provider);
            let model = parts.text("model", &target.model);
            Some(v1::Target { provider: provider?, model: model? })
        });
        let cost = settling.cost.as_ref().and_then(|cost| parts.text("billed_cost", cost));
        let reserved = reserved.and_then(|work| work.items.first());
        let work = reserved.and_then(|item| parts.delivered(&settling.work, item));
        Self { target, work, cost, problems: parts.problems }
    }
}

/// The parts of one request, and what is wrong with them.
struct Parts<'s, S> {
    said: &'s S,
    problems: Vec<InvalidField>,
}

impl<S: Said> Parts<'_, S> {
    /// `None`: it is left out, or was found wrong.
    fn text(&mut self, field: &str, value: &Value) -> Option<String> {
        let (origin, otherwise) = match value {
            Value::Literal(text) => return Some(text.to_string()),
            Value::From { origin, otherwise } => (origin, otherwise),
        };
        match (self.said.said(origin), otherwise) {
            (Ok(Some(text)), _) => Some(text.into_owned()),
            (Ok(None), Otherwise::Default(text)) => Some(text.to_string()),
            (Ok(None), Otherwise::LeaveOut) => None,
            (Ok(None), Otherwise::Refuse) => self.problem(field, format!("{} is missing", named(origin))),
            (Err(Ambiguous), _) => self.problem(field, format!("{} stands more than once", named(origin))),
        }
    }

    fn problem<T>(&mut self, field: &str, problem: String) -> Option<T> {
        self.problems.push(InvalidField::new(field, problem));
        None
    }

    /// Both parts, or none of them.
    fn target(&mut self, field: &str, mapping: Option<&TargetMapping>) -> Option<v1::Target> {
        let mapping = mapping?;
        let provider = self.text(&format!("{field}.provider"), &mapping.provider);
        let model = self.text(&format!("{field}.model"), &mapping.model);
        (provider.is_some() || model.is_some())
            .then(|| v1::Target { provider: provider.unwrap_or_default(), model: model.unwrap_or_default() })
    }

    /// One item, whose count is one or the hits where nothing else is said.
    fn item(&mut self, work: &WorkMapping) -> v1::Item {
        let hits =
            |parts: &Self| parts.said.said(&Origin::Hits).ok().flatten().filter(|_| !measures_hits(work)).map(|hits| hits.into_owned());
        let count = match &work.count {
            Some(value) => self.text("work.items[0].count", value),
            None => hits(self),
        };
        v1::Item { count: count.and_then(|text| self.count(&text)), measures: self.measures(work), attributes: self.attributes(work) }
    }

    fn count(&mut self, text: &str) -> Option<i64> {
        match text.parse() {
            Ok(count) => Some(count),
            Err(_) => self.problem("work.items[0].count", format!("must be a whole number; got `{}`", read::shown(text))),
        }
    }

    fn measures(&mut self, work: &WorkMapping) -> BTreeMap<String, String> {
        let path = |name: &MeasureId| format!("work.items[0].measures.{name}");
        work.measures.iter().filter_map(|(name, value)| Some((name.to_string(), self.text(&path(name), value)?))).collect()
    }

    fn attributes(&mut self, work: &WorkMapping) -> BTreeMap<String, String> {
        let path = |name: &AttributeId| format!("work.items[0].attributes.{name}");
        work.attributes.iter().filter_map(|(name, value)| Some((name.to_string(), self.text(&path(name), value)?))).collect()
    }

    /// What was delivered, where that is said: the rest is as it was reserved. Nothing, where the count is zero.
    fn delivered(&mut self, work: &WorkMapping, reserved: &v1::Item) -> Option<v1::Work> {
        let said = work.count.as_ref().and_then(|value| self.text("work.items[0].count", value));
        let count = said.and_then(|text| self.count(&text));
        let (measures, attributes) = (self.measures(work), self.attributes(work));
        if count.is_none() && measures.is_empty() && attributes.is_empty() {
            return None;
        }
        if count == Some(0) {
            return Some(v1::Work::default());
        }
        let mut item = v1::Item { count: count.or(reserved.count), ..reserved.clone() };
        item.measures.extend(measures);
        item.attributes.extend(attributes);
        Some(v1::Work { items: vec![item] })
    }
}

/// Where something comes from, in words.
fn named(origin: &Origin) -> String {
    match origin {
        Origin::Entry(key) => format!("entry `{key}`"),
        Origin::Hits => "`hits_addend`".to_owned(),
        Origin::Header(name) => format!("header `{name}`"),
        Origin::Path(name) => format!("segment `{name}` of the path"),
    }
}
