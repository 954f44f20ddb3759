//! What `benches/redis.sh` runs: `Reserve`, `Commit` and the pair through a sidecar on a Redis, beside the bare script on the same Redis.
//!
//! The sidecar and the Redis are processes of their own, named by `GENQUOTA_BENCH_*`, so that the processor time of each can be told apart
//! from that of the callers here. Every row makes a bounded number of calls. Rates say as much about the machine as about the program; the
//! ratios, of one run, say more.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "rates are printed for people and enter no ledger")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use genquota::domain::amount::Micros;
use genquota::domain::ids::{ActionId, CapId, CatalogVersion, GenerationId, GrantId, MeterId, ReservationId, SubjectId};
use genquota::domain::ledger::{
    AccountKey, AccountKind, Answer, CapLeg, EventKind, Expected, Fingerprint, Movement, Next, Side, Source, State, Step, Take, Transaction,
};
use genquota::domain::price_book::CostBasis;
use genquota::domain::reservation::{Attempt, AttemptReason, Detail, Labels};
use genquota::domain::work::Work;
use genquota::proto::v1;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore};
use genquota::store::{Store as _, Urgency};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const SUBJECTS: usize = 10_000;
const CALLERS: [usize; 4] = [1, 16, 64, 256];
/// Calls of a row for each caller, between these bounds in all: enough for a 99th percentile, and over in seconds.
const CALLS_MIN: usize = 3_000;
const CALLS_MAX: usize = 24_000;
/// Most transactions in one call of the script, where several may share one.
const SHARED_MAX: usize = 16;

fn main() -> anyhow::Result<()> {
    let Ok(sidecar) = std::env::var("GENQUOTA_BENCH_SIDECAR") else {
        println!("run benches/redis.sh: it starts what is measured");
        return Ok(());
    };
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set: run benches/redis.sh"));
    let redis = variable("GENQUOTA_BENCH_REDIS")?;
    let processes = Processes {
        sidecar: variable("GENQUOTA_BENCH_SIDECAR_PID")?.parse()?,
        redis: variable("GENQUOTA_BENCH_REDIS_PID")?.parse()?,
        ticks_per_second: variable("GENQUOTA_BENCH_TICKS")?.parse()?,
    };
    tokio::runtime::Runtime::new()?.block_on(measure(&sidecar, &redis, &processes))
}

/// The processes whose time is counted.
struct Processes {
    sidecar: u32,
    redis: u32,
    ticks_per_second: f64,
}

impl Processes {
    /// Seconds of processor time so far, of the sidecar and of Redis.
    fn seconds(&self) -> anyhow::Result<[f64; 2]> {
        let of = |pid: u32| -> anyhow::Result<f64> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // After the name, which may hold anything and ends with the last bracket: user and system time are fields 14 and 15.
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("an unknown form of /proc/PID/stat");
            Ok((ticks(11)? + ticks(12)?) / self.ticks_per_second)
        };
        Ok([of(self.sidecar)?, of(self.redis)?])
    }
}

/// What a row came to.
struct Row {
    rate: f64,
    p50: Duration,
    p99: Duration,
    /// Processor seconds of a million calls.
    sidecar: f64,
    redis: f64,
}

