//! The `envoy` section: which of Envoy's descriptors and requests mean what.
//!
//! What a mapping says literally is checked like any reference of the catalog; what comes from a descriptor or a header can only be checked
//! when it is there.

mod parts;

use std::collections::BTreeMap;

use self::parts::{Origins, RawMapping, Sight};
use super::Checker;
use super::known::{ANY, suggest};
use crate::catalog::raw::{
    RawAction, RawDescriptor, RawDescriptorMode, RawEnvoy, RawPart, RawProcessor, RawRoute, RawSettling, RawUnmapped, Text,
};
use crate::domain::envoy::{Descriptor, Envoy, Mode, Path, ReplyPattern, Route, Settling, Unmapped};
use crate::domain::reservation::Outcome;
use crate::yaml::{At, Entries, OneOrMany, Placed, TextOr};

/// The methods of HTTP, for which a slip of the keyboard is found.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// How a request may end.
const OUTCOMES: [(&str, Outcome); 6] = [
    ("accepted", Outcome::Accepted),
    ("rejected", Outcome::Rejected),
    ("failed", Outcome::Failed),
    ("blocked", Outcome::Blocked),
    ("cancelled", Outcome::Cancelled),
    ("unknown", Outcome::Unknown),
];

/// What must be said, each with the values that fit.
type Wanted = BTreeMap<Box<str>, Option<Vec<Box<str>>>>;

