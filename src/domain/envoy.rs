//! How what Envoy says of a request becomes a request of ours: the mappings of the catalog's `envoy` section.
//!
//! Envoy asks in two ways: its rate limit filter sends descriptors, its external processor shows the headers of one HTTP exchange. A mapping
//! selects some of them and says from where each part of a request comes. Pure: which mapping fits, and what an answer's status means; the
//! values are read, checked and counted where every request is.

use std::collections::BTreeMap;

use super::ids::{AttributeId, MeasureId, Target};
use super::reservation::Outcome;

mod path;
mod reply;

pub use path::{Captured, Path, PathError};
pub use reply::{GRPC_CODES, Reply, ReplyPattern};

/// Everything that Envoy may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envoy {
    /// By the domain of the rate limit filter. The first mapping that fits a descriptor counts.
    pub rate_limits: BTreeMap<Box<str>, Vec<Descriptor>>,
    /// The first that fits a request of the external processor counts.
    pub routes: Vec<Route>,
    pub unmapped: Unmapped,
}

/// What becomes of an HTTP request that no route fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmapped {
    /// It is not ours to decide.
    #[default]
    Pass,
    Refuse,
}

/// Descriptors of the rate limit filter that mean one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Entries that a descriptor must have, each with the values that fit; `None`: any value.
    pub entries: BTreeMap<Box<str>, Option<Vec<Box<str>>>>,
    pub mode: Mode,
    pub mapping: Mapping,
}

/// What a descriptor asks for. A rate limit filter never says how a request ended, so nothing is held for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Would it be granted? Nothing changes.
    Check,
    /// It is charged at once if it fits, and denied if it does not.
    Take,
    /// It has happened and is booked, whatever is left.
    Record,
}

/// HTTP requests of the external processor that mean one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Upper case. Empty: every method.
    pub methods: Vec<Box<str>>,
    pub path: Path,
    /// Headers that a request must have, each with the values that fit; `None`: any value.
    pub headers: BTreeMap<Box<str>, Option<Vec<Box<str>>>>,
    pub mapping: Mapping,
    /// How long the hold lasts; `None`: as long as the server holds by default.
    pub ttl_seconds: Option<u32>,
    /// Lets requests pass while there is no answer, and records what they come to.
    pub fail_open: bool,
    pub settling: Settling,
}

/// From where the parts of a request come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub subject: Value,
    pub user: Option<Value>,
    /// `None`: each request has an id of its own.
    pub id: Option<Value>,
    pub generation: Option<Value>,
    pub action: Value,
    pub target: Option<TargetMapping>,
    pub planned_target: Option<TargetMapping>,
    pub fallbacks: Vec<Target>,
    pub work: WorkMapping,
    pub labels: BTreeMap<Box<str>, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetMapping {
    pub provider: Value,
    pub model: Value,
}

/// One item of work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkMapping {
    pub count: Option<Value>,
    pub measures: BTreeMap<MeasureId, Value>,
    pub attributes: BTreeMap<AttributeId, Value>,
}

/// What is made of an answer. What it does not say is as it was reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settling {
    /// The target that ran it in the end.
    pub target: Option<TargetMapping>,
    pub work: WorkMapping,
    /// What the provider bills.
    pub cost: Option<Value>,
    /// The first pattern that fits counts; exact ones stand before classes.
    pub outcomes: Vec<(ReplyPattern, Outcome)>,
    /// The outcome of an exchange that ends without an answer.
    pub unanswered: Outcome,
}

/// One part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Literal(Box<str>),
    From {
        origin: Origin,
        /// Where it is not said.
        otherwise: Otherwise,
    },
}

/// What is done about a value that is not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    /// The request is refused: whoever leaves a header out must not get a better price by it.
    Refuse,
    LeaveOut,
    Default(Box<str>),
}

/// Where Envoy says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An entry of the descriptor.
    Entry(Box<str>),
    /// What the descriptor adds to its limit.
    Hits,
    /// A header, in lower case. Of an answer: a header or a trailer.
    Header(Box<str>),
    /// A named segment of the path.
    Path(Box<str>),
}

