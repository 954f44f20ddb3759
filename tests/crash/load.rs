//! Callers that reserve, commit, release and record on several subjects until the server is gone, and remember what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::proto::v1::reserve_response::Outcome as Decision;
use genquota::proto::v1::subject_service_client::SubjectServiceClient;
use genquota::proto::v1::{self, Reservation, Work};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

use crate::server::Server;

pub(crate) type Quota = QuotaServiceClient<Channel>;

/// Subjects and their plans. Of the narrow ones much is denied, and recorded usage becomes overage.
pub(crate) const SUBJECTS: [(&str, &str); 4] = [("wide-1", "wide"), ("wide-2", "wide"), ("narrow-1", "narrow"), ("narrow-2", "narrow")];
pub(crate) const ACTION: &str = "image.generate";
const TASKS: usize = 32;
/// Above zero, and over before the checks are.
const SHORT_TTL: Duration = Duration::from_secs(1);

/// What is known of a call that was sent.
#[derive(Debug, Clone)]
pub(crate) enum Fate<T> {
    Answered(T),
    /// No answer came: it happened, or it did not.
    Unknown,
}

#[derive(Debug, Clone)]
pub(crate) enum Opening {
    Reserve(v1::ReserveRequest),
    Record(v1::RecordUsageRequest),
}

#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Commit(v1::CommitRequest),
    Release(v1::ReleaseRequest),
}

/// One id, and all that was asked and answered about it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) opening: Opening,
    /// None: denied.
    pub(crate) opened: Fate<Option<Reservation>>,
    pub(crate) ending: Option<(Ending, Fate<Reservation>)>,
}

impl Entry {
    pub(crate) fn is_short(&self) -> bool {
        matches!(&self.opening, Opening::Reserve(request) if request.ttl.is_some())
    }
}

/// What the callers of one round saw.
pub(crate) struct Seen {
    pub(crate) entries: Vec<Entry>,
    /// What ended each caller.
    pub(crate) errors: Vec<Status>,
}

/// Callers at work.
pub(crate) struct Load {
    tasks: JoinSet<(Vec<Entry>, Status)>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    answered: AtomicUsize,
    changed: Notify,
}

/// How a round differs from the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) number: usize,
    pub(crate) seed: u64,
    /// Bytes of labels that each reservation carries.
    pub(crate) label_bytes: usize,
}

impl Load {
    pub(crate) async fn start(server: &Server, round: Round) -> Self {
        let progress = Arc::new(Progress::default());
        let mut tasks = JoinSet::new();
        let channels = [server.connect().await, server.connect().await, server.connect().await, server.connect().await];
        for task in 0..TASKS {
            let quota = Quota::new(channels[task % channels.len()].clone());
            let random = Random(round.seed ^ ((round.number * TASKS + task) as u64).wrapping_mul(0x2545_F491_4F6C_DD1D));
            tasks.spawn(Caller { quota, random, round, task, progress: progress.clone() }.work());
        }
        Self { tasks, progress }
    }

    /// Waits for so many answers; false: every caller stopped before.
    pub(crate) async fn answered(&mut self, count: usize) {
        loop {
            let changed = self.progress.changed.notified();
            if self.progress.answered.load(Ordering::SeqCst) >= count {
                return;
            }
            changed.await;
        }
    }

    /// True: every caller goes on.
    pub(crate) fn is_whole(&mut self) -> bool {
        self.tasks.try_join_next().is_none()
    }

    /// Waits until an error has ended every caller.
    pub(crate) async fn end(mut self) -> Seen {
        let mut seen = Seen { entries: Vec::new(), errors: Vec::new() };
        while let Some(ended) = self.tasks.join_next().await {
            let (entries, error) = ended.unwrap();
            seen.entries.extend(entries);
            seen.errors.push(error);
        }
        seen
    }
}

struct Caller {
    quota: Quota,
    random: Random,
    round: Round,
    task: usize,
    progress: Arc<Progress>,
}

impl Caller {
    /// One generation after the other, until a call has no answer.
    async fn work(mut self) -> (Vec<Entry>, Status) {
        let mut entries = Vec::new();
        for number in 0.. {
            let mut entry = self.entry(number);
            let error = self.play(&mut entry).await.err();
            entries.push(entry);
            if let Some(error) = error {
                return (entries, error);
            }
        }
        unreachable!("numbers do not end")
    }

    async fn play(&mut self, entry: &mut Entry) -> Result<(), Status> {
        let (opened, _) = open(&mut self.quota, &entry.opening).await?;
        self.count();
        let held = opened.is_some() && matches!(entry.opening, Opening::Reserve(_)) && !entry.is_short();
        entry.opened = Fate::Answered(opened);
        if !held {
            return Ok(());
        }
        let ending = match self.random.below(10) {
            0..6 => {
                // Sometimes less or more was delivered than was asked.
                let work = [None, None, Some(1), Some(7)][self.random.below(4)].map(images);
                Ending::Commit(v1::CommitRequest { work, ..commit_of(entry) })
            }
            6..8 => Ending::Release(release_of(entry)),
            _ => return Ok(()),
        };
        entry.ending = Some((ending.clone(), Fate::Unknown));
        let (settled, _) = end(&mut self.quota, &ending).await?;
        self.count();
        entry.ending = Some((ending, Fate::Answered(settled)));
        Ok(())
    }

