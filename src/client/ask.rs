//! What a gateway says: what it asks for, what came of it, and what it tries next. Plain builders over the messages of the contract.

use std::time::Duration;

use crate::proto::v1;

/// The longest detail that the contract takes: a text that was not made for it must not cost the settlement.
const DETAIL_BYTES_MAX: usize = 256;

/// Work asked for, delivered or billed, item by item.
///
/// ```
/// use genquota::client::Work;
///
/// let clip = Work::outputs(1).measure("seconds", "4.2").attribute("resolution", "720p");
/// let with_a_still = clip.and(Work::outputs(1));
/// # assert_eq!(genquota::proto::v1::Work::from(with_a_still).items.len(), 2);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Work(Vec<v1::Item>);

/// A hold that is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) message: v1::ReserveRequest,
    pub(super) keep_alive: Option<Duration>,
}

/// What came of a generation that delivered something.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivered {
    work: Option<Work>,
    billing: Billing,
}

/// What came of one that delivered nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Undelivered {
    outcome: v1::Outcome,
    detail: String,
    billing: Billing,
}

/// The next attempt, and how the one before it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    outcome: v1::Outcome,
    reason: v1::AttemptReason,
    target: Option<v1::Target>,
    work: Option<Work>,
    billing: Billing,
}

/// What the provider billed for an attempt, as far as it is known. Where nothing is said, the outcome decides, as the contract tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Billing {
    /// The price book says what it costs, unless `cost` does.
    pub work: Option<Work>,
    /// Money, a decimal in the catalog's currency.
    pub cost: Option<String>,
}

impl Work {
    /// So many equal outputs.
    pub fn outputs(count: u32) -> Self {
        Self(vec![v1::Item { count: Some(count.into()), ..Default::default() }])
    }

    /// Nothing at all: for what was delivered or billed.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// A quantity of each output of the last item, a decimal.
    pub fn measure(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.last().measures.insert(name.into(), value.into());
        self
    }

    /// A property of the outputs of the last item.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.last().attributes.insert(name.into(), value.into());
        self
    }

    /// Further items.
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    fn last(&mut self) -> &mut v1::Item {
        if self.0.is_empty() {
            self.0.push(v1::Item::default());
        }
        self.0.last_mut().expect("it has an item, if only since the line above")
    }
}

impl From<Work> for v1::Work {
    fn from(work: Work) -> Self {
        Self { items: work.0 }
    }
}

impl From<v1::Work> for Work {
    fn from(work: v1::Work) -> Self {
        Self(work.items)
    }
}

impl Request {
    /// One output of an action for a subject, under a new reservation id.
    pub fn new(subject: impl Into<String>, action: impl Into<String>) -> Self {
        let message = v1::ReserveRequest {
            subject: subject.into(),
            action: action.into(),
            reservation_id: uuid::Uuid::now_v7().to_string(),
            work: Some(Work::outputs(1).into()),
            ..Default::default()
        };
        Self { message, keep_alive: None }
    }

    /// The person inside the subject.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.message.user = user.into();
        self
    }

    /// An id of the caller's, unique within the subject: the same id again is the same hold.
    pub fn reservation_id(mut self, id: impl Into<String>) -> Self {
        self.message.reservation_id = id.into();
        self
    }

    /// The generation it belongs to; without one, the reservation is a generation of its own.
    pub fn generation_id(mut self, id: impl Into<String>) -> Self {
        self.message.generation_id = id.into();
        self
    }

    /// Who runs the first attempt.
    pub fn target(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.message.target = Some(target(provider, model));
        self
    }

    /// Who was planned, against whom cost shift is measured; without it, the target itself.
    pub fn planned_target(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.message.planned_target = Some(target(provider, model));
        self
    }

    /// One more target that a later retry may go to.
    pub fn fallback(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.message.fallbacks.push(target(provider, model));
        self
    }

    pub fn work(mut self, work: Work) -> Self {
        self.message.work = Some(work.into());
        self
    }

    /// How long to hold; without it, as the sidecar is configured. A part of a second below what a message can tell is cut off.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.message.ttl = Some(duration(ttl));
        self
    }

    /// Extends the hold before its end again and again, for at most so long: for work that may take longer than a hold should. The bound is
    /// for a generation that hangs, which would hold units for ever.
    pub fn keep_alive(mut self, longest: Duration) -> Self {
        self.keep_alive = Some(longest);
        self
    }

    /// Takes as many outputs as fit, rather than none.
    pub fn accept_fewer(mut self) -> Self {
        self.message.accept_fewer = true;
        self
    }

    /// A free tag, copied to the events.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.labels.insert(key.into(), value.into());
        self
    }
}

