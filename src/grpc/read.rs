//! From the wire: requests to commands. Every bad field is named with its path; nothing is guessed, nothing is counted as zero (R10).

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prost::Message;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::domain::amount::{Micros, RoundingMode, parse_decimal};
use crate::domain::charge::InvalidField;
use crate::domain::filter::CostFilters;
use crate::domain::ids::{
    ActionId, AttributeId, IdError, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, MeasureId, ModelId, ProviderId, SubjectId,
    Target, TierId,
};
use crate::domain::ledger::Fingerprint;
use crate::domain::report::GroupBy;
use crate::domain::reservation::{AttemptReason, Labels, Outcome};
use crate::domain::settlement::Billing;
use crate::domain::work::{ATTRIBUTE_VALUE_BYTES_MAX, ITEMS_MAX, Item, OUTPUTS_MAX, Work};
use crate::proto::v1;
use crate::service::ServiceError;

/// Most fallbacks of a reserve, and most targets of a quote.
const TARGETS_MAX: usize = 16;
/// Most outcomes that a filter names: there are no more.
const OUTCOMES_MAX: usize = 7;
/// Longest `detail` in bytes.
const DETAIL_BYTES_MAX: usize = 256;

/// The digest that tells a repeat from another request with the same id.
pub(super) fn fingerprint(rpc: &str, request: &impl Message) -> Fingerprint {
    let digest = Sha256::new().chain_update(rpc).chain_update([0]).chain_update(request.encode_to_vec()).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Fingerprint(half)
}

/// Reads the fields of one request and gathers everything that is wrong with them.
#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<InvalidField>,
}

impl Reader {
    /// The command, if nothing was wrong. `None` without a problem cannot be: a reader returns `None` only after noting why.
    pub fn finish<T>(self, command: Option<T>) -> Result<T, ServiceError> {
        match command {
            Some(command) if self.problems.is_empty() => Ok(command),
            _ => Err(ServiceError::Invalid(self.problems)),
        }
    }

    pub fn problem<T>(&mut self, field: impl Into<String>, problem: impl Into<String>) -> Option<T> {
        self.problems.push(InvalidField::new(field, problem));
        None
    }

    /// A field that must be there.
    pub fn id<T>(&mut self, field: &str, text: &str, new: impl Fn(&str) -> Result<T, IdError>) -> Option<T> {
        new(text).map_or_else(|error| self.problem(field, error.to_string()), Some)
    }

    /// A field that may be empty. The outer `None` says that it is wrong, the inner that it is absent.
    pub fn optional_id<T>(&mut self, field: &str, text: &str, new: impl Fn(&str) -> Result<T, IdError>) -> Option<Option<T>> {
        if text.is_empty() { Some(None) } else { self.id(field, text, new).map(Some) }
    }

    pub fn target(&mut self, field: &str, target: Option<&v1::Target>) -> Option<Option<Target>> {
        let Some(target) = target else { return Some(None) };
        let provider = self.id(&format!("{field}.provider"), &target.provider, ProviderId::new);
        let model = self.id(&format!("{field}.model"), &target.model, ModelId::new);
        Some(Some(Target { provider: provider?, model: model? }))
    }

    pub fn targets(&mut self, field: &str, targets: &[v1::Target]) -> Option<Vec<Target>> {
        if targets.len() > TARGETS_MAX {
            return self.problem(field, format!("has {} targets; at most {TARGETS_MAX} are allowed", targets.len()));
        }
        let read: Vec<_> =
            targets.iter().enumerate().map(|(index, target)| self.target(&format!("{field}[{index}]"), Some(target))).collect();
        read.into_iter().map(Option::flatten).collect()
    }

    /// A work that asks for something.
    pub fn asked_work(&mut self, field: &str, work: Option<&v1::Work>) -> Option<Work> {
        match work {
            Some(work) if !work.items.is_empty() => self.work(field, work),
            _ => self.problem(format!("{field}.items"), "must have at least one item"),
        }
    }

    /// A work that may be absent, or hold nothing.
    pub fn optional_work(&mut self, field: &str, work: Option<&v1::Work>) -> Option<Option<Work>> {
        work.map_or(Some(None), |work| self.work(field, work).map(Some))
    }

    fn work(&mut self, field: &str, work: &v1::Work) -> Option<Work> {
        if work.items.len() > ITEMS_MAX {
            return self.problem(format!("{field}.items"), format!("has {} items; at most {ITEMS_MAX} are allowed", work.items.len()));
        }
        let items: Vec<_> =
            work.items.iter().enumerate().map(|(index, item)| self.item(&format!("{field}.items[{index}]"), item)).collect();
        let work = Work { items: items.into_iter().collect::<Option<_>>()? };
        if work.outputs() > OUTPUTS_MAX {
            return self.problem(format!("{field}.items"), format!("has {} outputs; at most {OUTPUTS_MAX} are allowed", work.outputs()));
        }
        Some(work)
    }

