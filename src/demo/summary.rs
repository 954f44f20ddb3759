//! The closing summary, for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Map, Value, json};

use super::board::Board;
use super::tables::{self, Ink, money, signed};

/// Commands that work as they stand once a server runs.
const NEXT: [(&str, &str); 3] = [
    ("start a sidecar on this host", "genquota serve"),
    (
        "then elsewhere: what would five seconds cost on two targets?",
        "genquota quote acme --action video.generate --measure seconds=5 \\\n    --target fal/wan-2.2 --target runway/gen4-turbo",
    ),
    ("and hold an image, as a gateway would", "genquota reserve acme --action image.generate --target fal/flux-schnell"),
];

/// A day that was played to its end.
pub struct Summary<'a> {
    pub board: &'a Board,
    pub seed: u64,
    pub took: Duration,
}

impl Summary<'_> {
    pub fn text(&self, ink: Ink) -> String {
        let mut text = format!("{}\n\n{}\n\n", tables::balances(self.board, ink), tables::costs(self.board, usize::MAX, ink));
        for (name, value) in self.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {value}");
        }
        text.push_str(&self.checked());
        text.push_str("\n\nTry next:\n");
        for (why, command) in NEXT {
            let _ = writeln!(text, "  # {why}\n  {command}");
        }
        let seconds = self.took.as_millis();
        let _ = write!(
            text,
            "\nplayed day {} in {}.{} s; another day: `genquota demo --seed N`",
            self.seed,
            seconds / 1000,
            seconds % 1000 / 100
        );
        text
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let (totals, cost) = (&self.board.totals, self.board.cost());
        let counted = |of: &std::collections::BTreeMap<String, u64>| {
            of.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        let currency = &totals.currency;
        vec![
            ("generations", format!("{}, {} of them delivered", totals.generations, totals.delivered)),
            ("attempts", format!("{}: {}", cost.attempts, counted(&totals.outcomes))),
            ("denied", format!("{}: {}", totals.denied.values().sum::<u64>(), counted(&totals.denied))),
            ("given back", format!("{} credits; {} holds expired, {} committed late", totals.given_back, totals.expired, totals.late)),
            ("bought", format!("{} credits; {} calls repeated, none counted twice", totals.bought, totals.replayed)),
            ("cost", format!("{} {currency}, {} a generation", money(cost.cost, 2), money(self.per_generation(), 4))),
            (
                "failover",
                format!(
                    "{} attempts on other targets, {} {currency}; cost shift {} {currency}",
                    cost.failovers,
                    money(cost.failover_cost, 2),
                    signed(cost.shift)
                ),
            ),
        ]
    }

    /// What came of the check.
    fn checked(&self) -> String {
        let wrong = self.board.check();
        if wrong.is_empty() {
            let units: Decimal = self.board.subjects.iter().map(|subject| subject.accepted).sum();
            return format!("check        ok: events and balances of {} subjects agree on {units} credits", self.board.subjects.len(),);
        }
        let told = wrong.iter().map(|one| {
            format!(
                "\n  {}: {} credits of accepted attempts, GetBalance says {} charged and {} held",
                one.subject, one.accepted, one.charged, one.held
            )
        });
        format!("check        FAILED: cost events and balances disagree{}", told.collect::<String>())
    }

    fn per_generation(&self) -> Decimal {
        let cost = self.board.cost().cost;
        let each = cost.checked_div(Decimal::from(self.board.totals.generations)).unwrap_or_default();
        each.round_dp_with_strategy(9, RoundingStrategy::MidpointAwayFromZero).normalize()
    }

    pub fn json(&self) -> Value {
        let (board, totals, cost) = (self.board, &self.board.totals, self.board.cost());
        let subjects = board.subjects.iter().map(|subject| {
            json!({
                "subject": subject.name,
                "plan": subject.plan,
                "allowance": subject.allowance.to_string(),
                "allowanceAvailable": subject.allowance_left.to_string(),
                "creditsAvailable": subject.credits.to_string(),
                "reserved": subject.held.to_string(),
                "committed": subject.charged.to_string(),
                "accepted": subject.accepted.to_string(),
                "denials": subject.denials,
            })
        });
        let costs = board.costs.iter().map(|(run, cost)| {
            json!({
                "provider": run.provider,
                "model": run.model,
                "tier": run.tier,
                "attempts": cost.attempts,
                "acceptedAttempts": cost.accepted,
                "acceptedOutputs": cost.outputs,
                "cost": plain(cost.cost),
                "failovers": cost.failovers,
                "costShift": plain(cost.shift),
            })
        });
        let counted = |of: &std::collections::BTreeMap<String, u64>| {
            of.iter().map(|(name, count)| (name.clone(), Value::from(*count))).collect::<Map<_, _>>()
        };
        json!({
            "seed": self.seed,
            "generations": totals.generations,
            "delivered": totals.delivered,
            "attempts": cost.attempts,
            "outcomes": counted(&totals.outcomes),
            "denied": counted(&totals.denied),
            "unitsGivenBack": totals.given_back.to_string(),
            "unitsBought": totals.bought.to_string(),
            "expired": totals.expired,
            "late": totals.late,
            "replayed": totals.replayed,
            "cost": plain(cost.cost),
            "costPerGeneration": plain(self.per_generation()),
            "failover": {"attempts": cost.failovers, "cost": plain(cost.failover_cost), "costShift": plain(cost.shift)},
            "currency": totals.currency,
            "subjects": subjects.collect::<Vec<_>>(),
            "costs": costs.collect::<Vec<_>>(),
            "agrees": board.check().is_empty(),
            "tookMs": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn plain(amount: Decimal) -> String {
    amount.normalize().to_string()
}
