//! What is not known, has ended, or is not served.

use genquota::proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::NOON;
use crate::ask::{images, reason};
use crate::catalogs::monthly;
use crate::harness::Server;

fn is(status: &Status, code: Code, why: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, why), "{status:?}");
    assert!(!status.message().is_empty());
}

#[tokio::test]
async fn an_unknown_reservation_is_not_found() {
    let server = Server::start(&monthly("10"), NOON).await;
    let (acme, other) = (server.customer("acme", "pro").await, server.customer("other", "pro").await);
    let ask = images(1);
    other.held(&ask).await;
    let before = acme.seen(&[]).await;
    // That of another subject is as unknown as one that never was.
    for id in [ask.key(), "never"] {
        is(&acme.reservation(id).await.unwrap_err(), Code::NotFound, "RESERVATION_NOT_FOUND");
        is(&acme.commit(id, |_| {}).await.unwrap_err(), Code::NotFound, "RESERVATION_NOT_FOUND");
        is(&acme.release(id, |_| {}).await.unwrap_err(), Code::NotFound, "RESERVATION_NOT_FOUND");
        is(&acme.extend(id, None).await.unwrap_err(), Code::NotFound, "RESERVATION_NOT_FOUND");
    }
    assert_eq!(acme.seen(&[]).await, before);
    assert_eq!(other.reservation(ask.key()).await.unwrap().state(), v1::State::Held);
}

#[tokio::test]
async fn an_unknown_subject_is_not_found_by_administrators() {
    let server = Server::start(&monthly("10"), NOON).await;
    let stranger = server.stranger("stranger");
    is(&stranger.shown().await.unwrap_err(), Code::NotFound, "SUBJECT_NOT_FOUND");
    is(&stranger.subscribe("pro", |_| {}).await.unwrap_err(), Code::NotFound, "SUBJECT_NOT_FOUND");
    is(&stranger.grant("gift", "1", |_| {}).await.unwrap_err(), Code::NotFound, "SUBJECT_NOT_FOUND");
    is(&stranger.void("gift").await.unwrap_err(), Code::NotFound, "SUBJECT_NOT_FOUND");
    assert!(crate::harness::subjects(&server.channel).await.is_empty());
}

#[tokio::test]
async fn a_settlement_that_comes_second_is_told_the_state() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    acme.release(ask.key(), |_| {}).await.unwrap();
    let error = acme.commit(ask.key(), |_| {}).await.unwrap_err();
    is(&error, Code::FailedPrecondition, "RESERVATION_SETTLED");
    assert_eq!(error.get_details_error_info().unwrap().metadata["state"], "RELEASED");
}

#[tokio::test]
async fn a_bad_field_weighs_more_than_an_unknown_reservation_and_that_more_than_a_reused_id() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let bad = acme.commit("never", |request| request.billed_cost = Some("x".to_owned())).await.unwrap_err();
    is(&bad, Code::InvalidArgument, "INVALID_FIELD");
    let ask = images(1);
    acme.held(&ask).await;
    is(&acme.reserve(&images(0).id(ask.key())).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn subjects_are_listed_page_by_page_in_the_order_of_their_names() {
    let server = Server::start(&monthly("10"), NOON).await;
    for name in ["d", "b", "a", "e", "c"] {
        server.subject(name).await;
    }
    let mut admin = server.stranger("a").admin();
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = admin.list_subjects(v1::ListSubjectsRequest { page_size: 2, page_token }).await.unwrap().into_inner();
        assert!(page.subjects.len() <= 2);
        names.extend(page.subjects.into_iter().map(|subject| subject.subject));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}
