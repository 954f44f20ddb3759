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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use http::HeaderMap;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of two events, the second within a trace.
    fn written(mark: Mark) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let log = || {
            tracing::info!(subject = "acme", "before");
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), parent.parse().unwrap())]);
            let _call = context::of_caller(&headers).attach();
            tracing::info!(subject = "acme", nested = "{}}", "within");
        };
        let registry = tracing_subscriber::registry();
        match mark {
            Mark::Json => {
                let layer = layer.json().event_format(Traced { lines: json_lines(), mark });
                tracing::subscriber::with_default(registry.with(layer), log);
            }
            Mark::Human => {
                let layer = layer.with_ansi(false).event_format(Traced { lines: format().with_ansi(false), mark });
                tracing::subscriber::with_default(registry.with(layer), log);
            }
        }
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_line_of_json_has_its_trace_and_stays_one_object() {
        let lines: Vec<serde_json::Value> = written(Mark::Json).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["message"], &lines[0]["trace_id"]), (&"before".into(), &serde_json::Value::Null));
        assert_eq!((&lines[1]["message"], &lines[1]["nested"]), (&"within".into(), &"{}}".into()));
        assert_eq!(lines[1]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(lines[1]["span_id"], "b7ad6b7169203331");
    }

    #[test]
    fn a_line_for_people_ends_with_its_trace() {
        let lines = written(Mark::Human);
        assert!(lines[0].ends_with("before subject=\"acme\""), "{lines:?}");
        assert!(lines[1].ends_with(" trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331"), "{lines:?}");
    }
}