async fn measure(sidecar: &str, redis: &str, processes: &Processes) -> anyhow::Result<()> {
    let channel = Channel::from_shared(sidecar.to_owned())?.connect().await?;
    let client = redis::Client::open(redis.replace("redis+unix", "unix"))?;
    let raw = client.get_multiplexed_async_connection().await?;
    let link = Link::open(redis.parse()?, LinkOptions::default()).await?;
    let store = Arc::new(RedisStore::open(link, Options { sweep_interval: Duration::from_secs(3600), ..Options::new("raw") }).await?);
    let link = Link::open(redis.parse()?, LinkOptions::default()).await?;
    let sharing = Options { sweep_interval: Duration::from_secs(3600), transactions_per_call: SHARED_MAX, ..Options::new("raw") };
    let sharing = Arc::new(RedisStore::open(link, sharing).await?);
    let run = format!("{:x}", Timestamp::now().as_millisecond());
    // The server knows the script by its hash from then on.
    store.execute(transaction("reserve", &format!("{run}-first"), 0), Urgency::Reserve).await?;
    store.execute(transaction("commit", &format!("{run}-first"), 0), Urgency::Settle).await?;
    println!("| what | callers | calls/s | p50 us | p99 us | sidecar CPU s/M | Redis CPU s/M | of the bare script | of an empty call |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for callers in CALLERS {
        let calls = (callers * 400).clamp(CALLS_MIN, CALLS_MAX) / callers * callers;
        let empty = row(processes, callers, calls, || {
            let channel = channel.clone();
            move |_| {
                let channel = channel.clone();
                async move { HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ()).map_err(Into::into) }
            }
        })
        .await?;
        show("empty call", callers, &empty, None, None);
        let mut bare = Vec::new();
        for step in ["reserve", "commit"] {
            let made = row(processes, callers, calls, || {
                let (store, raw, run) = (store.clone(), raw.clone(), run.clone());
                move |number| {
                    let (store, mut raw, run) = (store.clone(), raw.clone(), run.clone());
                    async move {
                        let transaction = transaction(step, &format!("{run}-{callers}-{number}"), number);
                        let urgency = if step == "reserve" { Urgency::Reserve } else { Urgency::Settle };
                        let reply: redis::Value = store.command(&transaction, urgency).query_async(&mut raw).await?;
                        expect_done(&reply)
                    }
                }
            })
            .await?;
            show(&format!("bare script, {step}"), callers, &made, None, None);
            bare.push(made);
        }
        // The store without gRPC: one transaction in a call of the script, and several where they wait together.
        for (what, store) in [("store, one to a call", &store), ("store, calls shared", &sharing)] {
            let made = row(processes, callers, calls, || {
                let (store, id) = (store.clone(), format!("{run}-{callers}-{}", what.len()));
                move |number| {
                    let (store, transaction) = (store.clone(), transaction("reserve", &format!("{id}-{number}"), number));
                    async move {
                        let answer = store.execute(transaction, Urgency::Settle).await?;
                        anyhow::ensure!(matches!(answer, Answer::Done(_)), "not done: {answer:?}");
                        Ok(())
                    }
                }
            })
            .await?;
            show(what, callers, &made, Some(bare[0].rate), None);
        }
        for (step, bare) in ["reserve", "commit"].into_iter().zip(&bare) {
            let made = row(processes, callers, calls, || {
                let (channel, run) = (channel.clone(), run.clone());
                move |number| {
                    let (channel, id) = (channel.clone(), format!("{run}-{callers}-{number}"));
                    async move { if step == "reserve" { reserve(channel, id, number).await } else { commit(channel, id, number).await } }
                }
            })
            .await?;
            show(step, callers, &made, Some(bare.rate), Some(empty.rate));
        }
        let pair = row(processes, callers, calls, || {
            let (channel, run) = (channel.clone(), run.clone());
            move |number| {
                let (channel, id) = (channel.clone(), format!("{run}-{callers}-p{number}"));
                async move {
                    reserve(channel.clone(), id.clone(), number).await?;
                    commit(channel, id, number).await
                }
            }
        })
        .await?;
        let bare_pair = 1.0 / (1.0 / bare[0].rate + 1.0 / bare[1].rate);
        show("pair", callers, &pair, Some(bare_pair), Some(empty.rate));
    }
    Ok(())
}

fn show(what: &str, callers: usize, row: &Row, bare: Option<f64>, empty: Option<f64>) {
    let ratio = |of: Option<f64>| of.map_or_else(|| "-".to_owned(), |of| format!("{:.2}", row.rate / of));
    println!(
        "| {what} | {callers} | {:.0} | {} | {} | {:.1} | {:.1} | {} | {} |",
        row.rate,
        row.p50.as_micros(),
        row.p99.as_micros(),
        row.sidecar,
        row.redis,
        ratio(bare),
        ratio(empty)
    );
}

/// Makes so many calls, each caller one after the other.
async fn row<M, C, F>(processes: &Processes, callers: usize, calls: usize, make: M) -> anyhow::Result<Row>
where
    M: Fn() -> C,
    C: Fn(usize) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let before = processes.seconds()?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = make();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(calls / callers);
            for number in 0..calls / callers {
                let asked = Instant::now();
                call(caller * (calls / callers) + number).await?;
                times.push(asked.elapsed());
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut times = Vec::with_capacity(calls);
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let after = processes.seconds()?;
    times.sort_unstable();
    let per_million = |at: usize| (after[at] - before[at]) / times.len() as f64 * 1e6;
    Ok(Row {
        rate: times.len() as f64 / seconds,
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
        sidecar: per_million(0),
        redis: per_million(1),
    })
}

