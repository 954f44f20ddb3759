//! `genquota demo`: a day of generations, played against a server inside this process through its real API.
//!
//! The server is the one that `serve` starts, on the bundled catalog, with a clock that the day moves. Everything shown comes from the
//! server's answers, and at the end the cost events must add up to the balances: a demo that could not fail would show nothing.

use std::sync::Arc;

use anyhow::Context;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::day::Day;
use self::gateway::Gateway;
use self::screen::{Live, Plain, Screen};
use self::story::{DAY_START, Story};
use self::summary::Summary;
use self::tables::Ink;
use crate::app::App;
use crate::clock::ManualClock;
use crate::config::{self, Config, Given, Layers, Origin};
use crate::shutdown;

mod board;
mod day;
mod gateway;
mod habits;
mod note;
mod screen;
mod story;
mod summary;
mod tables;

/// What to play and how to show it.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub seed: u64,
    pub show: Show,
    /// How many times faster than usual; 0: without any pause.
    pub speed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A board that is drawn anew, for terminals.
    Live,
    Plain,
    /// Nothing but the summary, as one JSON object.
    Json,
}

/// How a demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The cost events add up to the balances.
    Agrees,
    Disagrees,
    /// By a signal, before the end of the day.
    Stopped,
}

/// Plays a day and prints it.
pub fn run(options: Options) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let ending = runtime.block_on(play(options));
    // The server is told to stop; nothing of it outlives the process.
    runtime.shutdown_background();
    ending
}

async fn play(options: Options) -> anyhow::Result<Ending> {
    let begun = Instant::now();
    let stop = shutdown::listen().context("cannot listen for signals")?;
    let clock = Arc::new(ManualClock::at(DAY_START));
    let app = App::build(config()?, clock.clone()).await?;
    let address = app.bound().listen.first().context("the server listens nowhere")?.to_string();
    let server_stop = CancellationToken::new();
    let server = tokio::spawn(app.serve(server_stop.clone()));

    let story = Story::of(options.seed);
    let screen = match options.show {
        Show::Live => Screen::Live(Live::new(story.generations)?),
        Show::Plain => Screen::Plain(Plain::default()),
        Show::Json => Screen::Silent,
    };
    let gateway = Gateway::connect(&address.parse()?).await?;
    let mut day = Day::new(story, gateway, clock, screen, options.speed, stop);
    let played = day.play().await;
    // The terminal is given back before anything else is written to it, an error too. The connection goes with the day.
    let board = day.end();
    server_stop.cancel();
    server.await.context("the server panicked")??;
    if !played? {
        eprintln!("stopped at {}, after {} of {} generations", note::clock(board.now), board.totals.generations, board.planned);
        return Ok(Ending::Stopped);
    }
    let summary = Summary { board: &board, seed: options.seed, took: begun.elapsed() };
    match options.show {
        Show::Live => screen::print(&summary.text(if console::colors_enabled() { Ink::Colours } else { Ink::Plain })),
        Show::Plain => screen::print(&format!("\n{}", summary.text(Ink::Plain))),
        Show::Json => screen::print(&summary.json().to_string()),
    }
    Ok(if board.check().is_empty() { Ending::Agrees } else { Ending::Disagrees })
}

/// A server on a port that is free, with nothing kept and nothing taken from the environment.
fn config() -> anyhow::Result<Config> {
    let settings = [("listen", "127.0.0.1:0"), ("http", "off"), ("store", "memory:"), ("drain_deadline", "1s")];
    let given = settings.map(|(key, value)| Given {
        key: key.to_owned(),
        values: vec![value.to_owned()],
        origin: Origin::Flag(format!("--{key}")),
    });
    Ok(config::load(&Layers { flags: given.into(), ..Layers::default() })?.config)
}
