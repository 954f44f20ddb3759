//! What a test asks, in few words, and how it reads what came back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use genquota::proto::v1;
use jiff::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A request to reserve, under an id of its own.
#[derive(Clone)]
pub struct Ask(pub v1::ReserveRequest);

/// An id that nobody used.
pub fn fresh_id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks for `work` at a target such as `lab/small`; an empty one is none.
pub fn ask(action: &str, at: &str, work: v1::Work) -> Ask {
    Ask(v1::ReserveRequest {
        reservation_id: fresh_id("r"),
        action: action.to_owned(),
        target: (!at.is_empty()).then(|| target(at)),
        work: Some(work),
        ..v1::ReserveRequest::default()
    })
}

/// So many images by the small model of the laboratory.
pub fn images(count: i64) -> Ask {
    ask("image", "lab/small", outputs(count))
}

impl Ask {
    pub fn id(mut self, id: &str) -> Self {
        self.0.reservation_id = id.to_owned();
        self
    }

    pub fn generation(mut self, generation: &str) -> Self {
        self.0.generation_id = generation.to_owned();
        self
    }

    pub fn user(mut self, user: &str) -> Self {
        self.0.user = user.to_owned();
        self
    }

    pub fn at(mut self, at: &str) -> Self {
        self.0.target = Some(target(at));
        self
    }

    pub fn planned(mut self, at: &str) -> Self {
        self.0.planned_target = Some(target(at));
        self
    }

    pub fn fallback(mut self, at: &str) -> Self {
        self.0.fallbacks.push(target(at));
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn ttl(mut self, seconds: i64) -> Self {
        self.0.ttl = Some(seconds_of(seconds));
        self
    }

    pub fn or_fewer(mut self) -> Self {
        self.0.accept_fewer = true;
        self
    }

    pub fn only_validate(mut self) -> Self {
        self.0.validate_only = true;
        self
    }

    /// The same request under another id.
    pub fn again(&self) -> Self {
        Self(v1::ReserveRequest { reservation_id: format!("{}.again", self.0.reservation_id), ..self.0.clone() })
    }

    pub fn key(&self) -> &str {
        &self.0.reservation_id
    }
}

pub fn target(text: &str) -> v1::Target {
    let (provider, model) = text.split_once('/').unwrap();
    v1::Target { provider: provider.to_owned(), model: model.to_owned() }
}

/// `count` outputs that are alike.
pub fn item(count: i64, measures: &[(&str, &str)], attributes: &[(&str, &str)]) -> v1::Item {
    v1::Item { count: Some(count), measures: map(measures), attributes: map(attributes) }
}

pub fn outputs(count: i64) -> v1::Work {
    work(vec![item(count, &[], &[])])
}

/// One output of so many seconds for each.
pub fn seconds(each: &[&str]) -> v1::Work {
    work(each.iter().map(|seconds| item(1, &[("seconds", seconds)], &[])).collect())
}

pub fn work(items: Vec<v1::Item>) -> v1::Work {
    v1::Work { items }
}

pub fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn seconds_of(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

pub fn time(text: &str) -> prost_types::Timestamp {
    let time: Timestamp = text.parse().unwrap();
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// An instant as text, or nothing.
pub fn instant(time: Option<&prost_types::Timestamp>) -> String {
    time.map(|time| Timestamp::new(time.seconds, time.nanos).unwrap().to_string()).unwrap_or_default()
}

/// The accounts that hold or paid, such as `allowance units 3, grant g1 2`. Caps are left out.
pub fn paid_by(reservation: &v1::Reservation) -> String {
    let legs = reservation.legs.iter().filter(|leg| leg.kind() != v1::SourceKind::Cap);
    let shown = legs.map(|leg| {
        let kind = leg.kind().as_str_name().trim_start_matches("SOURCE_KIND_").to_ascii_lowercase();
        [&kind, &leg.source_id, &leg.units].into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The limits that said no, in their order.
pub fn named(denial: &v1::Denial) -> Vec<&str> {
    denial.violations.iter().map(|violation| violation.name.as_str()).collect()
}

/// `limit reserved committed requested available` of a violation.
pub fn amounts(violation: &v1::Violation) -> [&str; 5] {
    [&violation.limit, &violation.reserved, &violation.committed, &violation.requested, &violation.available]
}

/// The one remedy of a kind.
pub fn remedy<T>(denial: &v1::Denial, of: impl Fn(&v1::remedy::Remedy) -> Option<T>) -> Option<T> {
    denial.remedies.iter().filter_map(|remedy| remedy.remedy.as_ref()).find_map(of)
}

pub fn wait_until(denial: &v1::Denial) -> Option<String> {
    remedy(denial, |remedy| match remedy {
        v1::remedy::Remedy::WaitUntil(at) => Some(instant(Some(at))),
        _ => None,
    })
}

pub fn buy_credits(denial: &v1::Denial) -> Option<String> {
    remedy(denial, |remedy| match remedy {
        v1::remedy::Remedy::BuyCredits(units) => Some(units.clone()),
        _ => None,
    })
}

pub fn fewer_count(denial: &v1::Denial) -> Option<String> {
    remedy(denial, |remedy| match remedy {
        v1::remedy::Remedy::FewerCount(count) => Some(count.clone()),
        _ => None,
    })
}

pub fn upgrade(denial: &v1::Denial) -> Option<String> {
    remedy(denial, |remedy| match remedy {
        v1::remedy::Remedy::UpgradeToPlan(plan) => Some(plan.clone()),
        _ => None,
    })
}

/// A target such as `lab/small`.
pub fn use_target(denial: &v1::Denial) -> Option<String> {
    remedy(denial, |remedy| match remedy {
        v1::remedy::Remedy::UseTarget(target) => Some(format!("{}/{}", target.provider, target.model)),
        _ => None,
    })
}

/// The reason of an error, which must be one of ours.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("an error has a reason: {status:?}"));
    assert_eq!(info.domain, "genquota");
    info.reason
}

/// The bad fields of a request, in their order.
pub fn bad_fields(status: &Status) -> Vec<String> {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{status:?}");
    let request = status.get_details_bad_request().unwrap();
    let fields = request.field_violations.into_iter().map(|violation| {
        assert!(!violation.description.is_empty(), "{status:?}");
        violation.field
    });
    fields.collect()
}
