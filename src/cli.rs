//! The command line: what can be asked of the binary, and how it answers.
//!
//! Parsing never acts: a parsed command is data until [`main`] runs it. A command is a client of a server or the wiring of one; it holds no
//! logic of its own. Data goes to stdout, everything else to stderr; the exit codes are in [`exit`].

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod access;
mod balance;
mod catalog;
mod commit;
mod completions;
mod config;
mod connection;
mod costs;
mod demo;
pub mod exit;
mod extend;
mod failure;
mod generations;
mod journal;
mod outcome;
mod output;
mod prices;
mod progress;
mod quote;
mod record;
mod refund;
mod release;
mod render;
mod replay;
mod reservation;
mod reserve;
mod retry;
mod serve;
mod settings;
mod store;
mod subject;
mod token;
mod traffic;
mod usage;
mod values;
mod work;

pub use demo::Demo;
pub use failure::Failure;
pub use output::json;

/// Quota enforcement for generative media: reserve before the model call, commit what was made.
#[derive(Debug, Parser)]
#[command(name = "genquota", version = version(), max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  genquota serve                                       start a sidecar on this host
  genquota subject create acme
  genquota subject grant acme --meter credits --units 100
  genquota reserve acme --action image.generate --target fal/flux-schnell --count 4
  genquota commit acme RESERVATION_ID
  genquota balance acme

Exit codes: 0 done; 1 the server answered with an error; 3 denied;
64 wrong usage, configuration or catalog; 69 no server.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Config(config::ConfigCommand),
    Catalog(catalog::Catalog),
    Prices(prices::Prices),
    Replay(replay::Replay),
    Reserve(reserve::Reserve),
    Commit(commit::Commit),
    Release(release::Release),
    Retry(retry::Retry),
    Extend(extend::Extend),
    Refund(refund::Refund),
    Record(record::Record),
    Quote(quote::Quote),
    Balance(balance::Balance),
    Costs(costs::Costs),
    Reservation(reservation::Reservation),
    Usage(usage::Usage),
    Generations(generations::Generations),
    Subject(subject::Subject),
    Journal(journal::JournalCommand),
    Store(store::Store),
    Token(token::Token),
    Access(access::Access),
    Completions(completions::Completions),
}

/// Parses the process's arguments and runs what they ask for.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; what cannot be written to a closed terminal is nobody's loss.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { exit::DONE.into() };
        }
    };
    match cli.command.run() {
        Ok(code) => code.into(),
        Err(failure) => failure.report(cli.command.json()).into(),
    }
}

impl Command {
    fn run(&self) -> Result<exit::Exit, Failure> {
        match self {
            Self::Serve(command) => command.run(),
            Self::Demo(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Catalog(command) => command.run(),
            Self::Prices(command) => command.run(),
            Self::Replay(command) => command.run(),
            Self::Reserve(command) => connection::run(command.run()),
            Self::Commit(command) => connection::run(command.run()),
            Self::Release(command) => connection::run(command.run()),
            Self::Retry(command) => connection::run(command.run()),
            Self::Extend(command) => connection::run(command.run()),
            Self::Refund(command) => connection::run(command.run()),
            Self::Record(command) => connection::run(command.run()),
            Self::Quote(command) => connection::run(command.run()),
            Self::Balance(command) => connection::run(command.run()),
            Self::Costs(command) => connection::run(command.run()),
            Self::Reservation(command) => connection::run(command.run()),
            Self::Usage(command) => connection::run(command.run()),
            Self::Generations(command) => connection::run(command.run()),
            Self::Subject(command) => connection::run(command.run()),
            Self::Journal(command) => connection::run(command.run()),
            Self::Store(command) => command.run(),
            Self::Token(command) => command.run(),
            Self::Access(command) => command.run(),
            Self::Completions(command) => command.run(&mut Cli::command()),
        }
    }

    /// True: answers and errors are wanted as JSON.
    fn json(&self) -> bool {
        match self {
            Self::Serve(command) => command.json,
            Self::Config(command) => command.json,
            Self::Reserve(command) => command.server.json,
            Self::Commit(command) => command.server.json,
            Self::Release(command) => command.server.json,
            Self::Retry(command) => command.server.json,
            Self::Extend(command) => command.server.json,
            Self::Refund(command) => command.server.json,
            Self::Record(command) => command.server.json,
            Self::Quote(command) => command.server.json,
            Self::Balance(command) => command.server.json,
            Self::Costs(command) => command.json(),
            Self::Reservation(command) => command.server.json,
            Self::Usage(command) => command.server.json,
            Self::Generations(command) => command.server.json,
            Self::Subject(command) => command.json(),
            Self::Journal(command) => command.json(),
            Self::Store(command) => command.json(),
            Self::Token(command) => command.json(),
            Self::Access(command) => command.json(),
            Self::Catalog(command) => command.json(),
            Self::Prices(command) => command.json(),
            Self::Replay(command) => command.json,
            Self::Demo(command) => command.json,
            Self::Completions(_) => false,
        }
    }
}

/// `0.1.0`, with the revision where the build knew one.
const fn version() -> &'static str {
    if env!("GENQUOTA_REVISION").is_empty() {
        env!("CARGO_PKG_VERSION")
    } else {
        concat!(env!("CARGO_PKG_VERSION"), " (", env!("GENQUOTA_REVISION"), ")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_declared_consistently() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_its_flag_and_no_flag_is_without_a_setting() {
        let command = Cli::command();
        for name in ["serve", "config"] {
            let command = command.find_subcommand(name).unwrap();
            let flags: Vec<String> =
                command.get_arguments().filter_map(|argument| argument.get_long()).map(|long| format!("--{long}")).collect();
            for setting in &crate::config::SETTINGS {
                assert!(flags.contains(&setting.flag()), "{name} {}", setting.flag());
            }
            let others = ["--config", "--json", "--help", "--version"];
            let known =
                |flag: &String| others.contains(&flag.as_str()) || crate::config::SETTINGS.iter().any(|setting| setting.flag() == *flag);
            assert_eq!(flags.iter().find(|flag| !known(flag)), None, "{name}");
        }
    }

    #[test]
    fn every_command_has_help_and_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path}");
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("Example"), "{path}");
            for argument in command.get_arguments().filter(|argument| !["help", "version"].contains(&argument.get_id().as_str())) {
                assert!(argument.get_help().is_some(), "{path}: {}", argument.get_id());
            }
            command.get_subcommands().for_each(|command| check(command, &path));
        }
        check(&Cli::command(), "");
    }
}
