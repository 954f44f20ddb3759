//! What the page makes of plans that are not alike: seats, contracts, limits without end, and subscriptions that end.

use genquota::proto::v1;

use crate::gateway::{Ask, Gateway};
use crate::sidecar::Sidecar;

fn sidecar(catalog: &str) -> Sidecar {
    let path = format!("{}/examples/catalogs/{catalog}.yaml", env!("CARGO_MANIFEST_DIR"));
    Sidecar::with(&["--store", "memory:", "--catalog", &path])
}

async fn subscribe(gateway: &mut Gateway, subject: &str, plan: &str, seats: Option<i32>) {
    gateway.create(subject).await;
    let (subject, request_id, plan) = (subject.to_owned(), "start".to_owned(), plan.to_owned());
    let request = v1::SubscribeRequest { subject, request_id, plan, seats, ..Default::default() };
    gateway.subjects.subscribe(request).await.unwrap();
}

fn assert_has(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn a_team_shows_who_sits_and_what_each_of_them_has_left() {
    let sidecar = sidecar("avatar-studio");
    let mut gateway = sidecar.gateway().await;
    subscribe(&mut gateway, "crew", "team", Some(3)).await;
    gateway
        .made("g-1", &Ask { action: "avatar.video", measures: &[("seconds", "5")], ..Ask::video("crew", "ann", "heygen/avatar-iv") })
        .await;
    let everybody = sidecar.get("/operations/subjects?subject=crew").body;
    assert_has(
        &everybody,
        &["1 of 3 taken", "<a href=\"/operations/subjects?subject=crew&amp;user=ann\">ann</a>", "Nothing pays that all users share."],
    );
    let ann = sidecar.get("/operations/subjects?subject=crew&user=ann").body;
    assert_has(
        &ann,
        &["seat_credits <small>allowance of ann</small>", "aria-label=\"seat_credits: 145 of 150 left\"", "value=\"145\"", "max=\"150\""],
    );
    let bob = sidecar.get("/operations/subjects?subject=crew&user=bob").body;
    assert!(!bob.contains("allowance of ann") && bob.contains("None is remembered."), "{bob}");
}

#[tokio::test]
async fn a_contract_a_suspension_and_an_end_are_shown() {
    let sidecar = sidecar("agency-workspace");
    let mut gateway = sidecar.gateway().await;
    subscribe(&mut gateway, "agency", "network", None).await;
    let subject = || "agency".to_owned();
    let limit = Some(v1::set_override_request::Limit::Cap("running".to_owned()));
    let contract = v1::SetOverrideRequest {
        subject: subject(),
        request_id: "contract".to_owned(),
        limit,
        value: "7".to_owned(),
        ..Default::default()
    };
    gateway.subjects.set_override(contract).await.unwrap();
    gateway.made("g-1", &Ask { labels: &[("campaign", "spring")], ..Ask::images("agency", "", "fal/flux-pro-1.1", 2) }).await;
    let page = sidecar.get("/operations/subjects?subject=agency").body;
    assert_has(
        &page,
        &["cap running: 7", "<dd>unlimited</dd>", "counted for each campaign", "<data value=\"7\">7</data>", "campaign=spring"],
    );

    let cancel = v1::CancelSubscriptionRequest { subject: subject(), request_id: "end".to_owned(), ..Default::default() };
    gateway.subjects.cancel_subscription(cancel).await.unwrap();
    let suspend = v1::SuspendSubjectRequest { subject: subject(), request_id: "unpaid".to_owned(), ..Default::default() };
    gateway.subjects.suspend_subject(suspend).await.unwrap();
    let page = sidecar.get("/operations/subjects?subject=agency").body;
    assert_has(&page, &["<strong class=\"bad\">suspended</strong>", "<strong>cancelled</strong>, ends "]);
    let list = sidecar.get("/operations/subjects").body;
    assert_has(&list, &["<strong class=\"bad\">suspended</strong>", "a change is pending"]);
}