impl Delivered {
    /// All that was reserved.
    pub fn as_reserved() -> Self {
        Self::default()
    }

    pub fn work(work: Work) -> Self {
        Self { work: Some(work), billing: Billing::default() }
    }

    /// What the provider billed, where that is not what was delivered.
    pub fn billed(self, billing: impl Into<Billing>) -> Self {
        Self { billing: billing.into(), ..self }
    }

    pub(super) fn message(self, subject: String, reservation_id: String) -> v1::CommitRequest {
        let Billing { work: billed_work, cost: billed_cost } = self.billing;
        let (work, billed_work) = (self.work.map(Into::into), billed_work.map(Into::into));
        v1::CommitRequest { subject, reservation_id, work, billed_work, billed_cost }
    }
}

impl Billing {
    /// So much money, a decimal in the catalog's currency.
    pub fn cost(cost: impl Into<String>) -> Self {
        Self { work: None, cost: Some(cost.into()) }
    }
}

impl From<Work> for Billing {
    fn from(work: Work) -> Self {
        Self { work: Some(work), cost: None }
    }
}

impl From<Work> for Delivered {
    fn from(work: Work) -> Self {
        Self::work(work)
    }
}

impl Undelivered {
    pub fn new(outcome: v1::Outcome) -> Self {
        Self { outcome, detail: String::new(), billing: Billing::default() }
    }

    /// What is worth keeping with the event, such as the provider's error code; cut off after 256 bytes.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        let end = (0..=DETAIL_BYTES_MAX).rev().find(|at| self.detail.is_char_boundary(*at)).unwrap_or_default();
        self.detail.truncate(end);
        self
    }

    /// What the provider billed all the same.
    pub fn billed(self, billing: impl Into<Billing>) -> Self {
        Self { billing: billing.into(), ..self }
    }

    pub(super) fn message(self, subject: String, reservation_id: String) -> v1::ReleaseRequest {
        let Self { outcome, detail, billing: Billing { work, cost: billed_cost } } = self;
        v1::ReleaseRequest { subject, reservation_id, outcome: outcome.into(), detail, billed_work: work.map(Into::into), billed_cost }
    }
}

impl From<v1::Outcome> for Undelivered {
    fn from(outcome: v1::Outcome) -> Self {
        Self::new(outcome)
    }
}

impl Retry {
    /// After an attempt that ended so, on the same target with the same work.
    pub fn after(outcome: v1::Outcome) -> Self {
        Self { outcome, reason: v1::AttemptReason::Unspecified, target: None, work: None, billing: Billing::default() }
    }

    /// On another target.
    pub fn on(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.target = Some(target(provider, model));
        self
    }

    /// Other work than was reserved.
    pub fn work(mut self, work: Work) -> Self {
        self.work = Some(work);
        self
    }

    /// Why there is a next attempt, where outcome and target do not tell.
    pub fn reason(mut self, reason: v1::AttemptReason) -> Self {
        self.reason = reason;
        self
    }

    /// What the provider billed for the attempt that ended.
    pub fn billed(self, billing: impl Into<Billing>) -> Self {
        Self { billing: billing.into(), ..self }
    }

    pub(super) fn message(self, subject: String, reservation_id: String, attempt: i32) -> v1::RetryRequest {
        let Billing { work: billed_work, cost: billed_cost } = self.billing;
        v1::RetryRequest {
            subject,
            reservation_id,
            attempt,
            outcome: self.outcome.into(),
            billed_work: billed_work.map(Into::into),
            billed_cost,
            next_target: self.target,
            next_work: self.work.map(Into::into),
            reason: self.reason.into(),
        }
    }
}

fn target(provider: impl Into<String>, model: impl Into<String>) -> v1::Target {
    v1::Target { provider: provider.into(), model: model.into() }
}

/// As a message has it; what is too long for one is refused by the sidecar.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_cut_off_where_a_character_ends() {
        for (text, bytes) in [("short".to_owned(), 5), ("x".repeat(300), 256), (format!("{}é", "x".repeat(255)), 255)] {
            assert_eq!(Undelivered::new(v1::Outcome::Failed).detail(text).detail.len(), bytes);
        }
    }

    #[test]
    fn work_is_told_item_by_item() {
        let work = Work::outputs(2).measure("seconds", "4.2").and(Work::outputs(1).attribute("resolution", "720p"));
        let items = v1::Work::from(work).items;
        assert_eq!((items[0].count, items[0].measures["seconds"].as_str(), items[0].attributes.len()), (Some(2), "4.2", 0));
        assert_eq!((items[1].count, items[1].attributes["resolution"].as_str(), items[1].measures.len()), (Some(1), "720p", 0));
        assert!(v1::Work::from(Work::nothing()).items.is_empty());
    }
}
