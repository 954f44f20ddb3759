//! Where the day is shown: a live board in a terminal, lines in a pipe, or nowhere.
//!
//! Shows what it is given and decides nothing. The terminal is as it was once a live board is dropped, however the day ended.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::Board;
use super::note::{Kind, Note, clock};
use super::tables::{self, Ink, money};

/// Widest line outside of a terminal.
const COLUMNS_MAX: usize = 100;
/// Columns of `14:07 `, below which a note that needs another line goes on.
const INDENT: usize = 6;
/// Notes kept for the live board: more than any terminal shows.
const NOTES_MAX: usize = 64;
/// Redraws a second. More is not seen, and less looks jerky.
const REDRAWS: u8 = 12;
/// Lines of the live board that are neither costs nor notes: the head, the balances, and what separates them.
const FIXED_LINES: usize = 10;
/// Fewest lines of notes, whatever the height.
const NOTE_LINES_MIN: usize = 3;

/// To the terminal's other screen, emptied, and back: what stood there before is untouched, and so is the board by a `^C` that is echoed.
const ENTER: &str = "\x1b[?1049h\x1b[2J\x1b[H";
const LEAVE: &str = "\x1b[?1049l";

/// One way of showing the day.
pub enum Screen {
    Live(Live),
    Plain(Plain),
    /// Only the summary counts.
    Silent,
}

pub struct Live {
    terminal: Term,
    board: MultiProgress,
    head: ProgressBar,
    body: ProgressBar,
    notes: VecDeque<Note>,
    ink: Ink,
}

/// Notes as lines, the first few of each kind.
#[derive(Default)]
pub struct Plain {
    told: BTreeMap<Kind, usize>,
}

impl Screen {
    /// Takes note of an event.
    pub fn tell(&mut self, note: Note) {
        match self {
            Self::Live(live) => {
                live.notes.push_front(note);
                live.notes.truncate(NOTES_MAX);
            }
            Self::Plain(plain) => plain.tell(&note),
            Self::Silent => {}
        }
    }

    /// Shows the day as it stands.
    pub fn show(&mut self, board: &Board) {
        if let Self::Live(live) = self {
            live.show(board);
        }
    }
}

impl Live {
    pub fn new(generations: usize) -> anyhow::Result<Self> {
        let terminal = Term::stdout();
        let ink = if console::colors_enabled() { Ink::Colours } else { Ink::Plain };
        let board = MultiProgress::with_draw_target(ProgressDrawTarget::term(Term::buffered_stdout(), REDRAWS));
        let total = u64::try_from(generations)?;
        let template = match ink {
            Ink::Colours => "{prefix}  {wide_bar:.cyan}  {pos}/{len} {msg}",
            Ink::Plain => "{prefix}  {wide_bar}  {pos}/{len} {msg}",
        };
        let head = ProgressBar::new(total).with_style(ProgressStyle::with_template(template)?.progress_chars("━╸─"));
        let body = ProgressBar::new(total).with_style(ProgressStyle::with_template("{msg}")?);
        let (head, body) = (board.add(head), board.add(body));
        terminal.write_str(ENTER)?;
        terminal.hide_cursor()?;
        Ok(Self { terminal, board, head, body, notes: VecDeque::new(), ink })
    }

    fn show(&mut self, board: &Board) {
        let (height, width) = self.terminal.size();
        // The last column stays free, or some terminals begin a new line.
        let width = usize::from(width).saturating_sub(1).max(20);
        let height = usize::from(height);
        self.head.set_prefix(board.now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a %-d %B %H:%M").to_string());
        self.head.set_message(format!("generations, {} USD", money(board.cost().cost, 2)));
        let rows = height.saturating_sub(FIXED_LINES + NOTE_LINES_MIN).max(1);
        let costs = tables::costs(board, rows, self.ink);
        let lines = height.saturating_sub(FIXED_LINES + costs.lines().count()).max(NOTE_LINES_MIN);
        let body = format!("\n{}\n\n{costs}\n\n{}", tables::balances(board, self.ink), self.told(lines, width));
        let body: Vec<_> = body.lines().map(|line| console::truncate_str(line, width, "…")).collect();
        self.body.set_message(body.join("\n"));
        // After the message: a bar that has come to its end is drawn once more, whatever the rate.
        self.head.set_position(u64::try_from(board.totals.generations).unwrap_or(u64::MAX));
    }

    /// The last notes, the newest at the bottom, in at most so many lines.
    fn told(&self, lines_max: usize, width: usize) -> String {
        let mut lines: VecDeque<String> = VecDeque::new();
        for note in &self.notes {
            let told = wrapped(note, width);
            if lines.len() + told.len() > lines_max {
                break;
            }
            for line in told.into_iter().rev() {
                lines.push_front(line);
            }
        }
        // As many lines as there are, so that nothing jumps.
        lines.resize(lines_max, " ".to_owned());
        lines.into_iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Live {
    /// Takes the board away and gives the terminal back as it was.
    fn drop(&mut self) {
        // A terminal that is gone needs no cursor.
        let _ = self.board.clear();
        let _ = self.terminal.show_cursor();
        let _ = self.terminal.write_str(LEAVE);
    }
}

impl Plain {
    fn tell(&mut self, note: &Note) {
        let told = self.told.entry(note.kind).or_default();
        *told += 1;
        if *told <= note.kind.told_at_most() {
            print(&wrapped(note, COLUMNS_MAX).join("\n"));
        }
    }
}

/// Writes to stdout. A reader that went away, as `head` does, is no failure.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// A note in lines no wider than `width`.
fn wrapped(note: &Note, width: usize) -> Vec<String> {
    let mut lines = vec![clock(note.at)];
    for word in note.text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => line.push_str(&format!(" {word}")),
            _ => lines.push(format!("{:INDENT$}{word}", "")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::story::DAY_START;

    #[test]
    fn long_notes_go_on_below_their_text() {
        let note = Note { at: DAY_START, kind: Kind::Outage, text: "one two three four".to_owned() };
        assert_eq!(wrapped(&note, 13), ["06:00 one two", "      three", "      four"]);
        assert_eq!(wrapped(&note, 80), ["06:00 one two three four"]);
    }
}
