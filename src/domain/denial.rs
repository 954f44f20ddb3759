//! Denials: a "no" with every limit that stands against a request, and what would help (api.md).

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::amount::Micros;
use super::ids::{PlanId, Target};

/// Why a request is denied, in the order that names the denial when several apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenialReason {
    SubjectSuspended,
    NoSubscription,
    FeatureNotInPlan,
    SeatsExhausted,
    UnpricedTarget,
    FailoverPolicy,
    CapReached,
    QuotaExhausted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// At least one, most weighty first.
    pub violations: Vec<Violation>,
    /// After this it may be worth asking again. `None`: waiting will not help.
    pub retry_after: Option<SignedDuration>,
    pub remedies: Vec<Remedy>,
}

/// One limit that stands against a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub reason: DenialReason,
    /// The source, cap or feature.
    pub name: Box<str>,
    /// What the amounts count: a meter, or `cost`, `requests` or `in_flight`.
    pub meter: Option<Box<str>>,
    /// The amounts, where the limit is one of amounts.
    pub amounts: Option<Amounts>,
    pub reset_time: Option<Timestamp>,
    /// What is at hand that the limit speaks of: the user of a cap by user, the tier a plan does not have.
    pub dimensions: Vec<(Box<str>, Box<str>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amounts {
    pub limit: Micros,
    pub reserved: Micros,
    pub committed: Micros,
    pub requested: Micros,
    pub available: Micros,
}

/// What would make the same request succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    WaitUntil(Timestamp),
    UpgradeToPlan(PlanId),
    /// Units short.
    BuyCredits(Micros),
    /// It is cheaper, and allowed.
    UseTarget(Target),
    FewerCount(u32),
}

impl Denial {
    /// A denial by what stands against the request whatever the balance.
    pub fn of(mut violations: Vec<Violation>) -> Self {
        violations.sort_by_key(|violation| violation.reason);
        Self { violations, retry_after: None, remedies: Vec::new() }
    }

    pub fn reason(&self) -> DenialReason {
        self.violations.first().expect("a denial names at least one violation").reason
    }
}

impl Violation {
    /// A violation of something other than an amount.
    pub fn of(reason: DenialReason, name: &str, dimensions: &[(&str, &str)]) -> Self {
        let dimensions = dimensions.iter().map(|(key, value)| (Box::from(*key), Box::from(*value))).collect();
        Self { reason, name: Box::from(name), meter: None, amounts: None, reset_time: None, dimensions }
    }
}

/// One sentence for a person.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.violations.first().expect("a denial names at least one violation");
        let of = |violation: &Violation| violation.dimensions.iter().map(|(key, value)| format!(" {key} `{value}`")).collect::<String>();
        match first.reason {
            DenialReason::SubjectSuspended => f.write_str("the subject is suspended"),
            DenialReason::NoSubscription => f.write_str("the subject has no subscription and no credits"),
            DenialReason::FeatureNotInPlan => write!(f, "the plan does not include{}", of(first)),
            DenialReason::SeatsExhausted => f.write_str("every seat is taken"),
            DenialReason::UnpricedTarget => write!(f, "no price is known for{}", of(first)),
            DenialReason::FailoverPolicy => write!(f, "the failover policy forbids this target by `{}`:{}", first.name, of(first)),
            DenialReason::CapReached => write!(f, "cap `{}` is reached", first.name),
            DenialReason::QuotaExhausted => write!(f, "not enough `{}` left", first.name),
        }?;
        if let Some(amounts) = &first.amounts {
            let meter = first.meter.as_deref().unwrap_or_default();
            write!(f, ": {} {meter} asked, {} available", amounts.requested, amounts.available)?;
        }
        match self.violations.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}
