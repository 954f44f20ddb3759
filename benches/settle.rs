//! What a commit's event and its sums cost Redis: the script as it is, the same without adding up, and without either. Every commit is of a
//! reservation of its own, sent on one pipelined connection; what counts is the processor time of the server itself.
//!
//! It prints and asserts nothing but that the variants are the script. The ratios are of one run.
#![allow(dead_code, reason = "the fixtures of the store's tests and the lab are taken in whole")]
#![expect(clippy::unwrap_used, clippy::float_arithmetic, reason = "a benchmark may stop, and its rates enter no ledger")]

#[path = "../tests/store/fixtures.rs"]
mod fixtures;
#[path = "../tests/lab/mod.rs"]
mod lab;
mod script;

use genquota::domain::reservation::Outcome;
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore};
use genquota::store::{Store, Urgency};

use self::lab::{Kind, Server, Settings};

const COMMITS: usize = 20_000;
/// Commands on their way at once.
const PIPELINED: usize = 200;
const SUBJECTS: usize = 500;
const ROUNDS: usize = 3;
const ROLL: &str = "roll(added, subject, place + 1, late)";
const NOTE: &str = "note(event or 's', subject, id or '-', document, new)";

#[tokio::main]
async fn main() {
    let whole = script::whole();
    assert!(whole.contains(ROLL) && whole.contains(NOTE), "the script has changed; so must this benchmark");
    let without_sums = whole.replace(ROLL, "");
    let bare = without_sums.replace(NOTE, "");
    let mut seconds = [0.0; 3];
    for _ in 0..ROUNDS {
        for (sum, text) in seconds.iter_mut().zip([&whole, &without_sums, &bare]) {
            *sum += commits(text).await;
        }
    }
    println!("| a commit in Redis, {} of each | Redis CPU s/M | of the bare commit |", COMMITS * ROUNDS);
    println!("|---|---|---|");
    for (name, spent) in ["with event and sums", "with its event", "bare"].iter().zip(seconds) {
        println!("| {name} | {:.1} | {:.2} |", spent * 1e6 / (COMMITS * ROUNDS) as f64, spent / seconds[2]);
    }
}

/// The processor time that the server takes for all commits, in seconds.
async fn commits(text: &str) -> f64 {
    let server = Server::start(Kind::Redis7, Settings::default());
    let link = Link::open(server.url().parse().unwrap(), LinkOptions::default()).await.unwrap();
    let store = RedisStore::open(link, Options { partitions: 1, ..Options::new("bench") }).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let hash: String = redis::cmd("SCRIPT").arg("LOAD").arg(text).query_async(&mut connection).await.unwrap();
    let names: Vec<(String, String)> = (0..COMMITS).map(|number| (format!("s{}", number % SUBJECTS), format!("r{number}"))).collect();
    for chunk in names.chunks(PIPELINED) {
        let holds = chunk.iter().map(|(of, id)| store.execute(fixtures::reserve(of, id, fixtures::take(1, 1_000_000)), Urgency::Settle));
        futures_util::future::try_join_all(holds).await.unwrap();
    }
    let before = cpu(&server);
    for chunk in names.chunks(PIPELINED) {
        let mut pipeline = redis::pipe();
        for (of, id) in chunk {
            let mut commit = fixtures::commit(of, id, 1, fixtures::take(1, 1_000_000));
            let detail = &mut commit.step.as_mut().unwrap().next.detail;
            std::sync::Arc::make_mut(detail).attempts[0].outcome = Some(Outcome::Accepted);
            pipeline.add_command(script::command(&store, &hash, &commit));
        }
        let replies: Vec<redis::Value> = pipeline.query_async(&mut connection).await.unwrap();
        assert!(format!("{:?}", replies[0]).contains("bulk-string"), "{:?}", replies[0]);
    }
    let spent = cpu(&server) - before;
    store.close().await;
    spent
}

fn cpu(server: &Server) -> f64 {
    ["used_cpu_user", "used_cpu_sys"].iter().map(|name| server.info(name).unwrap().parse::<f64>().unwrap()).sum()
}
