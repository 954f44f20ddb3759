//! A gateway at work: customers of the bundled catalog, and rounds of generations with everything that may become of one.

use std::collections::BTreeMap;
use std::time::Duration;

use genquota::client;
use genquota::proto::v1;
use genquota::proto::v1::cost_service_client::CostServiceClient;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::proto::v1::subject_service_client::SubjectServiceClient;
use tonic::transport::Channel;

use crate::lab::PATIENCE;

/// A subject with the plan that it has.
pub(crate) const CUSTOMERS: [(&str, &str); 3] = [("aurora", "hollywood"), ("lantern", "independent"), ("mia", "microbudget")];

#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) quota: QuotaServiceClient<Channel>,
    pub(crate) costs: CostServiceClient<Channel>,
    pub(crate) subjects: SubjectServiceClient<Channel>,
}

/// What is asked of it.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) subject: &'static str,
    pub(crate) user: &'static str,
    pub(crate) action: &'static str,
    pub(crate) target: &'static str,
    pub(crate) count: i64,
    pub(crate) measures: &'static [(&'static str, &'static str)],
    pub(crate) labels: &'static [(&'static str, &'static str)],
    pub(crate) ttl: Option<Duration>,
}

impl Ask {
    /// Images.
    pub(crate) fn images(subject: &'static str, user: &'static str, target: &'static str, count: i64) -> Self {
        Self { subject, user, action: "image.generate", target, count, measures: &[], labels: &[], ttl: None }
    }

    /// A video of four seconds.
    pub(crate) fn video(subject: &'static str, user: &'static str, target: &'static str) -> Self {
        Self { action: "video.generate", measures: &[("seconds", "4")], ..Self::images(subject, user, target, 1) }
    }

    fn work(&self) -> v1::Work {
        let measures: BTreeMap<String, String> =
            self.measures.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        v1::Work { items: vec![v1::Item { count: Some(self.count), measures, ..Default::default() }] }
    }
}

impl Gateway {
    pub(crate) async fn connect(address: &str) -> Self {
        let channel = client::connect(&address.parse().unwrap(), PATIENCE).await.unwrap();
        Self {
            quota: QuotaServiceClient::new(channel.clone()),
            costs: CostServiceClient::new(channel.clone()),
            subjects: SubjectServiceClient::new(channel),
        }
    }

    /// Signs everybody up; one has bought credits and an add-on, and will change its plan.
    pub(crate) async fn sign_up(&mut self) {
        for (subject, plan) in CUSTOMERS {
            self.create(subject).await;
            let request = v1::SubscribeRequest {
                subject: subject.to_owned(),
                request_id: "start".to_owned(),
                plan: plan.to_owned(),
                ..Default::default()
            };
            self.subjects.subscribe(request).await.unwrap();
        }
        let subject = "aurora".to_owned();
        let add_on = v1::SetAddOnRequest {
            subject: subject.clone(),
            request_id: "reels".to_owned(),
            add_on: "extra_reel".to_owned(),
            units: 2,
            ..Default::default()
        };
        self.subjects.set_add_on(add_on).await.unwrap();
        let grant = v1::GrantCreditsRequest {
            subject: subject.clone(),
            grant_id: "welcome".to_owned(),
            meter: "credits".to_owned(),
            units: "500".to_owned(),
            kind: v1::GrantKind::Promotional.into(),
            ..Default::default()
        };
        self.subjects.grant_credits(grant).await.unwrap();
        let change =
            v1::ChangePlanRequest { subject, request_id: "smaller".to_owned(), plan: "independent".to_owned(), ..Default::default() };
        self.subjects.change_plan(change).await.unwrap();
    }

    pub(crate) async fn create(&mut self, subject: &str) {
        let request = v1::CreateSubjectRequest { subject: subject.to_owned(), ..Default::default() };
        self.subjects.create_subject(request).await.unwrap();
    }

