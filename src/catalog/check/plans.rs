//! Plans: terms by date, features, allowances, add-ons and caps.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use super::actions::rounding_mode;
use super::condition::{Attributes, CAP_KEYS, Scope};
use super::known::{Kind, suggest};
use crate::catalog::raw::{
    Amount, Number, RawAddOn, RawAllowance, RawCap, RawCapMode, RawCapOf, RawEvery, RawFailover, RawFailoverPolicy, RawFeatures,
    RawOnStoreOutage, RawPer, RawPlan, RawPool, RawProration, RawProrationRound, RawSource, RawTerms, RawWindow,
};
use crate::domain::amount::{MICROS_PER_UNIT, Micros};
use crate::domain::cap::{Cap, CapMode, CapOf, Dimension};
use crate::domain::failover::ATTEMPTS_MAX;
use crate::domain::ids::{ActionId, AddOnId, AllowanceId, AttributeId, CapId, IdError, LABEL_KEY_BYTES_MAX, MeasureId, PlanId, TierId};
use crate::domain::period::{Cadence, Window};
use crate::domain::plan::{
    AddOn, Allowance, AllowancePer, Bundle, BurnOrder, Failover, FailoverPolicy, Features, Issue, OnStoreOutage, Plan, PlanPrice,
    Proration, ProrationKind, Rollover, SourceKind, Terms,
};
use crate::yaml::{At, Entries, OneOrMany, Placed, nearest};

const UNLIMITED: &str = "unlimited";
const LABEL_PREFIX: &str = "label:";

/// Attempts, cost ratio, cost and tiers, as they stand in the file.
type RawBounds<'r> =
    (Option<&'r Placed<u32>>, Option<&'r Placed<Number>>, Option<&'r Placed<Number>>, Option<&'r OneOrMany<Placed<String>>>);

/// What must be unique or alike over all plans.
#[derive(Default)]
struct Across {
    /// The plan that has each rank.
    ranks: BTreeMap<i64, String>,
    /// The meter of each allowance id, and the line that said so.
    allowance_meters: BTreeMap<String, (String, usize)>,
}

