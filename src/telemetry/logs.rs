//! Logs: to stderr, for people or as one JSON object a line, each with the trace it belongs to.
//!
//! Owns the subscriber. Whoever logs uses fields, never prose, and never a secret.

use std::fmt;
use std::io::IsTerminal;

use anyhow::Context;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, format};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::context;
use crate::config::{LogConfig, LogFormat};

/// Installs the process's subscriber. Fails if one is there already.
pub fn install(log: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| format!("not a filter: `{}`", log.filter))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => registry.with(lines.json().event_format(Traced { lines: json_lines(), mark: Mark::Json })).try_init(),
        LogFormat::Human => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let color = std::io::stderr().is_terminal() && !no_color;
            let traced = Traced { lines: format().with_ansi(color), mark: Mark::Human };
            registry.with(lines.with_ansi(color).event_format(traced)).try_init()
        }
    }
    .context("logs are set up already")
}

fn json_lines() -> format::Format<format::Json> {
    format().json().flatten_event(true).with_current_span(false)
}

/// Lines of a format, with the trace and the span of the call that logs at the end of each.
struct Traced<F> {
    lines: F,
    mark: Mark,
}

/// How a line ends, and how the ids are put before that.
#[derive(Clone, Copy)]
enum Mark {
    Human,
    Json,
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some((trace, span)) = context::with_current(|span| (span.trace_id(), span.span_id())) else {
            return self.lines.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        match self.mark {
            Mark::Human => writeln!(writer, "{} trace_id={trace} span_id={span}", line.trim_end()),
            Mark::Json => {
                let open = line.trim_end();
                let open = open.strip_suffix('}').unwrap_or(open);
                writeln!(writer, r#"{open},"trace_id":"{trace}","span_id":"{span}"}}"#)
            }
        }
    }
}
