//! One subject: its plan and period, what is left of each source, its caps, who used what, and what it asked for.

use askama::Template;

use super::history::{self, History};
use super::left::{CapShown, MeterShown};
use super::problem::Problem;
use super::query::Asked;
use super::shown::{Column, Moment, Number, text};
use super::{Frame, Operations, Section};
use crate::domain::catalog::Catalog;
use crate::domain::overrides::Limit;
use crate::domain::period::Cadence;
use crate::domain::report::GroupBy;
use crate::domain::standing::{Pending, Standing};
use crate::domain::subject::Document;
use crate::service::{GenerationsCommand, ServiceError, Subject, SubjectBalance, Usage, UsageCommand};

/// Users whose use is shown, those who used most.
const USERS_MAX: usize = 100;
/// Seats whose occupants are named.
const SEATS_MAX: usize = 100;

/// Everything that is shown of a subject.
pub(super) struct Found {
    pub subject: String,
    /// Whose sources and history are shown; empty: of all.
    pub user: String,
    /// It begins with the newest generation.
    pub is_first_page: bool,
    /// `None`: nobody has made it.
    pub account: Option<Account>,
    pub plan: Option<PlanShown>,
    pub meters: Vec<MeterShown>,
    pub caps: Vec<CapShown>,
    pub users: Vec<UserShown>,
    pub users_left_out: usize,
    pub history: History,
}

/// What administrators set down.
pub(super) struct Account {
    pub suspended: bool,
    pub created: Moment,
    pub zone: String,
    pub labels: Vec<(String, String)>,
    pub overrides: Vec<(String, String)>,
    pub subscription: Option<SubscriptionShown>,
}

pub(super) struct SubscriptionShown {
    pub billing: &'static str,
    pub since: Moment,
    pub seats: u32,
    pub occupied: Vec<(String, Moment)>,
    pub occupied_left_out: usize,
    pub add_ons: Vec<AddOnShown>,
    pub pending: Option<PendingShown>,
    pub cancel: Option<Moment>,
}

pub(super) struct AddOnShown {
    pub id: String,
    pub units: u32,
    pub next_units: Option<u32>,
}

pub(super) struct PendingShown {
    pub plan: Option<String>,
    pub seats: Option<u32>,
    pub at: Moment,
}

pub(super) struct PlanShown {
    pub id: String,
    pub title: String,
    pub start: Moment,
    pub end: Moment,
}

pub(super) struct UserShown {
    /// Empty: calls that named none.
    pub user: String,
    pub meter: String,
    pub generations: u64,
    pub units: Number,
    pub cost: Number,
    pub currency: String,
}

#[derive(Template)]
#[template(path = "operations/subject.html", config = "src/http/askama.toml")]
pub(super) struct SubjectPage {
    pub frame: Frame,
    pub found: Found,
}

impl Operations {
    pub(super) async fn subject(&self, asked: Asked) -> Result<Found, Problem> {
        let _turn = self.turns.acquire().await;
        let service = &self.service;
        let Asked { subject, user, before } = asked;
        let generations = GenerationsCommand {
            subject: subject.clone(),
            user: user.clone(),
            start_time: None,
            end_time: None,
            page_size: history::PAGE,
            after: before.clone(),
        };
        let usage = UsageCommand { subject: subject.clone(), start_time: None, end_time: None, group_by: vec![GroupBy::User] };
        let known = async {
            match service.subject(&subject).await {
                Err(ServiceError::SubjectNotFound(_)) => Ok(None),
                found => found.map(Some),
            }
        };
        let (known, balance, caps, usage, page) = self
            .ask(async {
                tokio::try_join!(
                    known,
                    service.subject_balance(&subject, user.as_ref()),
                    service.subject_caps(&subject, user.as_ref()),
                    service.usage(usage),
                    service.generations(generations),
                )
            })
            .await?;
        if known.is_none() && usage.rows.is_empty() && page.generations.is_empty() {
            return Err(Problem::unknown_subject(subject.as_str()));
        }
        let catalog = service.catalog();
        let (users, users_left_out) = users(&usage);
        Ok(Found {
            subject: subject.to_string(),
            user: text(user.as_ref()),
            is_first_page: before.is_none(),
            account: known.as_ref().map(Account::of),
            plan: PlanShown::of(&balance, &catalog),
            meters: balance.balances.iter().map(|balance| MeterShown::of(balance, &catalog)).collect(),
            caps: caps.iter().map(|cap| CapShown::of(cap, catalog.near_limit_percent)).collect(),
            users,
            users_left_out,
            history: History::of(&page),
        })
    }
}

