//! Whole sidecars over one Redis: the real binary killed in the middle of a call, and sidecars whose clocks are wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use genquota::app::App;
use genquota::client;
use genquota::clock::{Clock, ManualClock, SystemClock};
use genquota::config::{self, Given, Layers, Origin};
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::proto::v1::reserve_response::Outcome;
use genquota::proto::v1::subject_service_client::SubjectServiceClient;
use genquota::proto::v1::{self, Reservation};
use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::books::Books;
use crate::lab::{Aof, Direction, Kind, PATIENCE, Proxy, Server, Settings};
use crate::served::Served;
use crate::sidecars::{INSTANCE, seed, until};

type Quota = QuotaServiceClient<Channel>;

const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/catalog.yaml");
const SUBJECT: &str = "acme";

/// What every sidecar here is set to.
fn settings(store: &str) -> [(&'static str, String); 9] {
    [
        ("store", store.to_owned()),
        ("catalog", CATALOG.to_owned()),
        ("listen", "127.0.0.1:0".to_owned()),
        ("http", "off".to_owned()),
        ("instance", INSTANCE.to_owned()),
        ("journal", "off".to_owned()),
        ("log.filter", "off".to_owned()),
        ("redis.partitions", "2".to_owned()),
        ("redis.sweep_interval", "200ms".to_owned()),
    ]
}

fn serve(store: &str) -> Served {
    let mut command = Served::command();
    for (key, value) in settings(store) {
        command.env(format!("GENQUOTA_{}", key.replace('.', "_").to_uppercase()), value);
    }
    Served::start(command)
}

async fn connect(served: &Served) -> Channel {
    client::connect(&served.grpc.parse().unwrap(), PATIENCE).await.unwrap()
}

async fn create_subject(channel: Channel) {
    let mut subjects = SubjectServiceClient::new(channel);
    let subject = SUBJECT.to_owned();
    subjects.create_subject(v1::CreateSubjectRequest { subject: subject.clone(), ..Default::default() }).await.unwrap();
    // Long ago: to a clock that is behind there must be a plan too.
    let start = std::time::SystemTime::now() - Duration::from_secs(90 * 86_400);
    let subscribe = v1::SubscribeRequest {
        subject,
        request_id: "subscribe".to_owned(),
        plan: "wide".to_owned(),
        start_time: Some(start.into()),
        ..Default::default()
    };
    subjects.subscribe(subscribe).await.unwrap();
}

fn reserve(id: &str, ttl: Duration) -> v1::ReserveRequest {
    v1::ReserveRequest {
        subject: SUBJECT.to_owned(),
        reservation_id: id.to_owned(),
        action: "image.generate".to_owned(),
        target: Some(v1::Target { provider: "fal".to_owned(), model: "flux-schnell".to_owned() }),
        work: Some(v1::Work { items: vec![v1::Item { count: Some(2), ..Default::default() }] }),
        ttl: Some(ttl.try_into().unwrap()),
        ..Default::default()
    }
}

fn granted(response: v1::ReserveResponse) -> Option<Reservation> {
    match response.outcome.unwrap() {
        Outcome::Reservation(reservation) => Some(reservation),
        Outcome::Denial(_) => None,
    }
}

/// Waits until nothing is held, and reads the books after that: while they are read key by key, a sweeper may be at work.
async fn nothing_is_held(server: &Server) -> Books {
    until("all holds to come back", async || Books::of(server).partitions.values().all(|partition| partition.due.is_empty()).then_some(()))
        .await;
    Books::of(server)
}

/// The sidecar dies with a call on its way to the server, or with its answer on its way back.
async fn killed_in_the_middle(direction: Direction) {
    let server = Server::start(Kind::Redis7, Settings::default().aof(Aof::Everysec));
    let proxy = Proxy::start(&server.address());
    let first = serve(&proxy.url());
    create_subject(connect(&first).await).await;
    let mut quota = Quota::new(connect(&first).await);
    let ttl = Duration::from_secs(2);
    quota.reserve(reserve("before", ttl)).await.unwrap();

    proxy.hold(direction);
    let sent = proxy.counts();
    let call = tokio::spawn(async move { quota.reserve(reserve("middle", ttl)).await });
    until("the call to be on its way", async || {
        let is_there = match direction {
            Direction::Requests => proxy.counts().requests > sent.requests,
            Direction::Replies => Books::of(&server).row(SUBJECT, "middle").is_some(),
        };
        is_there.then_some(())
    })
    .await;
    first.kill();
    assert!(call.await.unwrap().is_err(), "somebody answered");
    proxy.close_all();

    let second = serve(&server.url());
    let mut quota = Quota::new(connect(&second).await);
    let repeat = quota.reserve(reserve("middle", ttl)).await.unwrap().into_inner();
    assert_eq!(repeat.replayed, direction == Direction::Replies);
    assert!(granted(repeat).is_some());
    let books = nothing_is_held(&server).await;
    books.audit(|_| None);
    let expired = books.events().filter(|event| event.kind == 'e').count();
    assert_eq!((expired, books.row(SUBJECT, "middle").unwrap().state), (2, 'e'));
}

#[tokio::test]
async fn sidecar_killed_before_its_call_arrived_leaves_nothing_held() {
    killed_in_the_middle(Direction::Requests).await;
}

#[tokio::test]
async fn sidecar_killed_before_its_answer_arrived_leaves_nothing_held() {
    killed_in_the_middle(Direction::Replies).await;
}

/// Of several sidecars at work one dies; what it had acknowledged is there, and another gives back what it left open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecar_killed_under_load_leaves_what_it_acknowledged_and_nothing_held() {
    const CLIENTS: usize = 16;
    let mut random = Rng::with_seed(seed());
    let server = Server::start(Kind::Redis7, Settings::default());
    let [first, second] = [serve(&server.url()), serve(&server.url())];
    create_subject(connect(&first).await).await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let mut quota = Quota::new(if client % 2 == 0 { connect(&first).await } else { connect(&second).await });
        clients.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0..100 {
                let id = format!("r{client}-{number}");
                let Ok(held) = quota.reserve(reserve(&id, Duration::from_secs(2))).await else { break };
                if granted(held.into_inner()).is_none() {
                    continue;
                }
                acknowledged.push((id.clone(), 'h'));
                let commit = v1::CommitRequest { subject: SUBJECT.to_owned(), reservation_id: id.clone(), ..Default::default() };
                match number % 4 {
                    0 => {}
                    _ if quota.commit(commit).await.is_ok() => acknowledged.push((id, 'c')),
                    _ => break,
                }
            }
            acknowledged
        });
    }
    let moment = random.usize(50..400);
    until("some load", async || (Books::of(&server).events().count() > moment).then_some(())).await;
    first.kill();
    let mut acknowledged = Vec::new();
    while let Some(done) = clients.join_next().await {
        acknowledged.extend(done.unwrap());
    }
    let books = nothing_is_held(&server).await;
    books.audit(|_| None);
    for (id, state) in &acknowledged {
        let row = books.row(SUBJECT, id).unwrap_or_else(|| panic!("acknowledged and gone: {id}"));
        assert!(*state == 'h' || row.state == 'c', "{id}: {row:?}");
    }
    let expired = books.events().filter(|event| event.kind == 'e').count();
    println!("{} acknowledged, {expired} expired", acknowledged.len());
    assert!(acknowledged.len() > 50 && expired > 5);
}

