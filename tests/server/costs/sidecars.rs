//! A chain of attempts that goes on at another sidecar: what one has seen of a reservation is no reason to refuse anything.

use genquota::proto::v1::{SuspendSubjectRequest, retry_response};
use jiff::Timestamp;

use crate::ask::images;
use crate::catalogs::plans;
use crate::harness::{Server, Setup};
use crate::lab::{self, Kind, Settings};

const PRO: &str = "pro: {allowances: [{meter: units, amount: 10, per: subject}]}";

async fn two(redis: &lab::Server) -> (Server, Server) {
    let setup = || Setup::new(&plans(&[PRO]), &Timestamp::now().to_string()).with("store", &[&redis.url()]).with("journal", &["off"]);
    (setup().start().await, setup().start().await)
}

#[tokio::test]
async fn each_attempt_may_be_closed_by_another_sidecar_than_the_one_before() {
    let redis = lab::Server::start(Kind::Redis7, Settings::default());
    let (here, there) = two(&redis).await;
    let (here, there) = (here.customer("acme", "pro").await, there.stranger("acme"));
    let ask = images(1);
    here.held(&ask).await;
    there.retried(ask.key(), 1, |_| {}).await;
    let (held, _) = here.retried(ask.key(), 2, |_| {}).await;
    assert_eq!(held.attempts.len(), 3);
    let (held, _) = there.retried(ask.key(), 3, |_| {}).await;
    assert_eq!(held.attempts.len(), 4);
    let problem = here.retry(ask.key(), 5, |_| {}).await.unwrap_err();
    assert!(problem.message().contains("the last is 4"), "{problem}");
}

#[tokio::test]
async fn a_repeat_at_another_sidecar_is_known_whatever_was_forbidden_meanwhile() {
    let redis = lab::Server::start(Kind::Redis7, Settings::default());
    let (here, there) = two(&redis).await;
    let (here, there) = (here.customer("acme", "pro").await, there.stranger("acme"));
    let ask = images(1);
    here.held(&ask).await;
    there.retried(ask.key(), 1, |_| {}).await;
    let suspend = SuspendSubjectRequest { subject: "acme".to_owned(), request_id: "suspend".to_owned(), ..Default::default() };
    there.admin().suspend_subject(suspend).await.unwrap();
    // It learns of the suspension, and not of the retry.
    here.denied(&images(1)).await;
    let again = here.retry(ask.key(), 1, |_| {}).await.unwrap();
    assert!(again.replayed);
    assert!(matches!(again.outcome, Some(retry_response::Outcome::Reservation(held)) if held.attempts.len() == 2));
}
