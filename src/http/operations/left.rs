//! What a subject has left: of each source of each meter, allowance and credits apart (P10), and under each cap.

use rust_decimal::Decimal;

use super::shown::{Column, Moment, Number, text};
use crate::domain::amount::Micros;
use crate::domain::balance::{Balance, SourceBalance};
use crate::domain::cap::{CapMode, CapOf};
use crate::domain::catalog::Catalog;
use crate::domain::ledger::Account;
use crate::domain::period::Window;
use crate::domain::plan::SourceKind;
use crate::service::SubjectCap;

/// Sources of a meter that are shown: a subject may have a thousand grants.
const SOURCES_MAX: usize = 100;

pub(super) struct MeterShown {
    /// By its title where it has one.
    pub name: String,
    pub unlimited: bool,
    pub near_limit: bool,
    pub available: Number,
    pub allowance: Number,
    pub credits: Number,
    pub reserved: Number,
    pub committed: Number,
    pub overage: Number,
    pub reset: Option<Moment>,
    /// In the order in which they pay.
    pub sources: Vec<SourceShown>,
    pub sources_left_out: usize,
}

pub(super) struct SourceShown {
    pub kind: &'static str,
    pub id: String,
    /// Whose own it is; empty: everybody's.
    pub user: String,
    /// `None`: unlimited.
    pub gauge: Option<Gauge>,
    pub available: Number,
    pub reserved: Number,
    pub committed: Number,
    /// When it is filled anew, or else when it ends.
    pub resets: Option<Moment>,
    pub ends: Option<Moment>,
}

/// How much of a limit is left.
pub(super) struct Gauge {
    pub limit: Number,
    pub left: Number,
    /// Below it, little is left.
    pub low: Decimal,
}

pub(super) struct CapShown {
    pub id: String,
    pub of: String,
    /// Empty: everything together.
    pub by: String,
    pub per: &'static str,
    pub mode: &'static str,
    pub limit: Number,
    /// `None`: each of its parts is counted by itself, and only a request tells which one it is.
    pub gauge: Option<Gauge>,
    pub used: Number,
    pub ends: Option<Moment>,
}

impl MeterShown {
    pub(super) fn of(balance: &Balance, catalog: &Catalog) -> Self {
        let title = catalog.meters.get(&balance.meter).map(|meter| meter.title.to_string()).filter(|title| !title.is_empty());
        let shown = balance.sources.iter().take(SOURCES_MAX);
        let mut sources: Vec<SourceShown> = shown.map(|source| SourceShown::of(source, catalog.near_limit_percent)).collect();
        Column::Units.align(sources.iter_mut().flat_map(|source| {
            let gauge = source.gauge.iter_mut().flat_map(|gauge| [&mut gauge.limit, &mut gauge.left]);
            gauge.chain([&mut source.available, &mut source.reserved, &mut source.committed])
        }));
        Self {
            name: title.unwrap_or_else(|| balance.meter.to_string()),
            unlimited: balance.unlimited,
            near_limit: balance.near_limit,
            available: balance.available.into(),
            allowance: balance.allowance_available.into(),
            credits: balance.credits_available.into(),
            reserved: balance.reserved.into(),
            committed: balance.committed.into(),
            overage: balance.overage.into(),
            reset: balance.reset_time.map(Moment::of),
            sources,
            sources_left_out: balance.sources.len().saturating_sub(SOURCES_MAX),
        }
    }
}

impl SourceShown {
    fn of(source: &SourceBalance, near_limit_percent: u8) -> Self {
        Self {
            kind: match source.kind {
                SourceKind::Allowance => "allowance",
                SourceKind::AddOn => "add-on",
                SourceKind::Grant => "credits",
            },
            id: source.account.source().to_owned(),
            user: text(source.user.as_ref()),
            gauge: source.limit.map(|limit| Gauge::of(limit, source.available, near_limit_percent)),
            available: source.available.into(),
            reserved: source.reserved.into(),
            committed: source.committed.into(),
            resets: source.reset_time.map(Moment::of),
            ends: source.expire_time.filter(|_| source.reset_time.is_none()).map(Moment::of),
        }
    }
}

impl Gauge {
    fn of(limit: Micros, left: Micros, near_limit_percent: u8) -> Self {
        let rest = Decimal::from(100_u8.saturating_sub(near_limit_percent));
        let low = limit.to_decimal().saturating_mul(rest) / Decimal::ONE_HUNDRED;
        Self { limit: limit.into(), left: left.into(), low: low.normalize() }
    }
}

impl CapShown {
    pub(super) fn of(cap: &SubjectCap, near_limit_percent: u8) -> Self {
        let (standing, limit) = (&cap.standing, cap.standing.limit);
        let used = |account: &Account| match standing.cap.of {
            CapOf::InFlight => account.reserved,
            CapOf::Units(_) | CapOf::Cost | CapOf::Requests => account.total().unwrap_or(Micros::MAX),
        };
        let used = cap.account.as_ref().map(used);
        let by: Vec<&str> = standing.cap.by.iter().map(|dimension| dimension.name()).collect();
        Self {
            id: standing.cap.id.to_string(),
            of: match &standing.cap.of {
                CapOf::Units(meter) => meter.to_string(),
                CapOf::Cost => "cost".to_owned(),
                CapOf::Requests => "requests".to_owned(),
                CapOf::InFlight => "in flight".to_owned(),
            },
            by: by.join(", "),
            per: window_name(standing.cap.per),
            mode: mode_name(standing.cap.mode),
            limit: limit.into(),
            gauge: used.map(|used| Gauge::of(limit, limit.less(used), near_limit_percent)),
            used: used.unwrap_or_default().into(),
            ends: standing.window.map(|(_, end)| Moment::of(end)),
        }
    }
}

fn window_name(window: Window) -> &'static str {
    match window {
        Window::Always => "",
        Window::Minute => "minute",
        Window::Hour => "hour",
        Window::Day => "day",
        Window::Week => "week",
        Window::Month => "month",
        Window::Period => "period",
    }
}

fn mode_name(mode: CapMode) -> &'static str {
    match mode {
        CapMode::Enforce => "enforced",
        CapMode::Warn => "warns only",
        CapMode::Shadow => "counts only",
    }
}
