//! Caps: ceilings that pay nothing and must not be exceeded, and which of them a request runs into (product.md chapter 4).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::amount::Micros;
use super::condition::{Circumstances, Condition};
use super::ids::{CapId, MeterId, UserId};
use super::ledger::{AccountKey, AccountKind, CapLeg};
use super::overrides::Overrides;
use super::period::{OutOfCalendar, Period, Window, window};
use super::reservation::Labels;
use super::view::View;

/// A ceiling that pays nothing but must not be exceeded (chapter 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    pub id: CapId,
    pub of: CapOf,
    /// Units, money, or calls, each in millionths.
    pub limit: Micros,
    /// One account for each combination of these.
    pub by: Vec<Dimension>,
    pub per: Window,
    pub when: Condition,
    pub mode: CapMode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapOf {
    Units(MeterId),
    Cost,
    Requests,
    InFlight,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    User,
    Provider,
    Model,
    Tier,
    Action,
    Label(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CapMode {
    #[default]
    Enforce,
    /// Let through, and say so.
    Warn,
    /// Let through, and count.
    Shadow,
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct CapContext<'a> {
    pub at_hand: Circumstances<'a>,
    pub user: Option<&'a UserId>,
    pub labels: &'a Labels,
    pub zone: TimeZone,
    /// The monthly period of the plan, if there is one.
    pub period: Option<Period>,
    /// Limits that a contract puts in place of the catalog's.
    pub overrides: Option<&'a Overrides>,
    pub now: Timestamp,
}

/// What a request adds under its caps.
#[derive(Debug, Clone, Copy)]
pub struct CapAmounts<'a> {
    pub meter: Option<&'a MeterId>,
    pub units: Micros,
    pub cost: Micros,
    /// 1 for a request; 0 where only the cost is booked, of an attempt that gave nothing.
    pub requests: Micros,
}

/// A cap that applies, with its leg.
#[derive(Debug, Clone)]
pub struct ChargedCap<'c> {
    pub cap: &'c Cap,
    pub leg: CapLeg,
    pub dimensions: Vec<(Box<str>, Box<str>)>,
    /// First and first-no-more instant of its window.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// How a cap stands before anything is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapStanding {
    pub cap: Cap,
    /// In force, which may be a contract's.
    pub limit: Micros,
    /// First and first-no-more instant of its window.
    pub window: Option<(Timestamp, Timestamp)>,
    /// `None` where only a request tells which of its accounts counts.
    pub account: Option<AccountKey>,
}

impl ChargedCap<'_> {
    /// The limit in force, which may be a contract's.
    pub fn limit(&self) -> Micros {
        self.leg.limit.unwrap_or(Micros::MAX)
    }
}

impl Cap {
    /// First and first-no-more instant of its window at `now`; `None` for one that never ends.
    pub fn window(&self, period: Option<Period>, now: Timestamp, zone: &TimeZone) -> Result<Option<(Timestamp, Timestamp)>, OutOfCalendar> {
        match (self.per, period) {
            (Window::Period, Some(period)) => Ok(Some((period.start, period.end))),
            // Without a plan the months of the calendar are the periods.
            (Window::Period, None) => window(Window::Month, now, zone),
            (other, _) => window(other, now, zone),
        }
    }

    /// Its account in a window; `values` are those of its dimensions in order.
    pub fn account<'v>(&self, window: Option<(Timestamp, Timestamp)>, values: impl Iterator<Item = &'v str>) -> AccountKey {
        let kind = if self.of == CapOf::InFlight { AccountKind::LevelCap } else { AccountKind::FlowCap };
        AccountKey::cap(kind, &self.id, window.map(|(start, _)| start), values)
    }
}

impl CapStanding {
    /// The caps of `caps` that may apply under a plan, as they stand for a user.
    pub fn of<'c>(caps: impl Iterator<Item = &'c Cap>, view: &View<'_>, user: Option<&UserId>) -> Result<Vec<Self>, OutOfCalendar> {
        let plan = view.plan.as_ref().map(|active| &active.plan.id);
        let period = view.plan.as_ref().map(|active| active.period);
        let stand = |cap: &'c Cap| {
            let window = cap.window(period, view.now, &view.zone)?;
            let value = |dimension: &Dimension| match dimension {
                Dimension::User => user.map(UserId::as_str),
                Dimension::Provider | Dimension::Model | Dimension::Tier | Dimension::Action | Dimension::Label(_) => None,
            };
            let values: Option<Vec<&str>> = cap.by.iter().map(value).collect();
            Ok(Self {
                limit: view.overrides().map_or(cap.limit, |overrides| overrides.of_cap(cap)),
                account: values.map(|values| cap.account(window, values.into_iter())),
                cap: cap.clone(),
                window,
            })
        };
        caps.filter(|cap| cap.when.may_hold_under(plan)).map(stand).collect()
    }
}

impl Dimension {
    /// As requests and denials call it: a label by its key.
    pub fn name(&self) -> &str {
        match self {
            Self::User => "user",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Tier => "tier",
            Self::Action => "action",
            Self::Label(key) => key,
        }
    }
}

/// The caps of `caps` that apply, each with what this request adds to it.
pub fn charged_caps<'c>(
    caps: impl Iterator<Item = &'c Cap>,
    context: &CapContext<'_>,
    amounts: &CapAmounts<'_>,
) -> Result<Vec<ChargedCap<'c>>, OutOfCalendar> {
    let mut charged = Vec::new();
    for cap in caps.filter(|cap| cap.when.holds(&context.at_hand)) {
        let amount = match &cap.of {
            CapOf::Units(meter) if amounts.meter == Some(meter) => amounts.units,
            CapOf::Units(_) => continue,
            CapOf::Cost => amounts.cost,
            CapOf::Requests | CapOf::InFlight => amounts.requests,
        };
        let window = cap.window(context.period, context.now, &context.zone)?;
        let dimensions = dimensions(cap, context);
        let account = cap.account(window, dimensions.iter().map(|(_, value)| &**value));
        let leg = CapLeg {
            booked: false,
            account,
            amount,
            limit: Some(context.overrides.map_or(cap.limit, |overrides| overrides.of_cap(cap))),
            enforced: cap.mode == CapMode::Enforce,
            lapses: window.map(|(_, end)| end),
        };
        charged.push(ChargedCap { cap, leg, dimensions, window });
    }
    Ok(charged)
}

fn dimensions(cap: &Cap, context: &CapContext<'_>) -> Vec<(Box<str>, Box<str>)> {
    let at_hand = &context.at_hand;
    let value = |dimension: &Dimension| match dimension {
        Dimension::User => context.user.map_or("", UserId::as_str),
        Dimension::Provider => at_hand.target.map_or("", |target| target.provider.as_str()),
        Dimension::Model => at_hand.target.map_or("", |target| target.model.as_str()),
        Dimension::Tier => at_hand.tier.map_or("", |tier| tier.as_str()),
        Dimension::Action => at_hand.action.as_str(),
        Dimension::Label(key) => context.labels.get(key).map_or("", |value| value),
    };
    cap.by.iter().map(|dimension| (Box::from(dimension.name()), Box::from(value(dimension)))).collect()
}