    fn item(&mut self, field: &str, item: &v1::Item) -> Option<Item> {
        let count = match u32::try_from(item.count.unwrap_or(1)) {
            Ok(count @ 1..=OUTPUTS_MAX) => Some(count),
            _ => self.problem(format!("{field}.count"), format!("must be 1 to {OUTPUTS_MAX}; got {}", item.count.unwrap_or(1))),
        };
        let mut measures = BTreeMap::new();
        for (name, value) in &item.measures {
            let path = format!("{field}.measures.{}", shown(name));
            if let (Some(name), Some(value)) = (self.id(&path, name, MeasureId::new), self.decimal(&path, value)) {
                measures.insert(name, value);
            }
        }
        let mut attributes = BTreeMap::new();
        for (name, value) in &item.attributes {
            let path = format!("{field}.attributes.{}", shown(name));
            let name = self.id(&path, name, AttributeId::new);
            if value.is_empty() || value.len() > ATTRIBUTE_VALUE_BYTES_MAX || value.chars().any(char::is_control) {
                self.problem::<()>(path, format!("must be 1 to {ATTRIBUTE_VALUE_BYTES_MAX} bytes without control characters"));
            } else if let Some(name) = name {
                attributes.insert(name, Box::from(value.as_str()));
            }
        }
        Some(Item { count: count?, measures, attributes })
    }

    fn decimal(&mut self, field: &str, text: &str) -> Option<Decimal> {
        parse_decimal(text).map_or_else(|error| self.problem(field, error.to_string()), Some)
    }

    /// An amount of units or money, exact to a millionth.
    pub fn amount(&mut self, field: &str, text: &str) -> Option<Micros> {
        let value = self.decimal(field, text)?;
        if value.scale() > 6 {
            return self.problem(field, format!("must be whole millionths, at most 6 digits after the point; got {text}"));
        }
        Micros::from_decimal(value, RoundingMode::None).map_or_else(|error| self.problem(field, error.to_string()), Some)
    }

    /// An amount that is not zero.
    pub fn positive_amount(&mut self, field: &str, text: &str) -> Option<Micros> {
        match self.amount(field, text) {
            Some(amount) if amount.is_zero() => self.problem(field, "must be more than zero"),
            amount => amount,
        }
    }

    pub fn billing(&mut self, work: Option<&v1::Work>, cost: Option<&str>) -> Option<Billing> {
        let work = self.optional_work("billed_work", work);
        let cost = match cost {
            None => Some(None),
            // A provider's bill may be finer than the ledger.
            Some(text) => self.decimal("billed_cost", text).and_then(|value| {
                let cost = Micros::from_decimal(value, RoundingMode::HalfUp);
                cost.map_or_else(|error| self.problem("billed_cost", error.to_string()), |cost| Some(Some(cost)))
            }),
        };
        Some(Billing { work: work?, cost: cost? })
    }

    pub fn labels(&mut self, labels: &BTreeMap<String, String>) -> Option<Labels> {
        if labels.len() > LABELS_MAX {
            return self.problem("labels", format!("has {} labels; at most {LABELS_MAX} are allowed", labels.len()));
        }
        let fits = |key: &str, value: &str| !key.is_empty() && key.len() <= LABEL_KEY_BYTES_MAX && value.len() <= LABEL_VALUE_BYTES_MAX;
        for (key, _) in labels.iter().filter(|(key, value)| !fits(key, value)) {
            let allowed = format!("key of 1 to {LABEL_KEY_BYTES_MAX} bytes and value of at most {LABEL_VALUE_BYTES_MAX}");
            self.problem::<()>(format!("labels.{}", shown(key)), format!("must have a {allowed}"));
        }
        Some(labels.iter().map(|(key, value)| (Box::from(key.as_str()), Box::from(value.as_str()))).collect())
    }

    pub fn detail(&mut self, text: &str) -> Option<Box<str>> {
        if text.len() > DETAIL_BYTES_MAX {
            return self.problem("detail", format!("has {} bytes; at most {DETAIL_BYTES_MAX} are allowed", text.len()));
        }
        Some(Box::from(text))
    }

    pub fn duration(&mut self, field: &str, duration: Option<&prost_types::Duration>) -> Option<Option<SignedDuration>> {
        let Some(duration) = duration else { return Some(None) };
        if duration.seconds < 0 || !(0..1_000_000_000).contains(&duration.nanos) {
            return self.problem(field, "must be a positive duration");
        }
        Some(Some(SignedDuration::new(duration.seconds, duration.nanos)))
    }

    /// An instant, to the millisecond.
    pub fn time(&mut self, field: &str, time: Option<&prost_types::Timestamp>) -> Option<Option<Timestamp>> {
        let Some(time) = time else { return Some(None) };
        if !(0..1_000_000_000).contains(&time.nanos) {
            return self.problem(field, "must have 0 to 999999999 nanoseconds");
        }
        let millis = time.seconds.checked_mul(1000).and_then(|millis| millis.checked_add(i64::from(time.nanos) / 1_000_000));
        match millis.map(Timestamp::from_millisecond) {
            Some(Ok(time)) => Some(Some(time)),
            _ => self.problem(field, "must be an instant between the years -9999 and 9999"),
        }
    }

