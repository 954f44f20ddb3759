//! The two tables, balances by subject and costs by target and tier, at most 80 columns wide.

use comfy_table::{Cell, CellAlignment, Color, Table, presets};
use rust_decimal::{Decimal, RoundingStrategy};

use super::board::{Board, Cost, Subject};

/// Whether colours may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    Colours,
    Plain,
}

/// Cells of the bar of an allowance.
const BAR: u32 = 8;

pub fn balances(board: &Board, ink: Ink) -> String {
    let mut table = table(&["SUBJECT", "PLAN", "ALLOWANCE LEFT", "CREDITS", "HELD", "CHARGED", "DENIED"], 3, ink);
    for subject in &board.subjects {
        let left = format!("{} {:>4}/{}", bar(subject), subject.allowance_left.to_string(), subject.allowance);
        let left = if subject.near_limit { Cell::new(left).fg(Color::Yellow) } else { Cell::new(left) };
        let denied = Cell::new(subject.denials);
        table.add_row([
            Cell::new(subject.name),
            Cell::new(&subject.plan),
            left,
            Cell::new(subject.credits),
            Cell::new(subject.held),
            Cell::new(subject.charged),
            if subject.denials > 0 { denied.fg(Color::Red) } else { denied },
        ]);
    }
    table.trim_fmt()
}

/// At most so many rows: the cheapest ones are the first to be left out.
pub fn costs(board: &Board, rows_max: usize, ink: Ink) -> String {
    let mut table = table(&["TARGET", "TIER", "ATTEMPTS", "OUTPUTS", "COST", "PER OUTPUT", "SHIFT"], 2, ink);
    let mut by_cost: Vec<_> = board.costs.iter().collect();
    by_cost.sort_by(|one, other| other.1.cost.cmp(&one.1.cost).then(one.0.cmp(other.0)));
    by_cost.truncate(rows_max);
    by_cost.sort_by_key(|(run, _)| *run);
    for (run, cost) in by_cost {
        let mut row = vec![Cell::new(format!("{}/{}", run.provider, run.model)), Cell::new(&run.tier)];
        row.extend(amounts(cost));
        table.add_row(row);
    }
    table.trim_fmt()
}

fn amounts(cost: &Cost) -> [Cell; 5] {
    let shift = Cell::new(if cost.failovers == 0 { String::new() } else { signed(cost.shift) });
    [
        Cell::new(cost.attempts),
        Cell::new(cost.outputs),
        Cell::new(money(cost.cost, 2)),
        Cell::new(cost.per_output().map(|each| money(each, 4)).unwrap_or_default()),
        if cost.shift > Decimal::ZERO { shift.fg(Color::Yellow) } else { shift },
    ]
}

/// Money with so many digits after the point.
pub fn money(amount: Decimal, digits: u32) -> String {
    let mut rounded = amount.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(digits);
    rounded.to_string()
}

/// Money with its sign.
pub fn signed(amount: Decimal) -> String {
    let sign = if amount.is_sign_negative() { "" } else { "+" };
    format!("{sign}{}", money(amount, 2))
}

/// A table without lines; from column `numbers` on cells stand to the right.
fn table(header: &[&str], numbers: usize, ink: Ink) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match ink {
        Ink::Colours => table.enforce_styling(),
        Ink::Plain => table.force_no_tty(),
    };
    table.set_header(header);
    let last = header.len() - 1;
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
        column.set_cell_alignment(if index >= numbers { CellAlignment::Right } else { CellAlignment::Left });
    }
    table
}

/// What is left of an allowance, as a bar.
fn bar(subject: &Subject) -> String {
    let cells = subject.allowance_left.checked_mul(Decimal::from(BAR)).and_then(|left| left.checked_div(subject.allowance));
    // Rounded up, so that an empty bar means that nothing is left.
    let full = cells.map(|cells| cells.ceil()).and_then(|cells| u32::try_from(cells).ok()).unwrap_or(0).min(BAR);
    (0..BAR).map(|cell| if cell < full { '█' } else { '░' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_only_when_nothing_is_left() {
        let of = |left: i64| bar(&Subject { allowance: 1000.into(), allowance_left: left.into(), ..Subject::default() });
        assert_eq!([of(1000), of(500), of(1), of(0)], ["████████", "████░░░░", "█░░░░░░░", "░░░░░░░░"]);
        assert_eq!(bar(&Subject::default()), "░░░░░░░░");
    }

    #[test]
    fn money_is_rounded_half_away_from_zero() {
        let of = |text: &str| money(text.parse().unwrap(), 2);
        assert_eq!([of("0.005"), of("2"), of("-0.125")], ["0.01", "2.00", "-0.13"]);
    }
}
