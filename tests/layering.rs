//! Which room may use which: the table of `docs/architecture.md`, held against the code.
//!
//! A room is a file directly below `src` with the folder of the same name. The test reads every path in the code, not only `use` lines.
//! Whoever needs a new edge writes it into the tables here, with its reason, and into the document.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms that each room may use. One that is missing here may use none.
const EDGES: &[(&str, &[&str])] = &[
    // What both ends of a connection write alike.
    ("address", &[]),
    ("yaml", &[]),
    ("domain", &[]),
    ("clock", &[]),
    ("shutdown", &[]),
    // What ids look like is the domain's; until when somebody may call, the clock's.
    ("access", &["domain", "yaml", "clock"]),
    // Its file is YAML too; how a store is addressed and reached is said in that store's types.
    ("config", &["address", "yaml", "store"]),
    ("proto", &[]),
    ("catalog", &["domain", "yaml"]),
    ("prices", &["domain", "catalog", "yaml"]),
    // Where the bytes of a database lie, and a queue of commands in one: a store's and a client's.
    ("medium", &[]),
    ("journal", &["medium"]),
    ("store", &["domain", "clock", "medium", "journal"]),
    ("events", &["domain", "store"]),
    // `config` only says how to log; the events of the ledger and the answers of the store are what it counts.
    ("telemetry", &["config", "domain", "store"]),
    // A ledger's export is one kind of its files.
    ("traffic", &["domain", "store", "proto"]),
    ("service", &["domain", "store", "events", "clock", "telemetry"]),
    ("grpc", &["service", "domain", "events", "telemetry", "proto", "access"]),
    ("http", &["service", "domain", "telemetry", "access"]),
    ("client", &["address", "proto", "journal", "clock"]),
    ("app", ALL_BELOW),
    ("demo", &["app", "client", "proto", "config", "catalog", "clock", "shutdown", "domain"]),
    (
        "cli",
        &[
            "access",
            "app",
            "demo",
            "client",
            "proto",
            "config",
            "catalog",
            "prices",
            "traffic",
            "domain",
            "service",
            "telemetry",
            "clock",
            "yaml",
            "store",
            "shutdown",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Everything but those who start it.
const ALL_BELOW: &[&str] = &[
    "access",
    "address",
    "medium",
    "journal",
    "yaml",
    "domain",
    "clock",
    "shutdown",
    "config",
    "proto",
    "catalog",
    "prices",
    "store",
    "events",
    "telemetry",
    "traffic",
    "service",
    "grpc",
    "http",
    "client",
];

/// Edges that one file has and its room has not.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The one map to a status is exhaustive, and what a store cannot answer is among what it maps.
    ("grpc/status.rs", "store"),
];

/// Crates that only some places may name. A place is a room, or a path below `src`.
const CRATES: &[(&str, &[&str])] = &[
    ("tonic", WIRE),
    ("tonic_types", WIRE),
    ("tonic_prost", WIRE),
    ("tonic_health", &["app", "grpc"]),
    ("tonic_reflection", &["app", "grpc"]),
    // What Envoy says is made a request of ours in one place.
    ("envoy_types", &["grpc/envoy", "grpc/envoy.rs"]),
    ("redb", &["store/embedded", "store/embedded.rs", "medium", "journal"]),
    ("redis", &["store/redis", "store/redis.rs"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_http", &["telemetry"]),
    ("opentelemetry_prometheus", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("hyper_rustls", &["telemetry/export"]),
    ("tokio_rustls", &["store/redis", "app/tls.rs", "app/listener"]),
    ("x509_parser", &["app/tls.rs"]),
    ("jsonwebtoken", &["access"]),
    ("getrandom", &["access"]),
    ("subtle", &["access"]),
    ("rustix", &["app/open_files.rs"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("rustls_native_certs", &["store/redis"]),
    ("axum", &["http"]),
    ("askama", &["http"]),
    ("clap", &["cli", "demo"]),
    ("indicatif", &["cli", "demo"]),
    ("comfy_table", &["cli", "demo"]),
    // The grammar of a log filter is that crate's, and `config` reports what is wrong with one.
    ("tracing_subscriber", &["telemetry", "config"]),
    ("saphyr", &["yaml", "config"]),
    ("saphyr_parser", &["yaml", "config"]),
];

/// Who may know the transport.
const WIRE: &[&str] = &["grpc", "proto", "client", "cli", "demo", "app"];

/// What `domain` may name beside the standard library.
const DOMAIN_CRATES: &[&str] = &["rust_decimal", "jiff", "thiserror"];

/// Words that only some places may have in their code.
const WORDS: &[(&str, &[&str])] = &[
    // A server's status is made at the edge; a client reads those that it was sent. A span has one of OpenTelemetry's.
    ("Status", &["grpc", "client", "cli/failure.rs", "cli/costs/follow.rs", "demo", "telemetry"]),
    // One clock, and the ledger's time is an argument.
    ("Timestamp::now", &["clock.rs"]),
    ("Zoned::now", &["clock.rs"]),
    ("SystemTime::now", &["clock.rs"]),
];

/// One file below `src`, its comments left out.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// True: it is one of the places, or lies in one.
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.room() == *place || self.path == *place || self.path.starts_with(&format!("{place}/")))
    }

    /// The rooms named as `crate::room`, alone or in a group.
    fn rooms_used(&self) -> BTreeSet<&str> {
        let mut used = BTreeSet::new();
        for (at, found) in self.code.match_indices("crate::") {
            let rest = &self.code[at + found.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                used.extend(heads(group));
            } else {
                used.insert(word(rest));
            }
        }
        used.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
        used
    }

    /// True: a path that begins with this crate stands in the code.
    fn names_crate(&self, name: &str) -> bool {
        self.places_of(name).any(|(before, after)| !before.ends_with(':') && after.starts_with("::"))
    }

    fn has(&self, words: &str) -> bool {
        self.places_of(words).next().is_some()
    }

    /// What stands before and after each place where these whole words are.
    fn places_of<'a>(&'a self, words: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let places = self.code.match_indices(words).map(|(at, found)| (&self.code[..at], &self.code[at + found.len()..]));
        places.filter(|(before, after)| !before.ends_with(is_word) && !after.starts_with(is_word))
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn word(text: &str) -> &str {
    &text[..text.find(|char| !is_word(char)).unwrap_or(text.len())]
}

/// The first names of the paths in a group, up to its closing brace: of `app::{self, Bound}, clock::Clock}` these are `app` and `clock`.
fn heads(group: &str) -> Vec<&str> {
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut start = true;
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => return heads,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            char if depth == 0 && start && is_word(char) => {
                heads.push(word(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

fn sources() -> Vec<Source> {
    fn read(dir: &Path, root: &Path, into: &mut Vec<Source>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, root, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join("\n");
                into.push(Source { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), code });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 50, "the sources were not found: {}", sources.len());
    sources
}

/// The crates of `[dependencies]`, as code names them.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split_once("\n[dependencies]\n").unwrap().1.split("\n[").next().unwrap().to_owned();
    let names: Vec<String> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"))
        .collect();
    assert!(names.iter().any(|name| name == "tokio"), "{names:?}");
    names
}

fn assert_none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}\n{}\n", problems.join("\n"));
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut problems = Vec::new();
    for source in sources() {
        let allowed = edges.get(source.room()).copied().unwrap_or_default();
        for used in source.rooms_used() {
            if used != source.room() && !allowed.contains(&used) && !EXCEPTIONS.contains(&(source.path.as_str(), used)) {
                problems.push(format!("src/{}: `crate::{used}`", source.path));
            }
        }
    }
    assert_none(&problems, "a room uses one that it must not know; see the table in tests/layering.rs");
}

#[test]
fn the_table_of_rooms_has_no_circle() {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut below: BTreeSet<&str> = BTreeSet::new();
    while below.len() < edges.len() {
        let next: Vec<&str> = edges
            .iter()
            .filter(|(room, uses)| !below.contains(*room) && uses.iter().all(|used| below.contains(used)))
            .map(|(room, _)| *room)
            .collect();
        assert!(!next.is_empty(), "a circle among {:?}", edges.keys().filter(|room| !below.contains(*room)).collect::<Vec<_>>());
        below.extend(next);
    }
}

#[test]
fn the_domain_names_no_crate_but_numbers_and_calendars() {
    let forbidden: Vec<String> = dependencies().into_iter().filter(|name| !DOMAIN_CRATES.contains(&name.as_str())).collect();
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.room() == "domain") {
        for name in forbidden.iter().filter(|name| source.names_crate(name)) {
            problems.push(format!("src/{}: `{name}`", source.path));
        }
        for name in ["std::fs", "std::net", "std::io", "std::thread", "std::env", "std::process", "std::time"] {
            if source.has(name) {
                problems.push(format!("src/{}: `{name}`", source.path));
            }
        }
        if source.has("async") {
            problems.push(format!("src/{}: `async`", source.path));
        }
    }
    assert_none(&problems, "the domain is pure: no I/O, no clock, no runtime, no wire");
}

#[test]
fn each_of_the_outer_crates_is_known_in_its_places_only() {
    let mut problems = Vec::new();
    for source in sources() {
        for (name, places) in CRATES {
            if source.names_crate(name) && !source.is_in(places) {
                problems.push(format!("src/{}: `{name}`", source.path));
            }
        }
    }
    assert_none(&problems, "a crate is named outside the places that may know it");
}

#[test]
fn a_status_is_made_at_the_edge_and_time_is_read_in_the_clock() {
    let mut problems = Vec::new();
    for source in sources() {
        for (text, places) in WORDS {
            if source.has(text) && !source.is_in(places) {
                problems.push(format!("src/{}: `{text}`", source.path));
            }
        }
    }
    assert_none(&problems, "a word stands outside the places that may have it");
}