    pub fn zone(&mut self, field: &str, name: &str) -> Option<Option<TimeZone>> {
        if name.is_empty() {
            return Some(None);
        }
        match TimeZone::get(name) {
            Ok(zone) => Some(Some(zone)),
            Err(_) => self.problem(field, format!("`{}` is not an IANA time zone", shown(name))),
        }
    }

    /// Why there is a next attempt, if the caller says so.
    pub fn retry_reason(&mut self, value: i32) -> Option<Option<AttemptReason>> {
        let names = "`ATTEMPT_REASON_RETRY`, `ATTEMPT_REASON_FAILOVER`, `ATTEMPT_REASON_REJECTED_OUTPUT`";
        reason(value).or_else(|| self.problem("reason", format!("must be one of {names}")))
    }

    /// Conditions on closed attempts; absent: none.
    pub fn filters(&mut self, filters: Option<&v1::CostFilters>) -> Option<CostFilters> {
        let Some(filters) = filters else { return Some(CostFilters::default()) };
        let subject = self.optional_id("filters.subject", &filters.subject, SubjectId::new);
        let provider = self.optional_id("filters.provider", &filters.provider, ProviderId::new);
        let model = self.optional_id("filters.model", &filters.model, ModelId::new);
        let tier = self.optional_id("filters.tier", &filters.tier, TierId::new);
        let action = self.optional_id("filters.action", &filters.action, ActionId::new);
        let outcomes = self.outcomes("filters.outcomes", &filters.outcomes, OUTCOMES_MAX);
        Some(CostFilters {
            subject: subject?,
            provider: provider?,
            model: model?,
            tier: tier?,
            action: action?,
            outcomes: outcomes?,
            failover_only: filters.failover_only,
        })
    }

    /// What splits sums: any of some names, each once. Those that `always` do may be named too.
    pub fn group_by(&mut self, names: &[String], allowed: &[GroupBy], always: &[&str]) -> Option<Vec<GroupBy>> {
        let mut seen = BTreeSet::new();
        let mut groups = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let field = format!("group_by[{index}]");
            if !seen.insert(name) {
                return self.problem(field, format!("`{}` stands twice", shown(name)));
            }
            match allowed.iter().find(|group| group.name() == name) {
                Some(group) => groups.push(*group),
                None if always.contains(&name.as_str()) => {}
                None => {
                    let names: Vec<_> = allowed.iter().map(|group| format!("`{}`", group.name())).collect();
                    return self.problem(field, format!("must be one of {}", names.join(", ")));
                }
            }
        }
        Some(groups)
    }

    /// Outcomes of which any counts; none: all do.
    pub fn outcomes(&mut self, field: &str, values: &[i32], most: usize) -> Option<Vec<Outcome>> {
        if values.len() > most {
            return self.problem(field, format!("has {} outcomes; there are no more than {most}", values.len()));
        }
        let known: Option<Vec<Outcome>> = values.iter().map(|value| outcome_of(*value)).collect();
        known.or_else(|| self.problem(field, "must be outcomes of an attempt"))
    }

    /// An outcome the caller may report; `default` where it names none.
    pub fn outcome(&mut self, value: i32, allowed: &[Outcome], default: Outcome) -> Option<Outcome> {
        let outcome = if value == i32::from(v1::Outcome::Unspecified) { Some(default) } else { outcome_of(value) };
        match outcome.filter(|outcome| allowed.contains(outcome)) {
            Some(outcome) => Some(outcome),
            None => {
                let names: BTreeSet<_> =
                    allowed.iter().map(|outcome| format!("`{}`", super::write::outcome(*outcome).as_str_name())).collect();
                self.problem("outcome", format!("must be one of {}", names.into_iter().collect::<Vec<_>>().join(", ")))
            }
        }
    }
}

/// Why the caller may say that there is a next attempt. Outer `None`: it may not say that.
fn reason(value: i32) -> Option<Option<AttemptReason>> {
    match v1::AttemptReason::try_from(value).ok()? {
        v1::AttemptReason::Unspecified => Some(None),
        v1::AttemptReason::Retry => Some(Some(AttemptReason::Retry)),
        v1::AttemptReason::Failover => Some(Some(AttemptReason::Failover)),
        v1::AttemptReason::RejectedOutput => Some(Some(AttemptReason::RejectedOutput)),
        v1::AttemptReason::First => None,
    }
}

/// The outcome of a wire value that is one.
fn outcome_of(value: i32) -> Option<Outcome> {
    match v1::Outcome::try_from(value) {
        Ok(v1::Outcome::Accepted) => Some(Outcome::Accepted),
        Ok(v1::Outcome::Rejected) => Some(Outcome::Rejected),
        Ok(v1::Outcome::Failed) => Some(Outcome::Failed),
        Ok(v1::Outcome::Blocked) => Some(Outcome::Blocked),
        Ok(v1::Outcome::Cancelled) => Some(Outcome::Cancelled),
        Ok(v1::Outcome::Unknown) => Some(Outcome::Unknown),
        Ok(v1::Outcome::Expired) => Some(Outcome::Expired),
        Ok(v1::Outcome::Unspecified) | Err(_) => None,
    }
}

/// A caller's text in a path: short, and without what could break a log line.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