async fn reserve(channel: Channel, id: String, number: usize) -> anyhow::Result<()> {
    let request = v1::ReserveRequest {
        subject: subject_name(number),
        reservation_id: id,
        action: "video.generate".to_owned(),
        target: Some(v1::Target { provider: "fal".to_owned(), model: "wan-2.2".to_owned() }),
        work: Some(v1::Work { items: vec![v1::Item { measures: [("seconds".to_owned(), "5".to_owned())].into(), ..v1::Item::default() }] }),
        ..v1::ReserveRequest::default()
    };
    let reserved = QuotaServiceClient::new(channel).reserve(request).await?.into_inner();
    anyhow::ensure!(matches!(reserved.outcome, Some(v1::reserve_response::Outcome::Reservation(_))), "not granted: {:?}", reserved.outcome);
    Ok(())
}

async fn commit(channel: Channel, id: String, number: usize) -> anyhow::Result<()> {
    let request = v1::CommitRequest { subject: subject_name(number), reservation_id: id, ..v1::CommitRequest::default() };
    QuotaServiceClient::new(channel).commit(request).await?;
    Ok(())
}

fn subject_name(number: usize) -> String {
    format!("subject-{}", number.wrapping_mul(2_654_435_761) % SUBJECTS)
}

/// What a sidecar would send for the same call: one source and two caps.
fn transaction(step: &str, id: &str, number: usize) -> Transaction {
    let micros = |value| Micros::new(value).expect("within an account");
    let credits = AccountKey::grant(&GrantId::new("credits").expect("an id"));
    let cap = |kind, name, amount| CapLeg {
        account: AccountKey::cap(kind, &CapId::new(name).expect("an id"), None, std::iter::empty()),
        amount: micros(amount),
        limit: Some(Micros::MAX),
        enforced: true,
        booked: false,
        lapses: None,
    };
    let spend = cap(AccountKind::FlowCap, "spend", 200_000);
    let flight = cap(AccountKind::LevelCap, "running", 1_000_000);
    let reserves = step == "reserve";
    let caps = if reserves { vec![spend, flight] } else { vec![CapLeg { limit: None, enforced: false, booked: false, ..spend }] };
    let take = Take { units: micros(5_000_000), sources: vec![Source::limited(credits, None)], caps, ..Take::default() };
    let (state, event, into) = if reserves {
        (State::Held, EventKind::Reserved, Side::Reserved)
    } else {
        (State::Committed, EventKind::Committed, Side::Committed)
    };
    Transaction {
        subject: SubjectId::new(&subject_name(number)).expect("an id"),
        judged_by: Some(0),
        valid: None,
        dry_run: false,
        document: None,
        correction: None,
        step: Some(Step {
            id: ReservationId::new(id).expect("an id"),
            fingerprint: Fingerprint([u8::from(reserves); 16]),
            expected: if reserves { Expected::Absent } else { Expected::Version(1) },
            movement: Movement::Move { take, into },
            next: Next { state, ttl: reserves.then_some(jiff::SignedDuration::from_mins(15)), detail: detail(), event },
        }),
    }
}

fn detail() -> Arc<Detail> {
    let now = Timestamp::UNIX_EPOCH;
    let attempt = Attempt {
        number: 1,
        reason: AttemptReason::First,
        target: None,
        tier: None,
        outcome: None,
        outcome_unknown: false,
        units: Micros::ZERO,
        cost: Micros::ZERO,
        planned_cost: Some(Micros::ZERO),
        basis: CostBasis::None,
        price_from: None,
        start_time: now,
        end_time: None,
        asked: None,
        delivered: None,
        billed: None,
        closed_by: None,
        trace: None,
    };
    Arc::new(Detail {
        user: None,
        generation: GenerationId::new("generation").expect("an id"),
        action: ActionId::new("video.generate").expect("an id"),
        meter: Some(MeterId::new("credits").expect("an id")),
        plan: None,
        catalog: CatalogVersion::new("v1").expect("an id"),
        judged_at: now,
        planned_target: None,
        fallbacks: Vec::new(),
        work: Work::default(),
        attempts: vec![attempt],
        labels: Labels::new(),
        currency: "USD".into(),
        cost_reserved: Micros::ZERO,
        note: "".into(),
        unenforced: false,
        refunds: Vec::new(),
    })
}

/// A bare call that changes nothing would be no measure.
fn expect_done(reply: &redis::Value) -> anyhow::Result<()> {
    let text = format!("{reply:?}");
    anyhow::ensure!(text.contains("bulk-string('\"D\"')"), "not done: {}", text.chars().take(300).collect::<String>());
    Ok(())
}