    fn entry(&mut self, number: usize) -> Entry {
        let (subject, _) = SUBJECTS[self.random.below(SUBJECTS.len())];
        let id = format!("r{}-{}-{number}", self.round.number, self.task);
        let work = Some(images([1, 2, 3, 4][self.random.below(4)]));
        let labels: BTreeMap<_, _> = (0..self.round.label_bytes / 256).map(|label| (format!("label-{label}"), "x".repeat(256))).collect();
        let opening = if self.random.below(10) < 2 {
            Opening::Record(v1::RecordUsageRequest {
                subject: subject.to_owned(),
                usage_id: id.clone(),
                action: ACTION.to_owned(),
                target: Some(target()),
                work,
                labels,
                ..Default::default()
            })
        } else {
            let ttl = (self.random.below(10) == 0).then(|| SHORT_TTL.try_into().unwrap());
            Opening::Reserve(v1::ReserveRequest { ttl, labels, ..reserve(subject, &id, work) })
        };
        Entry { subject: subject.to_owned(), id, opening, opened: Fate::Unknown, ending: None }
    }

    fn count(&self) {
        self.progress.answered.fetch_add(1, Ordering::SeqCst);
        self.progress.changed.notify_waiters();
    }
}

/// Sends what opens a reservation. None: denied.
pub(crate) async fn open(quota: &mut Quota, opening: &Opening) -> Result<(Option<Reservation>, bool), Status> {
    match opening {
        Opening::Reserve(request) => {
            let answer = quota.reserve(request.clone()).await?.into_inner();
            match answer.outcome.unwrap() {
                Decision::Reservation(reservation) => Ok((Some(reservation), answer.replayed)),
                Decision::Denial(_) => Ok((None, answer.replayed)),
            }
        }
        Opening::Record(request) => {
            let answer = quota.record_usage(request.clone()).await?.into_inner();
            Ok((Some(answer.reservation.unwrap()), answer.replayed))
        }
    }
}

/// Sends what ends a reservation.
pub(crate) async fn end(quota: &mut Quota, ending: &Ending) -> Result<(Reservation, bool), Status> {
    match ending {
        Ending::Commit(request) => {
            let answer = quota.commit(request.clone()).await?.into_inner();
            Ok((answer.reservation.unwrap(), answer.replayed))
        }
        Ending::Release(request) => {
            let answer = quota.release(request.clone()).await?.into_inner();
            Ok((answer.reservation.unwrap(), answer.replayed))
        }
    }
}

pub(crate) fn reserve(subject: &str, id: &str, work: Option<Work>) -> v1::ReserveRequest {
    v1::ReserveRequest {
        subject: subject.to_owned(),
        reservation_id: id.to_owned(),
        action: ACTION.to_owned(),
        target: Some(target()),
        work,
        ..Default::default()
    }
}

pub(crate) fn commit_of(entry: &Entry) -> v1::CommitRequest {
    v1::CommitRequest { subject: entry.subject.clone(), reservation_id: entry.id.clone(), ..Default::default() }
}

pub(crate) fn release_of(entry: &Entry) -> v1::ReleaseRequest {
    v1::ReleaseRequest { subject: entry.subject.clone(), reservation_id: entry.id.clone(), ..Default::default() }
}

fn target() -> v1::Target {
    v1::Target { provider: "fal".to_owned(), model: "flux-schnell".to_owned() }
}

pub(crate) fn images(count: i64) -> Work {
    Work { items: vec![v1::Item { count: Some(count), ..Default::default() }] }
}

/// Creates every subject with its plan, and gives the narrow ones some credits.
pub(crate) async fn create_subjects(server: &Server) {
    let mut subjects = SubjectServiceClient::new(server.connect().await);
    for (subject, plan) in SUBJECTS {
        let subject = subject.to_owned();
        subjects.create_subject(v1::CreateSubjectRequest { subject: subject.clone(), ..Default::default() }).await.unwrap();
        let subscribe = v1::SubscribeRequest {
            subject: subject.clone(),
            request_id: "subscribe".to_owned(),
            plan: plan.to_owned(),
            ..Default::default()
        };
        subjects.subscribe(subscribe).await.unwrap();
        if plan == "narrow" {
            let grant = v1::GrantCreditsRequest {
                subject,
                grant_id: "gift".to_owned(),
                meter: "credits".to_owned(),
                units: "30".to_owned(),
                ..Default::default()
            };
            subjects.grant_credits(grant).await.unwrap();
        }
    }
}

/// Units by account, of which kind and which one: held and charged.
pub(crate) type Accounts = BTreeMap<(i32, String), (rust_decimal::Decimal, rust_decimal::Decimal)>;

/// Small, and the same for the same seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