impl Checker<'_> {
    /// `shared_caps` are the names of the caps over all plans.
    pub(super) fn plans(&mut self, raw: Entries<RawPlan>, shared_caps: &BTreeSet<String>) -> BTreeMap<PlanId, Plan> {
        let mut across = Across::default();
        let mut plans = BTreeMap::new();
        for entry in raw.0 {
            let id = self.name(entry.at, &entry.name, PlanId::new);
            let Some(mut raw) = entry.value else { continue };
            self.rank(entry.at, &entry.name, &raw, &mut across);
            let title = raw.title.take().unwrap_or_else(|| entry.name.clone()).into();
            let rank = raw.rank.as_ref().map_or(0, |rank| rank.value);
            let price = self.plan_price(&raw);
            let terms = self.dated_terms(raw, shared_caps, &mut across);
            if let Some(id) = id {
                plans.insert(id.clone(), Plan { id, title, rank, price, terms });
            }
        }
        plans
    }

    fn rank(&mut self, at: At, name: &str, raw: &RawPlan, across: &mut Across) {
        let rank = raw.rank.as_ref().map_or(0, |rank| rank.value);
        let Some(other) = across.ranks.insert(rank, name.to_owned()) else { return };
        let message = format!("the plan `{other}` has the same rank: {rank}");
        let hint = Some("give each plan its own `rank`; a higher rank is an upgrade".to_owned());
        match &raw.rank {
            Some(rank) => self.error(rank.at, message, hint),
            None => self.error_of_name(at, message, hint),
        }
    }

    fn plan_price(&mut self, raw: &RawPlan) -> PlanPrice {
        let Some(price) = &raw.price else { return PlanPrice::default() };
        PlanPrice {
            month: price.month.as_ref().and_then(|money| self.amount(money)),
            year: price.year.as_ref().and_then(|money| self.amount(money)),
            per_seat: price.per_seat.unwrap_or_default(),
        }
    }

    fn dated_terms(&mut self, raw: RawPlan, shared_caps: &BTreeSet<String>, across: &mut Across) -> Vec<Terms> {
        let RawPlan { title: _, rank: _, price: _, terms, from, features, allowances, caps, add_ons, .. } = raw;
        let RawPlan { burn_order, split, failover, proration, proration_round, on_store_outage, .. } = raw;
        let inline = RawTerms {
            from,
            features,
            allowances,
            caps,
            add_ons,
            burn_order,
            split,
            failover,
            proration,
            proration_round,
            on_store_outage,
        };
        let Some(list) = terms else { return vec![self.terms(&inline, shared_caps, across)] };
        if inline.says_anything() {
            let hint = "move the other keys of the plan, but `title`, `rank` and `price`, into the first of them".to_owned();
            self.error(list.at, "terms stand either in this list or in the plan itself, not in both", Some(hint));
        }
        if list.value.is_empty() {
            self.empty_list(list.at, "give the plan at least one set of terms");
        }
        let mut before: Option<&RawTerms> = None;
        let mut checked: Vec<Terms> = Vec::new();
        for raw in &list.value {
            let terms = self.terms(&raw.value, shared_caps, across);
            match (&raw.value.from, terms.from) {
                (None, _) if before.is_some() => {
                    self.need::<()>(raw.at, "from", None);
                }
                (Some(from), Some(day)) if checked.last().and_then(|last| last.from).is_some_and(|last| last >= day) => {
                    let hint = "order terms by date, oldest first".to_owned();
                    self.error(from.at, format!("is not later than the terms before it: `{day}`"), Some(hint));
                }
                _ => {}
            }
            before = Some(&raw.value);
            checked.push(terms);
        }
        checked
    }

    fn terms(&mut self, raw: &RawTerms, shared_caps: &BTreeSet<String>, across: &mut Across) -> Terms {
        let from = raw.from.as_ref().and_then(|from| self.day(from));
        let features = raw.features.as_ref().map_or_else(Features::default, |features| self.features(features));
        let allowances = self.allowances(raw.allowances.as_deref().unwrap_or_default(), across);
        let caps = raw.caps.as_ref().map_or_else(Vec::new, |caps| {
            for cap in caps.iter().filter(|cap| shared_caps.contains(&cap.name)) {
                let hint = "give one of them another name".to_owned();
                self.error_of_name(cap.at, format!("`{}` is also a cap over all plans", cap.name), Some(hint));
            }
            self.caps(caps)
        });
        let add_ons = raw.add_ons.as_ref().map_or_else(Vec::new, |add_ons| self.add_ons(add_ons));
        Terms {
            from,
            features,
            allowances,
            caps,
            add_ons,
            burn_order: raw.burn_order.as_ref().map_or_else(BurnOrder::default, |order| self.burn_order(order)),
            whole: raw.split == Some(false),
            failover: raw.failover.as_ref().map_or_else(FailoverPolicy::default, |policy| self.failover_policy(policy)),
            proration: self.proration(raw.proration, raw.proration_round.as_ref()),
            on_store_outage: match raw.on_store_outage.as_ref().map(|policy| &policy.value) {
                None | Some(RawOnStoreOutage::Closed) => OnStoreOutage::Closed,
                Some(RawOnStoreOutage::Open(units)) => {
                    self.amount_above_zero(units).map_or(OnStoreOutage::Closed, |units_max| OnStoreOutage::Open { units_max })
                }
            },
        }
    }

    fn features(&mut self, raw: &RawFeatures) -> Features {
        let mut features = Features {
            actions: self.set(raw.actions.as_ref(), Kind::Action, ActionId::new),
            tiers: self.set(raw.tiers.as_ref(), Kind::Tier, TierId::new),
            ..Features::default()
        };
        for entry in raw.attributes.iter() {
            let id = self.refer_name(Kind::Attribute, entry.at, &entry.name, AttributeId::new);
            let (Some(id), Some(values)) = (id, &entry.value) else { continue };
            let allowed = self.known.values(&entry.name).cloned();
            let values = self.attribute_values(&entry.name, values, allowed.as_ref());
            features.attributes.insert(id, values.into_iter().collect());
        }
        for entry in raw.measures.iter() {
            let id = self.refer_name(Kind::Measure, entry.at, &entry.name, MeasureId::new);
            let most = entry.value.as_ref().and_then(|most| self.decimal(most));
            if let (Some(id), Some(most)) = (id, most) {
                features.measures.insert(id, most);
            }
        }
        features
    }

    fn set<T: Ord>(
        &mut self,
        raw: Option<&OneOrMany<Placed<String>>>,
        kind: Kind,
        make: fn(&str) -> Result<T, IdError>,
    ) -> Option<BTreeSet<T>> {
        raw.map(|names| names.0.iter().filter_map(|name| self.refer(kind, name.at, &name.value, make)).collect())
    }

    fn allowances(&mut self, raw: &[Placed<RawAllowance>], across: &mut Across) -> Vec<Allowance> {
        let mut ids = BTreeSet::new();
        let mut allowances = Vec::new();
        for entry in raw {
            let (at, raw) = (entry.at, &entry.value);
            let meter = self.need(at, "meter", raw.meter.as_ref());
            if let Some(meter) = meter {
                let id = raw.id.as_ref().unwrap_or(meter);
                if !ids.insert(id.value.clone()) {
                    let hint = "give one of them an `id` of its own".to_owned();
                    self.error(id.at, format!("there is another allowance `{}` in these terms", id.value), Some(hint));
                }
                let line = self.places.line(id.at);
                let (known, known_line) = across.allowance_meters.entry(id.value.clone()).or_insert((meter.value.clone(), line)).clone();
                if known != meter.value {
                    let message = format!("the allowance `{}` at line {known_line} counts `{known}`, not `{}`", id.value, meter.value);
                    self.error(id.at, message, Some("give one of them another `id`: allowances with one id share an account".to_owned()));
                }
            }
            if let Some(meter) = meter.filter(|meter| self.known.is_never_charged(&meter.value)) {
                let hint = "charge an action in it, or give an allowance of another meter";
                let problem = self.places.problem(meter.at, format!("no action is charged in `{}`", meter.value));
                self.problems.push(problem.hint(hint).warning());
            }
            allowances.extend(self.allowance(at, raw));
        }
        allowances
    }

    fn allowance(&mut self, at: At, raw: &RawAllowance) -> Option<Allowance> {
        let meter = raw.meter.as_ref().and_then(|meter| self.meter(meter));
        let id = raw.id.as_ref().or(raw.meter.as_ref()).and_then(|id| self.id(id.at, &id.value, AllowanceId::new));
        let amount = self.need(at, "amount", raw.amount.as_ref()).and_then(|amount| self.given(amount));
        let per = self.need(at, "per", raw.per.as_ref()).and_then(|per| self.whose(per, raw.pool.as_ref()));
        let every = raw.every.map_or(Cadence::Month, cadence);
        let yearly = raw.billed_yearly.as_ref().map(|issue| &issue.value);
        let yearly_amount = match yearly.and_then(|issue| issue.amount.as_ref()) {
            Some(amount) => self.given(amount),
            None => amount,
        };
        let yearly_every = yearly.and_then(|issue| issue.every).map_or(every, cadence);
        if let Some(issue) = &raw.billed_yearly
            && issue.value.amount.is_none()
            && issue.value.every.is_none()
        {
            self.says_nothing(issue.at);
        }
        let rollover = match &raw.rollover {
            None => None,
            Some(rollover) => {
                let cap = self.need(rollover.at, "cap", rollover.value.cap.as_ref()).and_then(|cap| self.amount(cap));
                Some(Rollover { cap: cap? })
            }
        };
        let monthly = Issue { amount: amount?, every };
        let yearly = Issue { amount: yearly_amount?, every: yearly_every };
        Some(Allowance { id: id?, meter: meter?, per: per?, monthly, yearly, rollover })
    }

    /// An issue that differs in nothing, unless what it says is broken.
    fn says_nothing(&mut self, at: At) {
        let path = self.places.problem(at, "").path;
        if !["amount", "every"].iter().any(|key| self.known.is_broken(&format!("{path}.{key}"))) {
            self.error(at, "says nothing: it has neither `amount` nor `every`", Some("leave it out".to_owned()));
        }
    }

    /// An amount, or `Some(None)` for unlimited.
    fn given(&mut self, amount: &Placed<Amount>) -> Option<Option<Micros>> {
        let text = amount.value.0.as_str();
        if text == UNLIMITED {
            return Some(None);
        }
        if let Some(near) = nearest(text, [UNLIMITED]) {
            self.error(amount.at, format!("must be an amount or `{UNLIMITED}`: got `{text}`"), Some(format!("did you mean `{near}`?")));
            return None;
        }
        self.amount_of(amount.at, text).map(Some)
    }

    fn whose(&mut self, per: &Placed<RawPer>, pool: Option<&Placed<RawPool>>) -> Option<AllowancePer> {
        match (per.value, pool) {
            (RawPer::Seat, Some(_)) => Some(AllowancePer::SeatsPooled),
            (_, Some(pool)) => {
                let hint = "write `per: seat`, or leave `pool` out".to_owned();
                self.error(pool.at, "only seats can share a pool", Some(hint));
                None
            }
            (RawPer::User, None) => Some(AllowancePer::User),
            (RawPer::Seat, None) => Some(AllowancePer::Seat),
            (RawPer::Subject, None) => Some(AllowancePer::Subject),
        }
    }

    fn add_ons(&mut self, raw: &Entries<RawAddOn>) -> Vec<AddOn> {
        let mut add_ons = Vec::new();
        for entry in raw.iter() {
            let id = self.name(entry.at, &entry.name, AddOnId::new);
            let Some(raw) = &entry.value else { continue };
            let meter = self.need(entry.at, "meter", raw.meter.as_ref()).and_then(|meter| self.meter(meter));
            let bundle = self.need(entry.at, "amount", raw.amount.as_ref()).and_then(|amount| self.amount_above_zero(amount));
            let price = raw.price.as_ref().and_then(|price| self.amount(price));
            let per = self.need(entry.at, "per", raw.per.as_ref()).and_then(|per| self.whose(per, raw.pool.as_ref()));
            let every = raw.every.map_or(Cadence::Month, cadence);
            let yearly = raw.billed_yearly.as_ref();
            if let Some(silent) = yearly.filter(|yearly| yearly.value.amount.is_none() && yearly.value.every.is_none()) {
                self.says_nothing(silent.at);
            }
            let yearly_every = yearly.and_then(|yearly| yearly.value.every).map_or(every, cadence);
            let yearly_amount = match yearly.and_then(|yearly| yearly.value.amount.as_ref()) {
                Some(amount) => self.amount_above_zero(amount),
                None => bundle,
            };
            if let (Some(id), Some(meter), Some(amount), Some(yearly_amount), Some(per)) = (id, meter, bundle, yearly_amount, per) {
                let (monthly, yearly) = (Bundle { amount, every }, Bundle { amount: yearly_amount, every: yearly_every });
                add_ons.push(AddOn { id, meter, price, per, monthly, yearly });
            }
        }
        add_ons
    }

    fn proration(&mut self, kind: Option<RawProration>, round: Option<&RawProrationRound>) -> Proration {
        let default = Proration::default();
        let step = round.and_then(|round| round.to.as_ref()).and_then(|step| self.amount_above_zero(step));
        Proration {
            kind: match kind {
                Some(RawProration::Full) => ProrationKind::Full,
                None | Some(RawProration::Prorated) => ProrationKind::Prorated,
                Some(RawProration::None) => ProrationKind::None,
            },
            mode: round.and_then(|round| round.mode).map_or(default.mode, rounding_mode),
            step: step.unwrap_or(default.step),
        }
    }

    fn burn_order(&mut self, raw: &Placed<Vec<Placed<RawSource>>>) -> BurnOrder {
        let order: Vec<_> = raw
            .value
            .iter()
            .map(|kind| match kind.value {
                RawSource::Allowance => SourceKind::Allowance,
                RawSource::AddOn => SourceKind::AddOn,
                RawSource::Grant => SourceKind::Grant,
            })
            .collect();
        let path = self.places.problem(raw.at, "").path;
        let broken = (0..=order.len()).any(|index| self.known.is_broken(&format!("{path}[{index}]")));
        if (order.len() != 3 || order.iter().collect::<BTreeSet<_>>().len() != 3) && !broken {
            let hint = "such as `[allowance, add_on, grant]`".to_owned();
            self.error(raw.at, "must name each of `allowance`, `add_on` and `grant` once", Some(hint));
        }
        BurnOrder(order)
    }

    fn failover_policy(&mut self, raw: &RawFailoverPolicy) -> FailoverPolicy {
        let RawFailoverPolicy { max_attempts, max_cost_ratio, max_cost, tiers, actions } = raw;
        let plan = self.failover((max_attempts.as_ref(), max_cost_ratio.as_ref(), max_cost.as_ref(), tiers.as_ref()));
        let mut policy = FailoverPolicy { plan, actions: BTreeMap::new() };
        for entry in actions.iter().flat_map(Entries::iter) {
            let id = self.refer_name(Kind::Action, entry.at, &entry.name, ActionId::new);
            let Some(RawFailover { max_attempts, max_cost_ratio, max_cost, tiers }) = &entry.value else { continue };
            let own = self.failover((max_attempts.as_ref(), max_cost_ratio.as_ref(), max_cost.as_ref(), tiers.as_ref()));
            let of_all = policy.plan.clone();
            let bounds = Failover {
                attempts_max: own.attempts_max.or(of_all.attempts_max),
                cost_ratio_max: own.cost_ratio_max.or(of_all.cost_ratio_max),
                cost_max: own.cost_max.or(of_all.cost_max),
                tiers: own.tiers.or(of_all.tiers),
            };
            policy.actions.extend(id.map(|id| (id, bounds)));
        }
        policy
    }

    fn failover(&mut self, (max_attempts, max_cost_ratio, max_cost, tiers): RawBounds<'_>) -> Failover {
        if let Some(attempts) = max_attempts.filter(|attempts| !(1..=ATTEMPTS_MAX).contains(&attempts.value)) {
            self.error(attempts.at, format!("must be 1 to {ATTEMPTS_MAX}: the first attempt counts"), None);
        }
        let ratio = max_cost_ratio.and_then(|ratio| {
            let value = self.decimal(ratio)?;
            if value.is_zero() {
                self.error(ratio.at, "must be more than zero", None);
            }
            Some(value)
        });
        Failover {
            attempts_max: max_attempts.map(|attempts| attempts.value),
            cost_ratio_max: ratio,
            cost_max: max_cost.and_then(|cost| self.amount(cost)),
            tiers: self.set(tiers, Kind::Tier, TierId::new),
        }
    }

    pub(super) fn caps(&mut self, raw: &Entries<RawCap>) -> Vec<Cap> {
        let mut caps = Vec::new();
        for entry in raw.iter() {
            let id = self.name(entry.at, &entry.name, CapId::new);
            let Some(raw) = &entry.value else { continue };
            caps.extend(self.cap(entry.at, id, raw));
        }
        caps
    }

    fn cap(&mut self, at: At, id: Option<CapId>, raw: &RawCap) -> Option<Cap> {
        let kind = self.need(at, "of", raw.of.as_ref()).map(|of| of.value);
        let meter = raw.meter.as_ref().and_then(|meter| self.meter(meter));
        if let (Some(kind), Some(meter)) = (kind, &raw.meter)
            && kind != RawCapOf::Units
        {
            let hint = "remove `meter`, or write `of: units`".to_owned();
            self.error(meter.at, "only a cap of units has a meter", Some(hint));
        }
        let of = match kind {
            None => None,
            Some(RawCapOf::Units) => self.need(at, "meter", raw.meter.as_ref()).and(meter).map(CapOf::Units),
            Some(RawCapOf::Cost) => Some(CapOf::Cost),
            Some(RawCapOf::Requests) => Some(CapOf::Requests),
            Some(RawCapOf::InFlight) => Some(CapOf::InFlight),
        };
        let whole = matches!(kind, Some(RawCapOf::Requests | RawCapOf::InFlight));
        let limit = self.need(at, "limit", raw.limit.as_ref()).and_then(|limit| self.limit(limit, whole));
        if let (Some(RawCapOf::InFlight), Some(per)) = (kind, &raw.per) {
            let hint = "remove `per`: it counts what is running now".to_owned();
            self.error(per.at, "a cap of generations in flight has no window", Some(hint));
        }
        let mut by = Vec::new();
        for dimension in raw.by.iter().flat_map(|by| &by.0) {
            let Some(found) = self.dimension(dimension) else { continue };
            if by.contains(&found) {
                self.error(dimension.at, format!("is named twice: `{}`", dimension.value), None);
            } else {
                by.push(found);
            }
        }
        let per = raw.per.as_ref().map_or(Window::Always, |per| window(per.value));
        let when = self.condition(&raw.matches, &Scope { of: "a cap", keys: CAP_KEYS, attributes: Attributes::None });
        let mode = match raw.mode {
            None | Some(RawCapMode::Enforce) => CapMode::Enforce,
            Some(RawCapMode::Warn) => CapMode::Warn,
            Some(RawCapMode::Shadow) => CapMode::Shadow,
        };
        Some(Cap { id: id?, of: of?, limit: limit?, by, per, when, mode })
    }

    fn limit(&mut self, limit: &Placed<Number>, whole: bool) -> Option<Micros> {
        let amount = self.amount(limit)?;
        if whole && amount.get() % MICROS_PER_UNIT != 0 {
            self.error(limit.at, format!("must be a whole number: got `{}`", limit.value.0), None);
            return None;
        }
        Some(amount)
    }

    fn dimension(&mut self, raw: &Placed<String>) -> Option<Dimension> {
        const NAMES: [&str; 5] = ["user", "provider", "model", "tier", "action"];
        match raw.value.as_str() {
            "user" => Some(Dimension::User),
            "provider" => Some(Dimension::Provider),
            "model" => Some(Dimension::Model),
            "tier" => Some(Dimension::Tier),
            "action" => Some(Dimension::Action),
            other => match other.strip_prefix(LABEL_PREFIX) {
                Some(label) if label.is_empty() || label.len() > LABEL_KEY_BYTES_MAX => {
                    self.error(raw.at, format!("a label's key has 1 to {LABEL_KEY_BYTES_MAX} bytes"), None);
                    None
                }
                Some(label) => Some(Dimension::Label(label.into())),
                None => {
                    let hint = suggest(other, NAMES.into_iter(), String::new);
                    let message = format!("must be `user`, `provider`, `model`, `tier`, `action` or `label:NAME`: got `{other}`");
                    self.error(raw.at, message, Some(hint));
                    None
                }
            },
        }
    }
}

impl RawTerms {
    fn says_anything(&self) -> bool {
        self.from.is_some()
            || self.features.is_some()
            || self.allowances.is_some()
            || self.caps.is_some()
            || self.add_ons.is_some()
            || self.burn_order.is_some()
            || self.split.is_some()
            || self.failover.is_some()
            || self.proration.is_some()
            || self.proration_round.is_some()
            || self.on_store_outage.is_some()
    }
}

const fn cadence(every: RawEvery) -> Cadence {
    match every {
        RawEvery::Month => Cadence::Month,
        RawEvery::Year => Cadence::Year,
    }
}

const fn window(per: RawWindow) -> Window {
    match per {
        RawWindow::Minute => Window::Minute,
        RawWindow::Hour => Window::Hour,
        RawWindow::Day => Window::Day,
        RawWindow::Week => Window::Week,
        RawWindow::Month => Window::Month,
        RawWindow::Period => Window::Period,
    }
}
