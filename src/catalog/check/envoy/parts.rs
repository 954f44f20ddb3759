//! The parts of a request: what a mapping says of each, and where it may come from.

use std::collections::BTreeMap;

use crate::catalog::check::Checker;
use crate::catalog::check::known::{Kind, suggest};
use crate::catalog::raw::{RawAction, RawDescriptor, RawFallback, RawOrigin, RawPart, RawPlanned, RawRoute};
use crate::domain::amount::parse_decimal;
use crate::domain::envoy::{Mapping, Origin, Otherwise, TargetMapping, Value, WorkMapping};
use crate::domain::ids::{
    ActionId, AttributeId, GenerationId, IdError, LABEL_KEY_BYTES_MAX, LABELS_MAX, MeasureId, ModelId, ProviderId, ReservationId,
    SubjectId, Target, UserId,
};
use crate::domain::work::{ATTRIBUTE_VALUE_BYTES_MAX, OUTPUTS_MAX};
use crate::yaml::{At, Entries, Placed, TextOr};

/// Most targets that a reservation may fall back to (api.md).
const FALLBACKS_MAX: usize = 16;

/// What a mapping says, wherever it stands.
pub(super) struct RawMapping<'r> {
    at: At,
    subject: Option<&'r RawPart>,
    user: Option<&'r RawPart>,
    id: Option<&'r RawPart>,
    generation: Option<&'r RawPart>,
    action: Option<&'r RawPart>,
    target: [Option<&'r RawPart>; 2],
    planned: Option<&'r Placed<RawPlanned>>,
    fallbacks: &'r [Placed<RawFallback>],
    count: Option<&'r RawPart>,
    measures: &'r Entries<RawPart>,
    attributes: &'r Entries<RawPart>,
    labels: &'r Entries<RawPart>,
}

/// What is in sight of a mapping.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) origins: Origins<'a>,
    /// The action it names, where it names one literally.
    pub(super) action: Option<(&'a str, &'a RawAction)>,
}

/// Where parts may come from.
#[derive(Clone, Copy)]
pub(super) struct Origins<'a> {
    keys: &'static [&'static str],
    /// Named segments of the path.
    captured: &'a [&'a str],
    /// What is not said is as it was reserved, so that nothing else can be done about it.
    is_answer: bool,
}

impl<'a> Origins<'a> {
    pub(super) const fn descriptor() -> Self {
        Self { keys: &["entry", "hits"], captured: &[], is_answer: false }
    }

    pub(super) const fn request(captured: &'a [&'a str]) -> Self {
        Self { keys: &["header", "path"], captured, is_answer: false }
    }

    pub(super) const fn answer() -> Self {
        Self { keys: &["header"], captured: &[], is_answer: true }
    }
}

impl<'r> RawMapping<'r> {
    pub(super) fn of_descriptor(Placed { value: raw, at }: &'r Placed<RawDescriptor>) -> Self {
        Self {
            at: *at,
            subject: raw.subject.as_ref(),
            user: raw.user.as_ref(),
            id: raw.id.as_ref(),
            generation: raw.generation.as_ref(),
            action: raw.action.as_ref(),
            target: [raw.provider.as_ref(), raw.model.as_ref()],
            planned: raw.planned.as_ref(),
            fallbacks: &[],
            count: raw.count.as_ref(),
            measures: &raw.measures,
            attributes: &raw.attributes,
            labels: &raw.labels,
        }
    }

    pub(super) fn of_route(Placed { value: raw, at }: &'r Placed<RawRoute>) -> Self {
        Self {
            at: *at,
            subject: raw.subject.as_ref(),
            user: raw.user.as_ref(),
            id: raw.id.as_ref(),
            generation: raw.generation.as_ref(),
            action: raw.action.as_ref(),
            target: [raw.provider.as_ref(), raw.model.as_ref()],
            planned: raw.planned.as_ref(),
            fallbacks: &raw.fallbacks,
            count: raw.count.as_ref(),
            measures: &raw.measures,
            attributes: &raw.attributes,
            labels: &raw.labels,
        }
    }
}

