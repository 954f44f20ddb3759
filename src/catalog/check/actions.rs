//! Actions and their counting rules.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::Checker;
use super::condition::{Attributes, RULE_KEYS, Scope};
use super::known::{ANY, suggest};
use crate::catalog::raw::{CONDITION_KEYS, RawAction, RawEach, RawMode, RawRound, RawRule, Text};
use crate::domain::amount::RoundingMode;
use crate::domain::condition::Condition;
use crate::domain::counting::{Action, Charging, Each, Per, Rounding, Rule};
use crate::domain::ids::{ActionId, AttributeId, MeasureId};
use crate::yaml::{At, Entries, OneOrMany, Placed};

impl Checker<'_> {
    pub(super) fn actions(&mut self, raw: &Entries<RawAction>) -> BTreeMap<ActionId, Action> {
        let mut actions = BTreeMap::new();
        for entry in raw.iter() {
            let id = self.name(entry.at, &entry.name, ActionId::new);
            let Some(raw) = &entry.value else { continue };
            let measures = self.measures(raw.measures.as_ref());
            let attributes = self.attributes(&raw.attributes);
            let charge = self.charging(entry.at, raw);
            if let (Some(id), Some(charge)) = (id, charge) {
                actions.insert(id.clone(), Action { id, charge, measures, attributes });
            }
        }
        actions
    }

    fn measures(&mut self, raw: Option<&OneOrMany<Placed<String>>>) -> BTreeSet<MeasureId> {
        let mut measures = BTreeSet::new();
        for measure in raw.iter().flat_map(|measures| &measures.0) {
            if matches!(&*measure.value, "output" | "request") {
                let message = format!("the name `{}` has a meaning of its own after `per`", measure.value);
                self.error(measure.at, message, Some("give the measure another name".to_owned()));
                continue;
            }
            if let Some(id) = self.id(measure.at, &measure.value, MeasureId::new)
                && !measures.insert(id)
            {
                self.error(measure.at, format!("is named twice: `{}`", measure.value), None);
            }
        }
        measures
    }

    fn attributes(&mut self, raw: &Entries<OneOrMany<Placed<Text>>>) -> BTreeMap<AttributeId, Option<BTreeSet<Box<str>>>> {
        let mut attributes = BTreeMap::new();
        for entry in raw.iter() {
            if CONDITION_KEYS.contains(&entry.name.as_str()) {
                let message = format!("the name `{}` has a meaning of its own in conditions", entry.name);
                self.error_of_name(entry.at, message, Some("give the attribute another name".to_owned()));
            }
            let id = self.name(entry.at, &entry.name, AttributeId::new);
            let Some(values) = &entry.value else { continue };
            let any = values.0.iter().find(|value| value.value.0 == ANY);
            if let Some(any) = any
                && values.0.len() > 1
            {
                self.error(any.at, "`any` stands alone: it allows every value", Some("leave the other values out".to_owned()));
            }
            let values = self.attribute_values(&entry.name, values, None);
            if let Some(id) = id {
                attributes.insert(id, if any.is_some() { None } else { Some(values.into_iter().collect()) });
            }
        }
        attributes
    }

    fn charging(&mut self, at: At, raw: &RawAction) -> Option<Charging> {
        if let Some(free) = &raw.free {
            if !free.value {
                self.error(free.at, "must be `true` or left out", Some("an action with a meter and rules is charged".to_owned()));
            } else if raw.meter.is_some() || raw.rules.is_some() {
                let hint = "remove `free`, or remove `meter` and `rules`".to_owned();
                self.error(free.at, "an action is either free or charged by rules, not both", Some(hint));
            }
            return Some(Charging::Free);
        }
        if raw.meter.is_none() && raw.rules.is_none() {
            let problem = self.places.problem_of_name(at, "is neither free nor charged");
            let broken = ["free", "meter", "rules"].iter().any(|key| self.known.is_broken(&format!("{}.{key}", problem.path)));
            if !broken {
                self.problems.push(problem.hint("write `free: true`, or give it a `meter` and `rules`"));
            }
            return None;
        }
        let meter = self.need(at, "meter", raw.meter.as_ref()).and_then(|meter| self.meter(meter));
        let rules = self.need(at, "rules", raw.rules.as_ref()).map(|rules| self.rules(rules, raw))?;
        Some(Charging::Metered { meter: meter?, rules })
    }

    fn rules(&mut self, raw: &Placed<Vec<Placed<RawRule>>>, action: &RawAction) -> Vec<Rule> {
        let mut always: Option<&Placed<RawRule>> = None;
        let mut rules = Vec::new();
        for rule in &raw.value {
            if let Some(earlier) = always {
                let message = format!("is never used: the rule at line {} has no conditions", self.places.line(earlier.at));
                self.warn(rule.at, message, "put the rule without conditions last");
            }
            if rule.value.when.0.0.is_empty() {
                always.get_or_insert(rule);
            }
            rules.extend(self.rule(rule, action));
        }
        match raw.value.last() {
            None => self.empty_list(raw.at, "add a rule such as `{per: output, rate: 1}`"),
            Some(last) if always.is_none() => self.warn(
                last.at,
                "even the last rule has conditions: work that no rule covers is refused",
                "end with a rule without `when`, unless that is meant",
            ),
            Some(_) => {}
        }
        rules
    }

    fn rule(&mut self, raw: &Placed<RawRule>, action: &RawAction) -> Option<Rule> {
        let scope = Scope { of: "a counting rule", keys: RULE_KEYS, attributes: Attributes::Of(action) };
        let when: Condition = self.condition(&raw.value.when, &scope);
        let per = self.need(raw.at, "per", raw.value.per.as_ref()).and_then(|per| self.per_of_action(per, action));
        let rate = self.need(raw.at, "rate", raw.value.rate.as_ref()).and_then(|rate| self.decimal(rate));
        let rounding = raw.value.round.as_ref().map_or_else(|| Some(Rounding::default()), |round| self.rounding(round));
        Some(Rule { when, per: per?, rate: rate?, rounding: rounding? })
    }

    fn per_of_action(&mut self, per: &Placed<String>, action: &RawAction) -> Option<Per> {
        let measures = || action.measures.iter().flat_map(|measures| &measures.0).map(|measure| measure.value.as_str());
        match per.value.as_str() {
            "request" => Some(Per::Request),
            "output" => Some(Per::Output),
            name if measures().any(|measure| measure == name) => self.id(per.at, name, MeasureId::new).map(Per::Measure),
            name => {
                let problem = self.places.problem(per.at, format!("`{name}` is neither `request`, `output` nor a measure of this action"));
                let hint = suggest(name, ["request", "output"].into_iter().chain(measures()), String::new);
                self.problems.push(problem.hint(hint));
                None
            }
        }
    }

    fn rounding(&mut self, raw: &RawRound) -> Option<Rounding> {
        let mode = rounding_mode(raw.mode);
        let each = match raw.each {
            None | Some(RawEach::Output) => Each::Output,
            Some(RawEach::Request) => Each::Request,
        };
        let step = match &raw.to {
            None => Decimal::ONE,
            Some(step) => {
                let value = self.decimal(step)?;
                if value.is_zero() {
                    self.error(step.at, "must be more than zero", None);
                    return None;
                }
                value
            }
        };
        Some(Rounding { mode, step, each })
    }
}

pub(super) const fn rounding_mode(mode: RawMode) -> RoundingMode {
    match mode {
        RawMode::None => RoundingMode::None,
        RawMode::Up => RoundingMode::Up,
        RawMode::Down => RoundingMode::Down,
        RawMode::HalfUp => RoundingMode::HalfUp,
    }
}
