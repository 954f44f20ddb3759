//! Costs in a terminal: what each provider, model and tier came to since the start, and the last events below.

use std::collections::{BTreeMap, VecDeque};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rust_decimal::Decimal;

use super::columns::{decimal, outcome};
use crate::cli::Failure;
use crate::cli::render::{Columns, target, time};
use crate::proto::v1::{CostEvent, Outcome};

/// Events shown below the table.
const LINES_MAX: usize = 10;
/// Redraws a second: more is not seen.
const REDRAWS: u8 = 8;

/// Sums by target and tier, never blended, and the last events.
#[derive(Debug, Default)]
pub(super) struct Board {
    sums: BTreeMap<(String, String, String), Sum>,
    last: VecDeque<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    attempts: u64,
    accepted: u64,
    failovers: u64,
    cost: Decimal,
    cost_shift: Decimal,
}

impl Board {
    /// An attempt that expired and was committed late counts once, as in every summary.
    fn add(&mut self, event: &CostEvent) -> Result<(), Failure> {
        let Some(attempt) = &event.attempt else { return Ok(()) };
        let (cost, cost_shift) = (decimal(&attempt.cost)?, decimal(&attempt.cost_shift)?);
        let key = (target(attempt.target.as_ref()), attempt.tier.clone(), event.currency.clone());
        let sum = self.sums.entry(key).or_default();
        sum.attempts += u64::from(!event.late);
        sum.accepted += u64::from(attempt.outcome() == Outcome::Accepted);
        sum.failovers += u64::from(event.failover && !event.late);
        sum.cost = sum.cost.saturating_add(cost);
        sum.cost_shift = sum.cost_shift.saturating_add(cost_shift);
        self.last.push_back(line(event));
        if self.last.len() > LINES_MAX {
            self.last.pop_front();
        }
        Ok(())
    }

    /// The sums alone.
    pub(super) fn table(&self) -> String {
        let mut columns = Columns::new(&["TARGET", "TIER", "ATTEMPTS", "ACCEPTED", "FAILOVERS", "COST", "COST SHIFT", "CURRENCY"]);
        for ((target, tier, currency), sum) in &self.sums {
            columns.row(vec![
                target.clone(),
                tier.clone(),
                sum.attempts.to_string(),
                sum.accepted.to_string(),
                sum.failovers.to_string(),
                sum.cost.normalize().to_string(),
                sum.cost_shift.normalize().to_string(),
                currency.clone(),
            ]);
        }
        if self.sums.is_empty() { "nothing has happened yet".to_owned() } else { columns.into_text() }
    }

    /// All of it, no line wider than `width`.
    fn text(&self, width: usize) -> String {
        let table = self.table();
        let lines = table.lines().map(str::to_owned).chain([String::new()]).chain(self.last.iter().cloned());
        lines.map(|line| console::truncate_str(&line, width, "…").into_owned()).collect::<Vec<_>>().join("\n")
    }
}

/// A board that is drawn again with every event.
pub(super) struct Live {
    board: Board,
    bar: ProgressBar,
}

impl Live {
    pub(super) fn new() -> anyhow::Result<Self> {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout_with_hz(REDRAWS));
        bar.set_style(ProgressStyle::with_template("{msg}")?);
        let live = Self { board: Board::default(), bar };
        live.draw();
        Ok(live)
    }

    pub(super) fn tell(&mut self, event: &CostEvent) -> Result<(), Failure> {
        self.board.add(event)?;
        self.draw();
        Ok(())
    }

    /// Takes the board away.
    pub(super) fn end(self) -> Board {
        self.bar.finish_and_clear();
        self.board
    }

    fn draw(&self) {
        let (_, width) = console::Term::stdout().size();
        // The last column stays free, or some terminals begin a new line.
        self.bar.set_message(self.board.text(usize::from(width).saturating_sub(1).max(20)));
    }
}

/// An event in one line.
pub(super) fn line(event: &CostEvent) -> String {
    let attempt = event.attempt.clone().unwrap_or_default();
    let mut parts = vec![
        time(event.event_time.as_ref()),
        event.subject.clone(),
        event.action.clone(),
        target(attempt.target.as_ref()),
        attempt.tier.clone(),
        outcome(&attempt).to_lowercase(),
        format!("{} {}", attempt.cost, event.currency),
    ];
    if event.failover {
        parts.push(format!("failover from {}, shift {}", target(event.planned_target.as_ref()), attempt.cost_shift));
    }
    if attempt.number > 1 {
        parts.push(format!("attempt {}", attempt.number));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Attempt, Target};

    fn event(model: &str, cost: &str, shift: &str, outcome: Outcome) -> CostEvent {
        CostEvent {
            subject: "acme".to_owned(),
            action: "image.generate".to_owned(),
            currency: "USD".to_owned(),
            failover: !shift.is_empty(),
            planned_target: Some(Target { provider: "fal".to_owned(), model: "planned".to_owned() }),
            attempt: Some(Attempt {
                number: 1,
                target: Some(Target { provider: "fal".to_owned(), model: model.to_owned() }),
                tier: "basic".to_owned(),
                cost: cost.to_owned(),
                cost_shift: shift.to_owned(),
                outcome: outcome.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn sums_are_by_target_and_never_blended() {
        let mut board = Board::default();
        assert_eq!(board.table(), "nothing has happened yet");
        for (model, cost, shift, outcome) in
            [("one", "0.1", "", Outcome::Accepted), ("one", "0.2", "0.05", Outcome::Failed), ("two", "7", "-1", Outcome::Accepted)]
        {
            board.add(&event(model, cost, shift, outcome)).unwrap();
        }
        let table: Vec<Vec<String>> = board.table().lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        assert_eq!(table[1], ["fal/one", "basic", "2", "1", "1", "0.3", "0.05", "USD"]);
        assert_eq!(table[2], ["fal/two", "basic", "1", "1", "1", "7", "-1", "USD"]);
        let late = CostEvent { late: true, ..event("two", "7", "-1", Outcome::Accepted) };
        board.add(&late).unwrap();
        let again: Vec<String> = board.table().lines().nth(2).unwrap().split_whitespace().map(str::to_owned).collect();
        assert_eq!(again, ["fal/two", "basic", "1", "2", "1", "14", "-2", "USD"]);
        assert_eq!(board.last[2], "acme  image.generate  fal/two  basic  accepted  7 USD  failover from fal/planned, shift -1");
    }
}
