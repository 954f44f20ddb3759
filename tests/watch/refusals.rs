//! Who cannot watch, and why.

use genquota::proto::v1::CostFilters;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::ask::images;
use crate::catalogs::monthly;
use crate::harness::{Server, Setup, eventually};
use crate::watcher::{history, watch, watch_from_now};

const NOON: &str = "2026-03-01T12:00:00Z";
/// As many as there may be.
const WATCHERS: usize = genquota::events::WATCHERS_MAX;

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

async fn refused(server: &Server, cursor: &str, filters: CostFilters) -> Vec<String> {
    let status = watch(&server.channel, cursor, Some(filters)).await.map(|_| ()).unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{status}");
    status.get_details_bad_request().unwrap().field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_cursor_that_is_none_and_one_of_another_ledger_are_named() {
    let server = Server::start(&monthly("10"), NOON).await;
    let another = Server::start(&monthly("10"), NOON).await;
    let foreign = watch_from_now(&another.channel).await.cursor;
    let own = watch_from_now(&server.channel).await.cursor;
    for cursor in ["1", "nonsense", &own[1..], &own[..own.len() - 1], &foreign, &"A".repeat(20_000)] {
        assert_eq!(refused(&server, cursor, CostFilters::default()).await, ["cursor"], "{cursor}");
    }
    assert!(watch(&server.channel, &own, None).await.is_ok());
}

#[tokio::test]
async fn every_part_of_a_filter_that_cannot_be_is_named() {
    let server = Server::start(&monthly("10"), NOON).await;
    let filters = CostFilters {
        subject: "no blanks".to_owned(),
        provider: "{}".to_owned(),
        outcomes: vec![0],
        failover_only: true,
        ..CostFilters::default()
    };
    assert_eq!(refused(&server, "", filters).await, ["filters.subject", "filters.provider", "filters.outcomes"]);
    let filters = CostFilters { outcomes: vec![1; 8], ..CostFilters::default() };
    assert_eq!(refused(&server, "", filters).await, ["filters.outcomes"]);
}

#[tokio::test]
async fn a_cursor_before_the_oldest_event_is_told_where_to_go_on() {
    let server = Setup::new(&monthly("1000"), NOON).with("events.max", &["6"]).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let mut first = watch_from_now(&server.channel).await;
    // Who reads in time misses nothing.
    for _ in 0..8 {
        let ask = images(1);
        acme.used(&ask).await;
        assert_eq!(first.ids(1).await, [ask.key()]);
    }
    let stale = watch(&server.channel, "0", None).await.unwrap().caught_up().await.remove(0).cursor;
    for _ in 0..8 {
        acme.used(&images(1)).await;
    }
    let status = watch(&server.channel, &stale, None).await.unwrap().end().await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "CURSOR_EXPIRED"), "{status}");
    let oldest = &status.get_details_error_info().unwrap().metadata["oldest_cursor"];
    let kept = watch(&server.channel, oldest, None).await.unwrap().caught_up().await;
    assert_eq!(kept, history(&server.channel).await);
    assert_eq!(kept.len(), 3, "of six events every other one closed an attempt");
}

#[tokio::test]
async fn one_watcher_too_many_is_told_to_wait_until_another_leaves() {
    let server = Server::start(&monthly("10"), NOON).await;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(watch(&server.channel, "", None).await.unwrap());
    }
    let status = watch(&server.channel, "", None).await.map(|_| ()).unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "SERVER_OVERLOADED"), "{status}");
    assert!(status.get_details_retry_info().is_some());
    watchers.pop();
    eventually("there is room again", async || watch(&server.channel, "", None).await.ok().map(|_| ())).await;
}
