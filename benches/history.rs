//! What the index of a subject's history costs Redis: holds by the script as it is, beside the same script without the index, and a page
//! of the history beside a hold. Every hold is a reservation of its own, sent on one pipelined connection; what counts is the processor
//! time and the memory of the server itself.
//!
//! It prints and asserts nothing but that the variants are the script. The ratios are of one run.
#![allow(dead_code, reason = "the fixtures of the store's tests and the lab are taken in whole")]
#![expect(clippy::unwrap_used, clippy::float_arithmetic, reason = "a benchmark may stop, and its rates enter no ledger")]

#[path = "../tests/store/fixtures.rs"]
mod fixtures;
#[path = "../tests/lab/mod.rs"]
mod lab;
mod script;

use std::sync::Arc;

use genquota::domain::ids::GenerationId;
use genquota::domain::ledger::{HistoryPlace, Transaction};
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore};
use genquota::store::{Store, Urgency};

use self::lab::{Kind, Server, Settings};

const HOLDS: usize = 20_000;
/// Commands on their way at once.
const PIPELINED: usize = 100;
const SUBJECTS: usize = 50;
const ROUNDS: usize = 3;
const PAGES: usize = 500;
const PAGE: usize = 100;
/// Where a new reservation is looked up and entered.
const INDEXED: &str = "if expected == 'A' then\n";
/// The one of these that has nothing to do with it: whether the id is new.
const CHECKED: &str = "if expected == 'A' then\n        if row then";

/// What the server took.
#[derive(Default, Clone, Copy)]
struct Spent {
    seconds: f64,
    bytes: f64,
}

#[tokio::main]
async fn main() {
    let whole = script::whole();
    assert_eq!(whole.matches(INDEXED).count(), 4, "the script has changed; so must this benchmark");
    let bare = whole.replace(CHECKED, "CHECKED").replace(INDEXED, "if false then\n").replace("CHECKED", CHECKED);
    let variants =
        [("with the index", &whole, false), ("without", &bare, false), ("with the index", &whole, true), ("without", &bare, true)];
    let mut spent = [Spent::default(); 4];
    for _ in 0..ROUNDS {
        for (sum, (_, text, named)) in spent.iter_mut().zip(variants) {
            let one = holds(text, named).await;
            (sum.seconds, sum.bytes) = (sum.seconds + one.seconds, sum.bytes + one.bytes);
        }
    }
    let each = (HOLDS * ROUNDS) as f64;
    println!("| a hold in Redis, {} of each | generation | Redis CPU s/M | of the hold without | bytes | more |", HOLDS * ROUNDS);
    println!("|---|---|---|---|---|---|");
    for (place, (name, _, named)) in variants.into_iter().enumerate() {
        let (one, without) = (spent[place], spent[place | 1]);
        let generation = if named { "named" } else { "the reservation itself" };
        let (seconds, bytes) = (one.seconds * 1e6 / each, one.bytes / each);
        let more = (one.bytes - without.bytes) / each;
        println!("| {name} | {generation} | {seconds:.1} | {:.2} | {bytes:.0} | {more:.0} |", one.seconds / without.seconds);
    }
    let [hold, page] = pages().await;
    println!(
        "\nIn the script, a hold takes {hold:.0} us and a page of {PAGE} reservations {page:.0}, as much as {:.1} holds.",
        page / hold
    );
}

fn hold(number: usize, named: bool) -> Transaction {
    let id = uuid::Uuid::from_u128(number as u128).to_string();
    let mut hold = fixtures::reserve(&format!("s{}", number % SUBJECTS), &id, fixtures::take(1, 1_000_000));
    let generation = if named { uuid::Uuid::from_u128(u128::MAX - number as u128).to_string() } else { id };
    Arc::make_mut(&mut hold.step.as_mut().unwrap().next.detail).generation = GenerationId::new(&generation).unwrap();
    hold
}

async fn open(server: &Server) -> RedisStore {
    let link = Link::open(server.url().parse().unwrap(), LinkOptions::default()).await.unwrap();
    RedisStore::open(link, Options { partitions: 1, ..Options::new("bench") }).await.unwrap()
}

/// What the server takes for all holds.
async fn holds(text: &str, named: bool) -> Spent {
    let server = Server::start(Kind::Redis7, Settings::default());
    let store = open(&server).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let hash: String = redis::cmd("SCRIPT").arg("LOAD").arg(text).query_async(&mut connection).await.unwrap();
    let before = taken(&server);
    let numbers: Vec<usize> = (0..HOLDS).collect();
    for chunk in numbers.chunks(PIPELINED) {
        let mut pipeline = redis::pipe();
        for number in chunk {
            pipeline.add_command(script::command(&store, &hash, &hold(*number, named)));
        }
        let replies: Vec<redis::Value> = pipeline.query_async(&mut connection).await.unwrap();
        assert!(format!("{:?}", replies[0]).contains("bulk-string"), "{:?}", replies[0]);
    }
    let after = taken(&server);
    store.close().await;
    Spent { seconds: after.seconds - before.seconds, bytes: after.bytes - before.bytes }
}

/// How long the server is at a hold and at a page, in microseconds, as it says itself.
async fn pages() -> [f64; 2] {
    let server = Server::start(Kind::Redis7, Settings::default());
    let store = open(&server).await;
    for chunk in (0..HOLDS).collect::<Vec<_>>().chunks(PIPELINED) {
        let holds = chunk.iter().map(|number| store.execute(hold(*number, true), Urgency::Settle));
        futures_util::future::try_join_all(holds).await.unwrap();
    }
    let hold = each_call(&server);
    for number in 0..PAGES {
        let subject = fixtures::subject(&format!("s{}", number % SUBJECTS));
        assert_eq!(store.history(&subject, &HistoryPlace::END, PAGE).await.unwrap().len(), PAGE);
    }
    let page = each_call(&server);
    store.close().await;
    [hold, page]
}

/// Of the script's calls since this was asked last.
fn each_call(server: &Server) -> f64 {
    let told = server.command(&["INFO", "commandstats"]);
    server.command(&["CONFIG", "RESETSTAT"]);
    let calls = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).unwrap();
    calls.split(',').find_map(|part| part.strip_prefix("usec_per_call=")).unwrap().parse().unwrap()
}

fn taken(server: &Server) -> Spent {
    let number = |name: &str| server.info(name).unwrap().parse::<f64>().unwrap();
    Spent { seconds: number("used_cpu_user") + number("used_cpu_sys"), bytes: number("used_memory") }
}