    /// One round: accepted, tried again, failed over, refused, and given up. Every round has names of its own.
    pub(crate) async fn round(&mut self, number: usize) {
        let id = |what: &str| format!("{what}-{number:04}");
        self.made(&id("poster"), &Ask::images("lantern", "ana", "fal/flux-pro-1.1", 2)).await;
        self.made(&id("sketch"), &Ask::images("mia", "", "fal/flux-schnell", 3)).await;
        self.made(
            &id("voice"),
            &Ask {
                action: "voice.generate",
                measures: &[("characters", "900")],
                ..Ask::images("aurora", "ben", "elevenlabs/eleven-v3", 1)
            },
        )
        .await;
        // A quality gate that takes the second.
        let frame = Ask::images("aurora", "cleo", "openai/gpt-image-1", 4);
        if self.reserve(&id("frame"), &frame).await {
            self.retry(&id("frame"), &frame, 1, v1::Outcome::Rejected, None).await;
            self.commit(&id("frame"), &frame).await;
        }
        // A model that is down, and a dearer one in its place.
        let shot = Ask::video("aurora", "ben", "fal/wan-2.2");
        if self.reserve(&id("shot"), &shot).await {
            self.retry(&id("shot"), &shot, 1, v1::Outcome::Failed, Some("runway/gen4")).await;
            self.commit(&id("shot"), &shot).await;
        }
        if number.is_multiple_of(3) {
            let scene = Ask::video("lantern", "dora", "runway/gen4-turbo");
            if self.reserve(&id("scene"), &scene).await {
                self.retry(&id("scene"), &scene, 1, v1::Outcome::Failed, Some("fal/wan-2.2")).await;
                self.release(&id("scene"), &scene, v1::Outcome::Blocked).await;
            }
        }
        if number % 4 == 1 {
            // Nobody will settle it.
            self.reserve(&id("lost"), &Ask { ttl: Some(Duration::from_millis(1)), ..Ask::images("lantern", "ana", "fal/flux-pro-1.1", 1) })
                .await;
        }
        // What the plan has not, and more than there is.
        assert!(!self.reserve(&id("premium"), &Ask::images("mia", "", "openai/gpt-image-1", 1)).await);
        if number.is_multiple_of(2) {
            assert!(!self.reserve(&id("many"), &Ask::images("lantern", "dora", "fal/flux-schnell", 5000)).await);
        }
    }

    /// Held and delivered; denied where there is too little.
    pub(crate) async fn made(&mut self, id: &str, ask: &Ask) {
        if self.reserve(id, ask).await {
            self.commit(id, ask).await;
        }
    }

    /// True: held.
    pub(crate) async fn reserve(&mut self, id: &str, ask: &Ask) -> bool {
        let request = v1::ReserveRequest {
            subject: ask.subject.to_owned(),
            user: ask.user.to_owned(),
            reservation_id: id.to_owned(),
            action: ask.action.to_owned(),
            target: Some(target(ask.target)),
            work: Some(ask.work()),
            ttl: ask.ttl.map(|ttl| prost_types::Duration::try_from(ttl).unwrap()),
            labels: ask.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Default::default()
        };
        let answer = self.quota.reserve(request).await.unwrap().into_inner();
        matches!(answer.outcome, Some(v1::reserve_response::Outcome::Reservation(_)))
    }

    pub(crate) async fn commit(&mut self, id: &str, ask: &Ask) {
        let request = v1::CommitRequest { subject: ask.subject.to_owned(), reservation_id: id.to_owned(), ..Default::default() };
        self.quota.commit(request).await.unwrap();
    }

    async fn release(&mut self, id: &str, ask: &Ask, outcome: v1::Outcome) {
        let request = v1::ReleaseRequest {
            subject: ask.subject.to_owned(),
            reservation_id: id.to_owned(),
            outcome: outcome.into(),
            ..Default::default()
        };
        self.quota.release(request).await.unwrap();
    }

    async fn retry(&mut self, id: &str, ask: &Ask, attempt: i32, outcome: v1::Outcome, next: Option<&str>) {
        let request = v1::RetryRequest {
            subject: ask.subject.to_owned(),
            reservation_id: id.to_owned(),
            attempt,
            outcome: outcome.into(),
            next_target: next.map(target),
            ..Default::default()
        };
        let answer = self.quota.retry(request).await.unwrap().into_inner();
        assert!(matches!(answer.outcome, Some(v1::retry_response::Outcome::Reservation(_))), "{answer:?}");
    }

    /// The sums that the page is to agree with.
    pub(crate) async fn sums(&mut self, start: &str, end: &str) -> Vec<v1::CostRow> {
        let time = |text: &str| {
            let time: jiff::Timestamp = text.parse().unwrap();
            Some(prost_types::Timestamp { seconds: time.as_second(), nanos: 0 })
        };
        let request = v1::SummarizeCostsRequest { start_time: time(start), end_time: time(end), ..Default::default() };
        self.costs.summarize_costs(request).await.unwrap().into_inner().rows
    }
}

pub(crate) fn target(name: &str) -> v1::Target {
    let (provider, model) = name.split_once('/').unwrap();
    v1::Target { provider: provider.to_owned(), model: model.to_owned() }
}
