//! `Reserve` and `Commit` through gRPC on a real connection, against the `memory:` store and the embedded one.
//!
//! Prints pairs per second for 1 and 64 callers, beside an empty call (a health check) and a bare flush of a file on the same disk in the
//! same run: rates alone say more about the machine than about the program. Bounded: each row makes a fixed number of calls.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use genquota::app::App;
use genquota::clock::SystemClock;
use genquota::config::{self, Layers};
use genquota::proto::v1;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Plans without ceilings, so that nothing but the work itself is measured.
const CATALOG: &str = "\
catalog: genquota/v1
currency: USD
default_plan: open
meters: {credits: {title: Credits}}
actions:
  video.generate:
    meter: credits
    measures: seconds
    rules: [{per: seconds, rate: 1, round: {mode: up, to: 1, each: output}}]
plans:
  open:
    allowances: [{meter: credits, amount: 100000000, per: subject}]
    caps:
      spend: {of: cost, limit: 1000000, per: day}
      running: {of: in_flight, limit: 100000}
prices:
  - {provider: fal, model: wan-2.2, tier: basic, components: [{per: seconds, price: 0.04}]}
";
/// Calls of a row, shared by its callers.
const CALLS: usize = 20_000;
const SUBJECTS: usize = 1000;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let directory = tempfile::tempdir()?;
    let catalog = directory.path().join("catalog.yaml");
    std::fs::write(&catalog, CATALOG)?;
    let flush = flush_time(directory.path())?;
    println!("one write and flush of this disk: {:.2} ms", flush.as_secs_f64() * 1000.0);
    let embedded = format!("embedded:{}", directory.path().join("store").display());
    for store in ["memory:", &embedded] {
        runtime.block_on(measure(store, &catalog))?;
    }
    Ok(())
}

/// What the disk takes for one small durable write: the floor of every embedded commit.
fn flush_time(directory: &std::path::Path) -> std::io::Result<Duration> {
    const FLUSHES: u32 = 50;
    let mut file = std::fs::File::create(directory.join("flush"))?;
    let start = Instant::now();
    for _ in 0..FLUSHES {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    Ok(start.elapsed() / FLUSHES)
}

async fn measure(store: &str, catalog: &std::path::Path) -> anyhow::Result<()> {
    let name = store.split(':').next().unwrap_or(store);
    let given = |key: &str, value: &str| config::Given {
        key: key.to_owned(),
        values: vec![value.to_owned()],
        origin: config::Origin::Flag(key.to_owned()),
    };
    let flags =
        vec![given("listen", "127.0.0.1:0"), given("http", "off"), given("store", store), given("catalog", &catalog.display().to_string())];
    let loaded = config::load(Layers { flags, variables: std::env::vars_os().collect(), ..Layers::default() })?;
    let app = App::build(loaded.config, Arc::new(SystemClock)).await?;
    let address = format!("http://{}", app.bound().listen[0]);
    let stop = CancellationToken::new();
    let server = tokio::spawn(app.serve(stop.clone()));
    for callers in [1, 64] {
        let channel = Channel::from_shared(address.clone())?.connect().await?;
        let calls = if callers == 1 { CALLS / 20 } else { CALLS };
        let empty = rate(callers, calls, &channel, |channel, _| async move {
            HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ())
        })
        .await?;
        let pairs = rate(callers, calls, &channel, |channel, number| async move { pair(channel, number).await }).await?;
        println!("{name:9} {callers:3} callers: {pairs:8.0} pairs/s, {empty:8.0} empty calls/s, pair / empty call = {:.2}", pairs / empty);
    }
    stop.cancel();
    server.await?
}

/// Calls per second of so many callers on one connection.
async fn rate<F, R>(callers: usize, calls: usize, channel: &Channel, call: F) -> anyhow::Result<f64>
where
    F: Fn(Channel, String) -> R + Clone + Send + 'static,
    R: Future<Output = Result<(), tonic::Status>> + Send,
{
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for caller in 0..callers {
        let (channel, call) = (channel.clone(), call.clone());
        tasks.spawn(async move {
            for number in 0..calls / callers {
                call(channel.clone(), format!("{}.{caller}.{number}", uuid::Uuid::now_v7())).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(f64::from(u32::try_from(calls / callers * callers)?) / seconds)
}

async fn pair(channel: Channel, id: String) -> Result<(), tonic::Status> {
    let mut client = QuotaServiceClient::new(channel);
    let subject =
        format!("s{}", id.bytes().map(usize::from).fold(7, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte)) % SUBJECTS);
    let reserve = v1::ReserveRequest {
        subject: subject.clone(),
        reservation_id: id.clone(),
        action: "video.generate".to_owned(),
        target: Some(v1::Target { provider: "fal".to_owned(), model: "wan-2.2".to_owned() }),
        work: Some(v1::Work { items: vec![v1::Item { measures: [("seconds".to_owned(), "5".to_owned())].into(), ..v1::Item::default() }] }),
        ..v1::ReserveRequest::default()
    };
    let reserved = client.reserve(reserve).await?.into_inner();
    if !matches!(reserved.outcome, Some(v1::reserve_response::Outcome::Reservation(_))) {
        return Err(tonic::Status::failed_precondition(format!("not granted: {:?}", reserved.outcome)));
    }
    client.commit(v1::CommitRequest { subject, reservation_id: id, ..v1::CommitRequest::default() }).await.map(|_| ())
}