impl Checker<'_> {
    pub(super) fn mapping(&mut self, raw: &RawMapping<'_>, sight: &Sight<'_>) -> Option<Mapping> {
        let subject = self.needed_part(raw.at, "subject", raw.subject, sight, |c, at, text| c.is_id(at, text, SubjectId::new));
        let action =
            self.needed_part(raw.at, "action", raw.action, sight, |c, at, text| c.refer(Kind::Action, at, text, ActionId::new).is_some());
        let user = raw.user.and_then(|part| self.part(part, sight, |c, at, text| c.is_id(at, text, UserId::new)));
        let id = raw.id.and_then(|part| self.said_part(part, "id", sight, |c, at, text| c.is_id(at, text, ReservationId::new)));
        let generation =
            raw.generation.and_then(|part| self.said_part(part, "generation", sight, |c, at, text| c.is_id(at, text, GenerationId::new)));
        let target = self.target(raw.at, raw.target[0], raw.target[1], sight);
        let planned_target =
            raw.planned.and_then(|planned| self.target(planned.at, planned.value.provider.as_ref(), planned.value.model.as_ref(), sight));
        if let Some(extra) = raw.fallbacks.get(FALLBACKS_MAX) {
            self.error(extra.at, format!("is one too many: at most {FALLBACKS_MAX} are allowed"), None);
        }
        let fallbacks = raw.fallbacks.iter().filter_map(|fallback| self.fallback(fallback)).collect();
        let work = self.work_mapping(raw.count, raw.measures, raw.attributes, sight);
        let labels = self.labels(raw.labels, sight);
        Some(Mapping { subject: subject?, user, id, generation, action: action?, target, planned_target, fallbacks, work, labels })
    }

    /// A provider and a model, both or none.
    pub(super) fn target(
        &mut self,
        at: At,
        provider: Option<&RawPart>,
        model: Option<&RawPart>,
        sight: &Sight<'_>,
    ) -> Option<TargetMapping> {
        if provider.is_none() && model.is_none() {
            return None;
        }
        let provider = self
            .need(at, "provider", provider)
            .and_then(|part| self.part(part, sight, |c, at, text| c.priced(Kind::Provider, at, text, ProviderId::new).is_some()));
        let model = self
            .need(at, "model", model)
            .and_then(|part| self.part(part, sight, |c, at, text| c.priced(Kind::Model, at, text, ModelId::new).is_some()));
        Some(TargetMapping { provider: provider?, model: model? })
    }

    fn fallback(&mut self, Placed { value: raw, at }: &Placed<RawFallback>) -> Option<Target> {
        let provider = self.need(*at, "provider", raw.provider.as_ref());
        let provider = provider.and_then(|text| self.priced(Kind::Provider, text.at, &text.value, ProviderId::new));
        let model = self.need(*at, "model", raw.model.as_ref());
        let model = model.and_then(|text| self.priced(Kind::Model, text.at, &text.value, ModelId::new));
        Some(Target { provider: provider?, model: model? })
    }

    pub(super) fn work_mapping(
        &mut self,
        count: Option<&RawPart>,
        raw_measures: &Entries<RawPart>,
        raw_attributes: &Entries<RawPart>,
        sight: &Sight<'_>,
    ) -> WorkMapping {
        let count = count.and_then(|part| self.part(part, sight, Self::is_count));
        let mut measures = BTreeMap::new();
        for entry in raw_measures.iter() {
            let id = self.declared(Kind::Measure, entry.at, &entry.name, MeasureId::new, sight);
            let part = entry.value.as_ref().and_then(|part| self.part(part, sight, Self::is_decimal));
            measures.extend(id.zip(part));
        }
        let mut attributes = BTreeMap::new();
        for entry in raw_attributes.iter() {
            let id = self.declared(Kind::Attribute, entry.at, &entry.name, AttributeId::new, sight);
            let is_value = |c: &mut Self, at: At, text: &str| c.is_attribute_value(at, &entry.name, text);
            let part = entry.value.as_ref().and_then(|part| self.part(part, sight, is_value));
            attributes.extend(id.zip(part));
        }
        WorkMapping { count, measures, attributes }
    }

    fn labels(&mut self, raw: &Entries<RawPart>, sight: &Sight<'_>) -> BTreeMap<Box<str>, Value> {
        let mut labels = BTreeMap::new();
        for (index, entry) in raw.iter().enumerate() {
            if entry.name.is_empty() || entry.name.len() > LABEL_KEY_BYTES_MAX {
                self.error_of_name(entry.at, format!("a label's key has 1 to {LABEL_KEY_BYTES_MAX} bytes"), None);
            }
            if index == LABELS_MAX {
                self.error_of_name(entry.at, format!("is one too many: at most {LABELS_MAX} labels are allowed"), None);
            }
            let part = entry.value.as_ref().and_then(|part| self.part(part, sight, |_, _, _| true));
            labels.extend(part.map(|part| (entry.name.as_str().into(), part)));
        }
        labels
    }

    /// A part without which there is no request.
    fn needed_part(
        &mut self,
        at: At,
        key: &str,
        raw: Option<&RawPart>,
        sight: &Sight<'_>,
        fits: impl Fn(&mut Self, At, &str) -> bool,
    ) -> Option<Value> {
        let raw = self.need(at, key, raw)?;
        let part = self.part(raw, sight, fits)?;
        if matches!(part, Value::From { otherwise: Otherwise::LeaveOut, .. }) {
            self.error(raw.at, "cannot be optional", Some("give it a `default`, or let such requests be refused".to_owned()));
        }
        Some(part)
    }

    /// A part that no two requests share, so that no literal can be it.
    fn said_part(&mut self, raw: &RawPart, what: &str, sight: &Sight<'_>, fits: impl Fn(&mut Self, At, &str) -> bool) -> Option<Value> {
        let part = self.part(raw, sight, fits)?;
        if !matches!(part, Value::From { otherwise: Otherwise::Refuse | Otherwise::LeaveOut, .. }) {
            let hint = "say where it comes from, or leave it out for one of its own for each request";
            self.error(raw.at, format!("is the same {what} for many requests"), Some(hint.to_owned()));
        }
        Some(part)
    }

    /// One part: a literal that fits, or where it comes from.
    pub(super) fn part(&mut self, raw: &RawPart, sight: &Sight<'_>, fits: impl Fn(&mut Self, At, &str) -> bool) -> Option<Value> {
        match &raw.value {
            TextOr::Text(text) => fits(self, raw.at, text).then(|| Value::Literal(text.as_str().into())),
            TextOr::Other(origin) => {
                let otherwise = self.otherwise(raw.at, origin, sight, fits);
                Some(Value::From { origin: self.origin(raw.at, origin, sight)?, otherwise: otherwise? })
            }
        }
    }

    fn origin(&mut self, at: At, raw: &RawOrigin, sight: &Sight<'_>) -> Option<Origin> {
        let keys = sight.origins.keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ");
        let named = [
            ("entry", raw.entry.as_ref().map(|key| Origin::Entry(key.as_str().into()))),
            ("hits", raw.hits.as_ref().map(|_| Origin::Hits)),
            ("header", raw.header.as_ref().map(|name| Origin::Header(name.to_ascii_lowercase().into()))),
            ("path", raw.path.as_ref().map(|name| Origin::Path(name.as_str().into()))),
        ];
        let mut named = named.into_iter().filter_map(|(key, origin)| Some((key, origin?)));
        let (Some((key, origin)), None) = (named.next(), named.next()) else {
            self.error(at, format!("must say where it comes from, once: {keys}"), None);
            return None;
        };
        if !sight.origins.keys.contains(&key) {
            self.error(at, format!("cannot come from `{key}` here"), Some(format!("possible here is {keys}")));
            return None;
        }
        match &origin {
            Origin::Path(name) if !sight.origins.captured.contains(&&**name) => {
                let hint = suggest(name, sight.origins.captured.iter().copied(), || format!("name a segment `{{{name}}}` in `match.path`"));
                self.error(at, format!("the path has no segment `{{{name}}}`"), Some(hint));
                None
            }
            Origin::Entry(name) | Origin::Header(name) if name.is_empty() => {
                self.error(at, format!("`{key}` is empty"), Some("name it".to_owned()));
                None
            }
            Origin::Hits if raw.hits.as_ref().is_some_and(|hits| !hits.value) => {
                self.error(at, "`hits` must be `true` or left out", None);
                None
            }
            Origin::Entry(_) | Origin::Header(_) | Origin::Path(_) | Origin::Hits => Some(origin),
        }
    }

    fn otherwise(&mut self, at: At, raw: &RawOrigin, sight: &Sight<'_>, fits: impl Fn(&mut Self, At, &str) -> bool) -> Option<Otherwise> {
        let optional = raw.optional.as_ref().is_some_and(|optional| optional.value);
        if sight.origins.is_answer {
            if raw.default.is_some() || raw.optional.is_some() {
                let hint = "leave `default` and `optional` out: what an answer does not say is as it was reserved".to_owned();
                self.error(at, "says what to do where an answer does not say it", Some(hint));
            }
            return Some(Otherwise::LeaveOut);
        }
        match &raw.default {
            Some(default) if optional => {
                self.error(default.at, "stands beside `optional`", Some("write one of both".to_owned()));
                None
            }
            Some(default) => fits(self, default.at, &default.value.0).then(|| Otherwise::Default(default.value.0.as_str().into())),
            None if optional => Some(Otherwise::LeaveOut),
            None => Some(Otherwise::Refuse),
        }
    }

    /// A measure or attribute that the action of the mapping declares, or any action where that is not known.
    fn declared<T>(&mut self, kind: Kind, at: At, name: &str, make: fn(&str) -> Result<T, IdError>, sight: &Sight<'_>) -> Option<T> {
        let Some((action, raw)) = sight.action else { return self.refer_name(kind, at, name, make) };
        let measures = raw.measures.iter().flat_map(|measures| &measures.0).map(|measure| measure.value.as_str());
        let names: Vec<&str> = if kind == Kind::Measure { measures.collect() } else { raw.attributes.names().collect() };
        if !names.contains(&name) {
            let hint = suggest(name, names.iter().copied(), || format!("declare it under `actions.{action}`"));
            self.error_of_name(at, format!("is no {} of `{action}`: `{name}`", kind.word()), Some(hint));
            return None;
        }
        self.name(at, name, make)
    }

    fn is_id<T>(&mut self, at: At, text: &str, make: fn(&str) -> Result<T, IdError>) -> bool {
        self.id(at, text, make).is_some()
    }

    pub(super) fn is_decimal(&mut self, at: At, text: &str) -> bool {
        parse_decimal(text).map_err(|error| self.error(at, error.to_string(), None)).is_ok()
    }

    fn is_count(&mut self, at: At, text: &str) -> bool {
        let is_count = text.parse::<u32>().is_ok_and(|count| (1..=OUTPUTS_MAX).contains(&count)) && !text.starts_with('+');
        if !is_count {
            self.error(at, format!("must be a whole number from 1 to {OUTPUTS_MAX}: got `{text}`"), None);
        }
        is_count
    }

    fn is_attribute_value(&mut self, at: At, name: &str, text: &str) -> bool {
        if let Some(allowed) = self.known.values(name)
            && !allowed.contains(text)
        {
            let hint = suggest(text, allowed.iter().map(String::as_str), String::new);
            self.error(at, format!("`{text}` is not a value of `{name}`"), Some(hint));
            return false;
        }
        if text.is_empty() || text.len() > ATTRIBUTE_VALUE_BYTES_MAX {
            self.error(at, format!("must have 1 to {ATTRIBUTE_VALUE_BYTES_MAX} bytes: got `{text}`"), None);
            return false;
        }
        true
    }
}
