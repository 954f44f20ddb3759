//! Logs: to stderr, for people or as one JSON object a line.
//!
//! Owns the subscriber. Whoever logs uses fields, never prose, and never a secret.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Installs the process's subscriber. Fails if one is there already.
pub fn install(log: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).with_context(|| format!("not a filter: `{}`", log.filter))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
        LogFormat::Human => {
            let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            registry.with(lines.with_ansi(std::io::stderr().is_terminal() && !no_color)).try_init()
        }
    }
    .context("logs are set up already")
}
