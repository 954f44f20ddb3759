//! The rate limit service as Envoy's filter calls it, where a filter is hard to bring to it: several descriptors, hits and ids.

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code as Verdict;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use envoy_types::pb::google::protobuf::UInt64Value;
use genquota::client;
use tonic::{Code, Status};

use crate::bench::Sidecar;
use crate::lab::PATIENCE;

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entry = |(key, value): &(&str, &str)| Entry { key: (*key).to_owned(), value: (*value).to_owned() };
    RateLimitDescriptor { entries: entries.iter().map(entry).collect(), ..RateLimitDescriptor::default() }
}

fn images(subject: &str, hits: Option<u64>) -> RateLimitDescriptor {
    let hits_addend = hits.map(|value| UInt64Value { value });
    RateLimitDescriptor { hits_addend, ..descriptor(&[("route", "images"), ("subject", subject)]) }
}

async fn ask(sidecar: &Sidecar, descriptors: &[RateLimitDescriptor], hits_addend: u32) -> Result<RateLimitResponse, Status> {
    let channel = client::connect(&sidecar.grpc().parse().unwrap(), PATIENCE).await.unwrap();
    let request = RateLimitRequest { domain: "gateway".to_owned(), descriptors: descriptors.to_vec(), hits_addend };
    RateLimitServiceClient::new(channel).should_rate_limit(request).await.map(tonic::Response::into_inner)
}

fn verdicts(response: &RateLimitResponse) -> Vec<Verdict> {
    response.statuses.iter().map(|status| status.code()).collect()
}

#[tokio::test]
async fn all_descriptors_of_a_request_are_taken_or_none() {
    let mut sidecar = Sidecar::start("memory:", &[]).await;
    let taken = ask(&sidecar, &[images("acme", Some(4)), images("rival", Some(5))], 1).await.unwrap();
    assert_eq!((taken.overall_code(), verdicts(&taken)), (Verdict::Ok, vec![Verdict::Ok; 2]));
    let left: Vec<_> =
        taken.statuses.iter().map(|status| (status.limit_remaining, status.current_limit.as_ref().unwrap().requests_per_unit)).collect();
    assert_eq!(left, [(16, 20), (15, 20)]);
    assert!(taken.statuses[0].duration_until_reset.as_ref().unwrap().seconds > 0);

    let over = ask(&sidecar, &[images("acme", Some(4)), images("rival", Some(16))], 1).await.unwrap();
    assert_eq!((over.overall_code(), verdicts(&over)), (Verdict::OverLimit, vec![Verdict::Ok, Verdict::OverLimit]));
    assert!(String::from_utf8(over.raw_body).unwrap().contains("QUOTA_EXHAUSTED"));
    assert_eq!(sidecar.balance("acme").await, ("16".to_owned(), "0".to_owned(), "4".to_owned()));
    assert_eq!(sidecar.balance("rival").await, ("15".to_owned(), "0".to_owned(), "5".to_owned()));
}

#[tokio::test]
async fn hits_of_a_descriptor_count_before_those_of_its_request_and_none_ask_for_nothing() {
    let mut sidecar = Sidecar::start("memory:", &[]).await;
    for (own, of_request, used) in [(None, 0, "1"), (None, 3, "4"), (Some(2), 3, "6"), (Some(0), 3, "6")] {
        assert_eq!(ask(&sidecar, &[images("acme", own)], of_request).await.unwrap().overall_code(), Verdict::Ok);
        assert_eq!(sidecar.balance("acme").await.2, used, "{own:?} {of_request}");
    }
}

#[tokio::test]
async fn one_charge_pays_for_one_request_and_one_report_is_booked_once() {
    let mut sidecar = Sidecar::start("memory:", &[]).await;
    let take = descriptor(&[("route", "images"), ("subject", "acme"), ("request", "r-1")]);
    assert_eq!(ask(&sidecar, std::slice::from_ref(&take), 1).await.unwrap().overall_code(), Verdict::Ok);
    let again = ask(&sidecar, &[take], 1).await.unwrap();
    assert_eq!(again.overall_code(), Verdict::OverLimit);
    assert!(again.response_headers_to_add.iter().any(|header| header.value == "ID_REUSED"), "{again:?}");
    let report = descriptor(&[("route", "videos"), ("moment", "end"), ("subject", "acme"), ("report", "r-2")]);
    for _ in 0..2 {
        assert_eq!(ask(&sidecar, std::slice::from_ref(&report), 5).await.unwrap().overall_code(), Verdict::Ok);
    }
    assert_eq!(sidecar.balance("acme").await.2, "6");
}

#[tokio::test]
async fn a_check_takes_nothing() {
    let mut sidecar = Sidecar::start("memory:", &[]).await;
    let begin = descriptor(&[("route", "videos"), ("moment", "begin"), ("subject", "acme")]);
    let answer = ask(&sidecar, std::slice::from_ref(&begin), 1).await.unwrap();
    assert_eq!((answer.overall_code(), answer.statuses[0].limit_remaining), (Verdict::Ok, 20));
    assert_eq!(sidecar.balance("acme").await, ("20".to_owned(), "0".to_owned(), "0".to_owned()));
    ask(&sidecar, &[images("acme", Some(11))], 1).await.unwrap();
    assert_eq!(ask(&sidecar, &[begin], 1).await.unwrap().overall_code(), Verdict::OverLimit);
}

#[tokio::test]
async fn nothing_is_taken_back_by_negative_hits() {
    let mut sidecar = Sidecar::start("memory:", &[]).await;
    ask(&sidecar, &[images("acme", Some(4))], 1).await.unwrap();
    let negative = RateLimitDescriptor { is_negative_hits: true, ..images("acme", Some(4)) };
    let refused = ask(&sidecar, &[images("acme", Some(1)), negative], 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("descriptors[1].is_negative_hits: cannot be"), "{refused}");
    // What the first descriptor had taken went back.
    assert_eq!(sidecar.balance("acme").await, ("16".to_owned(), "0".to_owned(), "4".to_owned()));
}

#[tokio::test]
async fn what_no_mapping_fits_is_allowed_and_counted() {
    let sidecar = Sidecar::start("memory:", &[]).await;
    let unmapped = descriptor(&[("route", "unheard-of"), ("subject", "acme")]);
    let answer = ask(&sidecar, &[unmapped.clone(), unmapped], 1).await.unwrap();
    assert_eq!((answer.overall_code(), verdicts(&answer)), (Verdict::Ok, vec![Verdict::Ok; 2]));
    assert_eq!(sidecar.asked("rate_limit", "unmapped"), 2.0);
}

#[tokio::test]
async fn a_report_that_cannot_be_booked_says_why() {
    let sidecar = Sidecar::start("memory:", &[]).await;
    let report = descriptor(&[("route", "videos"), ("moment", "end"), ("subject", "a*")]);
    let refused = ask(&sidecar, &[report], 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("subject: has '*'"), "{refused}");
}