impl Account {
    fn of(subject: &Subject) -> Self {
        let document = &subject.document;
        Self {
            suspended: document.suspended,
            created: Moment::of(document.create_time),
            zone: document.zone.iana_name().unwrap_or("UTC").to_owned(),
            labels: document.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            overrides: overrides(document),
            subscription: subject.standing.as_ref().map(|standing| SubscriptionShown::of(document, standing)),
        }
    }
}

impl SubscriptionShown {
    fn of(document: &Document, standing: &Standing) -> Self {
        let known = document.subscription.as_ref();
        let pending = |pending: &Pending| PendingShown {
            plan: pending.plan.as_ref().map(ToString::to_string),
            seats: pending.seats,
            at: Moment::of(pending.effective_time),
        };
        let add_ons = standing.add_ons.iter();
        Self {
            billing: match known.map(|subscription| subscription.billing) {
                Some(Cadence::Year) => "yearly",
                Some(Cadence::Month) | None => "monthly",
            },
            since: Moment::of(known.map_or(standing.period.start, |subscription| subscription.start_time)),
            seats: standing.seats,
            occupied: standing.occupied.iter().take(SEATS_MAX).map(|(user, since)| (user.to_string(), Moment::of(*since))).collect(),
            occupied_left_out: standing.occupied.len().saturating_sub(SEATS_MAX),
            add_ons: add_ons.map(|one| AddOnShown { id: one.id.to_string(), units: one.units, next_units: one.next_units }).collect(),
            pending: standing.pending.as_ref().map(pending),
            cancel: standing.cancel_time.map(Moment::of),
        }
    }
}

impl PlanShown {
    /// The plan that applies, whoever chose it.
    fn of(balance: &SubjectBalance, catalog: &Catalog) -> Option<Self> {
        let (id, period) = balance.plan.as_ref().zip(balance.period)?;
        let title = catalog.plans.get(id).map(|plan| plan.title.to_string()).unwrap_or_default();
        Some(Self { id: id.to_string(), title, start: Moment::of(period.start), end: Moment::of(period.end) })
    }
}

/// Who used what in the period, those who used most first, and how many there was no room for.
fn users(usage: &Usage) -> (Vec<UserShown>, usize) {
    let mut users: Vec<(i64, UserShown)> = usage
        .rows
        .iter()
        .map(|(key, used)| {
            let shown = UserShown {
                user: key.group.first().and_then(|user| user.as_ref()).map(ToString::to_string).unwrap_or_default(),
                meter: text(key.meter.as_ref()),
                generations: used.generations,
                units: Number::micros(used.units),
                cost: Number::micros(used.cost),
                currency: usage.currency.to_string(),
            };
            (used.units, shown)
        })
        .collect();
    users.sort_by_key(|(units, _)| std::cmp::Reverse(*units));
    let left_out = users.len().saturating_sub(USERS_MAX);
    let mut users: Vec<UserShown> = users.into_iter().take(USERS_MAX).map(|(_, user)| user).collect();
    Column::Units.align(users.iter_mut().map(|user| &mut user.units));
    Column::Money.align(users.iter_mut().map(|user| &mut user.cost));
    (users, left_out)
}

/// The limits that a contract puts in place of the plan's.
fn overrides(document: &Document) -> Vec<(String, String)> {
    let limit = |limit: Limit| limit.amount().map_or_else(|| "unlimited".to_owned(), |amount| amount.to_string());
    let allowances = document.overrides.allowances.iter().filter_map(|(id, limits)| {
        let (_, last) = limits.steps().last()?;
        Some((format!("allowance {id}"), limit((*last)?)))
    });
    let caps = document.overrides.caps.iter().map(|(id, of)| (format!("cap {id}"), limit(*of)));
    allowances.chain(caps).collect()
}