impl Checker<'_> {
    pub(super) fn envoy(&mut self, raw: &RawEnvoy, actions: &Entries<RawAction>) -> Envoy {
        let mut envoy = Envoy::default();
        for domain in raw.rate_limits.iter() {
            if domain.name.is_empty() {
                self.error_of_name(domain.at, "has an empty name", Some("name the `domain` of Envoy's rate limit filter".to_owned()));
            }
            let Some(raw) = &domain.value else { continue };
            if raw.value.is_empty() {
                self.empty_list(raw.at, "map at least one descriptor, or leave the domain out");
            }
            let descriptors = raw.value.iter().filter_map(|descriptor| self.descriptor(descriptor, actions)).collect();
            envoy.rate_limits.insert(domain.name.as_str().into(), descriptors);
        }
        if let Some(processor) = &raw.processor {
            envoy.routes = self.routes(processor, actions);
            envoy.unmapped = match processor.value.unmapped {
                None | Some(RawUnmapped::Pass) => Unmapped::Pass,
                Some(RawUnmapped::Refuse) => Unmapped::Refuse,
            };
        }
        envoy
    }

    fn descriptor(&mut self, raw: &Placed<RawDescriptor>, actions: &Entries<RawAction>) -> Option<Descriptor> {
        let RawDescriptor { entries, .. } = &raw.value;
        if entries.0.is_empty() {
            self.missing_hint(raw.at, "match", "name the entries it has, such as `match: {route: images}`".to_owned());
        }
        let entries = self.wanted(entries, |name| name.to_owned());
        let mode = self.need(raw.at, "mode", raw.value.mode.as_ref()).map(|mode| match mode.value {
            RawDescriptorMode::Check => Mode::Check,
            RawDescriptorMode::Take => Mode::Take,
            RawDescriptorMode::Record => Mode::Record,
        });
        let sight = Sight { origins: Origins::descriptor(), action: action_of(raw.value.action.as_ref(), actions) };
        let mapping = self.mapping(&RawMapping::of_descriptor(raw), &sight);
        Some(Descriptor { entries, mode: mode?, mapping: mapping? })
    }

    fn routes(&mut self, raw: &Placed<RawProcessor>, actions: &Entries<RawAction>) -> Vec<Route> {
        let Some(routes) = self.need(raw.at, "routes", raw.value.routes.as_ref()) else { return Vec::new() };
        if routes.value.is_empty() {
            self.empty_list(routes.at, "map at least one route, or leave `processor` out");
        }
        routes.value.iter().filter_map(|route| self.route(route, actions)).collect()
    }

    fn route(&mut self, raw: &Placed<RawRoute>, actions: &Entries<RawAction>) -> Option<Route> {
        let which = self.need(raw.at, "match", raw.value.which.as_ref());
        let mut methods = Vec::new();
        let mut headers = Wanted::new();
        let mut path = None;
        if let Some(which) = which {
            methods = which.value.method.iter().flat_map(|methods| &methods.0).filter_map(|method| self.method(method)).collect();
            headers = self.wanted(&which.value.headers, str::to_ascii_lowercase);
            path = self.need(which.at, "path", which.value.path.as_ref()).and_then(|path| self.path(path));
        }
        let captured: Vec<&str> = path.iter().flat_map(Path::names).collect();
        let action = action_of(raw.value.action.as_ref(), actions);
        let mapping = self.mapping(&RawMapping::of_route(raw), &Sight { origins: Origins::request(&captured), action });
        let settling = self.settling(raw.value.settle.as_ref(), &Sight { origins: Origins::answer(), action });
        if let Some(ttl) = raw.value.ttl_seconds.as_ref().filter(|ttl| ttl.value == 0) {
            self.error(ttl.at, "must be more than zero", None);
        }
        Some(Route {
            methods,
            headers,
            mapping: mapping?,
            ttl_seconds: raw.value.ttl_seconds.as_ref().map(|ttl| ttl.value),
            fail_open: raw.value.fail_open.unwrap_or_default(),
            settling,
            path: path?,
        })
    }

    fn method(&mut self, method: &Placed<String>) -> Option<Box<str>> {
        if METHODS.contains(&method.value.as_str()) {
            return Some(method.value.as_str().into());
        }
        let hint = suggest(&method.value, METHODS.into_iter(), String::new);
        self.error(method.at, format!("is no method of HTTP: `{}`", method.value), Some(hint));
        None
    }

    fn path(&mut self, path: &Placed<String>) -> Option<Path> {
        let hint = || Some("a pattern such as `/v1/{model}/images`; `*` is any segment, `**` at the end any rest".to_owned());
        Path::parse(&path.value).map_err(|error| self.error(path.at, error.to_string(), hint())).ok()
    }

    /// What must be said, each with the values that fit; `any` fits every value.
    fn wanted(&mut self, raw: &Entries<OneOrMany<Placed<Text>>>, name: impl Fn(&str) -> String) -> Wanted {
        let mut wanted = Wanted::new();
        for entry in raw.iter() {
            let Some(values) = &entry.value else { continue };
            let any = values.0.iter().find(|value| value.value.0 == ANY);
            if let Some(any) = any
                && values.0.len() > 1
            {
                self.error(any.at, "`any` stands alone: it fits every value", Some("leave the other values out".to_owned()));
            }
            let values = any.is_none().then(|| values.0.iter().map(|value| value.value.0.as_str().into()).collect());
            wanted.insert(name(&entry.name).into(), values);
        }
        wanted
    }

    fn settling(&mut self, raw: Option<&Placed<RawSettling>>, sight: &Sight<'_>) -> Settling {
        let none = Settling { target: None, work: Default::default(), cost: None, outcomes: Vec::new(), unanswered: Outcome::Cancelled };
        let Some(Placed { value: raw, at }) = raw else { return none };
        let target = self.target(*at, raw.provider.as_ref(), raw.model.as_ref(), sight);
        let work = self.work_mapping(raw.count.as_ref(), &raw.measures, &raw.attributes, sight);
        let cost = raw.cost.as_ref().and_then(|cost| self.part(cost, sight, Self::is_decimal));
        let unanswered = raw.unanswered.as_ref().and_then(|outcome| self.outcome(outcome.at, &outcome.value));
        let mut outcomes = Vec::new();
        for entry in raw.outcomes.iter() {
            let outcome = self.outcome_name(entry.at, &entry.name);
            let patterns = entry.value.iter().flat_map(|patterns| &patterns.0);
            let patterns: Vec<_> = patterns.filter_map(|text| Some((text.at, self.reply_pattern(text)?))).collect();
            let Some(outcome) = outcome else { continue };
            for (at, pattern) in patterns {
                if outcomes.iter().any(|(known, _)| *known == pattern) {
                    self.error(at, "has two outcomes", Some("name each status once".to_owned()));
                }
                outcomes.push((pattern, outcome));
            }
        }
        outcomes.sort_by_key(|(pattern, _)| *pattern);
        Settling { target, work, cost, outcomes, unanswered: unanswered.unwrap_or(none.unanswered) }
    }

    fn reply_pattern(&mut self, text: &Placed<Text>) -> Option<ReplyPattern> {
        let pattern = ReplyPattern::parse(&text.value.0);
        if pattern.is_none() {
            let hint = "write a status such as `404`, a class such as `4xx`, or a code of gRPC such as `NOT_FOUND`".to_owned();
            self.error(text.at, format!("is no status of an answer: `{}`", text.value.0), Some(hint));
        }
        pattern
    }

    fn outcome(&mut self, at: At, text: &str) -> Option<Outcome> {
        let found = outcome_of(text);
        if found.is_none() {
            self.error(at, format!("is no outcome: `{text}`"), Some(outcome_hint(text)));
        }
        found
    }

    fn outcome_name(&mut self, at: At, text: &str) -> Option<Outcome> {
        let found = outcome_of(text);
        if found.is_none() {
            self.error_of_name(at, format!("is no outcome: `{text}`"), Some(outcome_hint(text)));
        }
        found
    }
}

fn outcome_of(text: &str) -> Option<Outcome> {
    OUTCOMES.iter().find(|(name, _)| *name == text).map(|(_, outcome)| *outcome)
}

fn outcome_hint(text: &str) -> String {
    suggest(text, OUTCOMES.iter().map(|(name, _)| *name), String::new)
}

/// The action that a mapping names literally, as far as it could be read.
fn action_of<'r>(part: Option<&RawPart>, actions: &'r Entries<RawAction>) -> Option<(&'r str, &'r RawAction)> {
    let TextOr::Text(name) = &part?.value else { return None };
    let entry = actions.iter().find(|entry| entry.name == *name)?;
    Some((entry.name.as_str(), entry.value.as_ref()?))
}