/// A sidecar in this process, with a clock of its own.
async fn with_clock(store: &str, clock: Arc<dyn Clock>, stop: &CancellationToken) -> Quota {
    let given = |(key, value): (&str, String)| Given { key: key.to_owned(), values: vec![value], origin: Origin::Flag(format!("--{key}")) };
    let layers = Layers { flags: settings(store).into_iter().map(given).collect(), ..Layers::default() };
    let config = config::load(&layers).unwrap_or_else(|problems| panic!("{problems}")).config;
    let app = App::build(config, clock).await.unwrap();
    let address = app.bound().listen[0].clone();
    tokio::spawn(app.serve(stop.clone()));
    Quota::new(client::connect(&address.to_string().parse().unwrap(), PATIENCE).await.unwrap())
}

/// The server's clock decides about deadlines, periods and windows. The sidecar's may stand where it will.
#[tokio::test]
async fn sidecar_whose_clock_is_wrong_decides_as_the_others_do() {
    let server = Server::start(Kind::Redis7, Settings::default());
    let stop = CancellationToken::new();
    let wrong = Arc::new(ManualClock::at(SystemClock.now()));
    let mut astray = with_clock(&server.url(), wrong.clone(), &stop).await;
    let mut right = with_clock(&server.url(), Arc::new(SystemClock), &stop).await;
    let binary = serve(&server.url());
    create_subject(connect(&binary).await).await;
    let ttl = Duration::from_secs(600);
    let mut deadlines = Vec::new();
    for (number, step) in [2, -2, 3600, -3600, 40 * 86_400, -40 * 86_400].map(SignedDuration::from_secs).into_iter().enumerate() {
        for (name, quota) in [("right", &mut right), ("astray", &mut astray)] {
            wrong.set(SystemClock.now().checked_add(step).unwrap());
            let id = format!("{name}-{number}");
            let held = quota.reserve(reserve(&id, ttl)).await.unwrap_or_else(|status| panic!("{name} at {step:#}: {status}"));
            assert!(granted(held.into_inner()).is_some(), "{name} at {step:#}");
            deadlines.push(id.clone());
            if number % 2 == 0 {
                let commit = v1::CommitRequest { subject: SUBJECT.to_owned(), reservation_id: id, ..Default::default() };
                quota.commit(commit).await.unwrap_or_else(|status| panic!("{name} at {step:#}: {status}"));
            }
        }
    }
    let books = Books::of(&server);
    books.audit(|_| None);
    let now = SystemClock.now().as_microsecond();
    let mut accounts = BTreeSet::new();
    for id in &deadlines {
        let row = books.row(SUBJECT, id).unwrap();
        let left = row.deadline - now;
        assert!((540_000_000..=600_000_000).contains(&left), "{id} has {left} us left");
        accounts.insert(row.legs.iter().map(|(account, _, _)| account.clone()).collect::<BTreeSet<_>>());
    }
    // One allowance and the caps of one day, but for a run over midnight.
    assert!(accounts.len() <= 2, "{accounts:?}");
    assert!(books.events().all(|event| event.kind != 'e'));
    stop.cancel();
}
