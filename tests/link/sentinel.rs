//! The primary that sentinels name, before and after a failover.

use genquota::store::redis::{LinkState, Obstacle};

use crate::harness::{open, options, refusal, set, until_done, up_after, value};
use crate::lab::{Kind, Sentinels};

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed() {
    let mut sentinels = Sentinels::start(Kind::Redis7);
    let link = open(&sentinels.url()).await;
    let first = up_after(&link, 0).await;
    link.call(&set("before", "1")).await.unwrap();
    sentinels.wait_until_well().await;
    let old = sentinels.kill_primary();
    sentinels.wait_for_new_primary(old).await;
    let last = up_after(&link, first).await;
    until_done(&link, &set("after", "2")).await;
    assert!(last > first);
    let new = sentinels.primary().unwrap();
    assert_eq!(sentinels.server(new).command(&["GET", "after"]), "2");
    assert_eq!(link.call_every_primary(&redis::cmd("PING")).await.unwrap()[0].0, sentinels.server(new).address());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_its_sentinels_and_a_new_one_needs_only_one() {
    let mut sentinels = Sentinels::start(Kind::Redis7);
    let link = open(&sentinels.url()).await;
    let first = up_after(&link, 0).await;
    for at in 0..2 {
        sentinels.watcher_mut(at).kill();
    }
    let again = open(&sentinels.url()).await;
    again.call(&set("k", "v")).await.unwrap();
    sentinels.watcher_mut(2).kill();
    assert_eq!(value(&link, "k").await.as_deref(), Some("v"));
    assert!(matches!(*link.state().borrow(), LinkState::Up { epoch } if epoch == first));
    let error = refusal(&sentinels.url(), options()).await;
    assert!(matches!(&error, Obstacle::Sentinels { reasons, .. } if reasons.len() == 3), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_nobody_watches_is_named() {
    let sentinels = Sentinels::start(Kind::Redis7);
    let url = sentinels.url().replace("/mymaster", "/other");
    let error = refusal(&url, options()).await;
    assert!(matches!(&error, Obstacle::Sentinels { service, .. } if service == "other"), "{error}");
}

/// The old primary, cut off from its sentinels and not from us, still says that it is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_the_sentinels_have_given_up_is_left() {
    let sentinels = Sentinels::start(Kind::Redis7);
    let link = open(&sentinels.url()).await;
    let first = up_after(&link, 0).await;
    sentinels.wait_until_well().await;
    let old = sentinels.primary().unwrap();
    // Frozen until it is replaced, and awake again before anybody could tell it.
    sentinels.server(old).pause();
    sentinels.wait_for_new_primary(old).await;
    sentinels.server(old).resume();
    up_after(&link, first).await;
    until_done(&link, &set("k", "v")).await;
    let new = sentinels.primary().unwrap();
    assert_eq!(sentinels.server(new).command(&["GET", "k"]), "v");
}