impl Envoy {
    /// The mapping of a descriptor of a domain.
    pub fn descriptor(&self, domain: &str, entries: &[(&str, &str)]) -> Option<&Descriptor> {
        self.rate_limits.get(domain)?.iter().find(|descriptor| fit(&descriptor.entries, entries))
    }

    /// The index of the route of a request, with the named segments of its path.
    pub fn route<'p>(&self, method: &str, path: &'p str, headers: &[(&str, &str)]) -> Option<(usize, Captured<'p>)> {
        let has = |route: &Route| {
            (route.methods.is_empty() || route.methods.iter().any(|known| **known == *method)) && fit(&route.headers, headers)
        };
        let fits = |(index, route): (usize, &Route)| route.path.captures(path).filter(|_| has(route)).map(|captured| (index, captured));
        self.routes.iter().enumerate().find_map(fits)
    }
}

impl Settling {
    /// What became of a request that was answered like this.
    pub fn outcome(&self, reply: Reply) -> Outcome {
        let declared = self.outcomes.iter().find(|(pattern, _)| pattern.fits(reply)).map(|(_, outcome)| *outcome);
        declared.unwrap_or_else(|| reply.usual_outcome())
    }
}

/// Whether everything that is wanted is said.
fn fit(wanted: &BTreeMap<Box<str>, Option<Vec<Box<str>>>>, said: &[(&str, &str)]) -> bool {
    let is_said = |key: &str, values: &Option<Vec<Box<str>>>| {
        let fits = |value: &str| values.as_ref().is_none_or(|values| values.iter().any(|known| **known == *value));
        said.iter().any(|(name, value)| *name == key && fits(value))
    };
    wanted.iter().all(|(key, values)| is_said(key, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(list: &[(&str, Option<&[&str]>)]) -> BTreeMap<Box<str>, Option<Vec<Box<str>>>> {
        let values = |values: &[&str]| values.iter().map(|value| Box::from(*value)).collect();
        list.iter().map(|(key, wanted)| (Box::from(*key), wanted.map(values))).collect()
    }

    #[test]
    fn a_descriptor_fits_where_every_entry_that_is_wanted_is_there() {
        let said = [("route", "image"), ("subject", "acme")];
        for (list, fits) in [
            (&[("route", Some(&["image", "video"][..]))][..], true),
            (&[("route", Some(&["video"][..]))], false),
            (&[("route", None), ("subject", None)], true),
            (&[("route", Some(&["image"][..])), ("user", None)], false),
        ] {
            assert_eq!(fit(&wanted(list), &said), fits, "{list:?}");
        }
    }

    #[test]
    fn an_answer_means_what_is_declared_first_and_what_is_usual_else() {
        let settling = Settling {
            target: None,
            work: WorkMapping::default(),
            cost: None,
            outcomes: vec![
                (ReplyPattern::parse("202").unwrap(), Outcome::Unknown),
                (ReplyPattern::parse("4xx").unwrap(), Outcome::Rejected),
                (ReplyPattern::parse("DEADLINE_EXCEEDED").unwrap(), Outcome::Unknown),
            ],
            unanswered: Outcome::Cancelled,
        };
        for (reply, outcome) in [
            (Reply::Http(200), Outcome::Accepted),
            (Reply::Http(202), Outcome::Unknown),
            (Reply::Http(101), Outcome::Accepted),
            (Reply::Http(302), Outcome::Failed),
            (Reply::Http(422), Outcome::Rejected),
            (Reply::Http(503), Outcome::Failed),
            (Reply::Grpc(0), Outcome::Accepted),
            (Reply::Grpc(1), Outcome::Cancelled),
            (Reply::Grpc(4), Outcome::Unknown),
            (Reply::Grpc(14), Outcome::Failed),
            (Reply::Grpc(99), Outcome::Failed),
            (Reply::NoStatus, Outcome::Failed),
        ] {
            assert_eq!(settling.outcome(reply), outcome, "{reply:?}");
        }
    }
}
