//! Requests that are too much: items, outputs, bytes.

use tonic::Code;

use super::NOON;
use crate::ask::{ask, bad_fields, images, item, work};
use crate::catalogs::monthly;
use crate::harness::{Server, Setup};

fn items(count: usize) -> genquota::proto::v1::Work {
    work((0..count).map(|_| item(1, &[], &[])).collect())
}

#[tokio::test]
async fn a_work_has_sixty_four_items_at_most() {
    let server = Server::start(&monthly("100"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    for count in [65, 10_000] {
        let error = acme.reserve(&ask("image", "lab/small", items(count))).await.unwrap_err();
        assert_eq!(bad_fields(&error), ["work.items"], "{count}");
        let ask = images(1);
        let error = acme.record(&ask, |request| request.billed_work = Some(items(count))).await.unwrap_err();
        assert_eq!(bad_fields(&error), ["billed_work.items"], "{count}");
        assert_eq!(acme.seen(&[]).await, before);
    }
    assert_eq!(acme.held(&ask("image", "lab/small", items(64))).await.units_reserved, "64");
}

#[tokio::test]
async fn a_message_above_64_kib_is_refused() {
    let server = Server::start(&monthly("100"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let error = acme.reserve(&images(1).label("k", &"v".repeat(65_536))).await.unwrap_err();
    assert!(matches!(error.code(), Code::OutOfRange | Code::ResourceExhausted), "{error:?}");
    assert!(error.message().contains("65536"), "{error:?}");
    assert_eq!(acme.seen(&[]).await, before);
    // The connection goes on.
    acme.held(&images(1)).await;
    let below = acme.reserve(&images(1).label("k", &"v".repeat(64_000))).await.unwrap_err();
    assert_eq!(bad_fields(&below), ["labels.k"]);
}

#[tokio::test]
async fn the_size_of_a_message_can_be_configured() {
    let server = Setup::new(&monthly("100"), NOON).with("limits.message_bytes", &["1024"]).start().await;
    let acme = server.customer("acme", "pro").await;
    acme.held(&images(1)).await;
    assert!(acme.reserve(&images(1).label("k", &"v".repeat(2000))).await.unwrap_err().message().contains("1024"));
}

#[tokio::test]
async fn an_account_cannot_overflow() {
    let server = Server::start(&monthly("unlimited"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let clip = |value: &str| ask("video", "lab/small", crate::ask::seconds(&[value]));
    acme.used(&clip("999999999")).await;
    let before = acme.seen(&[]).await;
    assert_eq!(bad_fields(&acme.reserve(&clip("2")).await.unwrap_err()), ["work"]);
    assert_eq!(bad_fields(&acme.record(&clip("2"), |_| {}).await.unwrap_err()), ["work"]);
    let held = clip("1");
    acme.held(&held).await;
    let error = acme.commit(held.key(), |request| request.work = Some(crate::ask::seconds(&["2"]))).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["work"]);
    acme.release(held.key(), |_| {}).await.unwrap();
    assert_eq!(acme.seen(&[]).await, before);
}
