//! How far a long command has come: a bar where somebody looks, lines where nobody does.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::store::transfer::Progress;

/// How often a bar is drawn, in times a second.
const REDRAWS: u8 = 10;
/// Without a terminal, a line is printed each time that so many more lines are done.
const LINES_TOLD: u64 = 100_000;

/// A bar on stderr where that is a terminal, lines where it is not.
pub(super) struct Told {
    /// What is counted.
    unit: &'static str,
    bar: Option<ProgressBar>,
    done: AtomicU64,
}

impl Told {
    /// Counts lines.
    pub(super) fn new() -> Self {
        Self::counting("lines")
    }

    pub(super) fn counting(unit: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS)));
        Self { unit, bar, done: AtomicU64::new(0) }
    }

    /// Nothing is drawn any more.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Told {
    fn begin(&self, what: &str, lines: Option<u64>) {
        self.done.store(0, Ordering::Relaxed);
        let Some(bar) = &self.bar else {
            let of = lines.map(|lines| format!(": {lines} {}", self.unit)).unwrap_or_default();
            eprintln!("{what}{of}");
            return;
        };
        let colours = console::colors_enabled_stderr();
        let bar_in = if colours { "{wide_bar:.cyan}" } else { "{wide_bar}" };
        let template = if lines.is_some() {
            format!("{{msg}}  {bar_in}  {{pos}}/{{len}} {}, {{eta}} left", self.unit)
        } else {
            "{msg}  {spinner}".to_owned()
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.reset();
        bar.set_length(lines.unwrap_or(0));
        bar.set_message(what.to_owned());
        bar.tick();
    }

    fn advance(&self, lines: u64) {
        match &self.bar {
            Some(bar) => bar.inc(lines),
            None => {
                let before = self.done.fetch_add(lines, Ordering::Relaxed);
                if before / LINES_TOLD != (before + lines) / LINES_TOLD {
                    eprintln!("  {} {}", before + lines, self.unit);
                }
            }
        }
    }
}
