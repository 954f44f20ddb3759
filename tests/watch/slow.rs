//! A watcher that does not read is cut off, and nobody else notices.

use std::time::Duration;

use tonic::Code;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use crate::ask::images;
use crate::catalogs::monthly;
use crate::harness::{PATIENCE, Setup};
use crate::watcher::{history, watch, watch_from_now};

/// Events of some kilobytes each: more than a connection and a queue hold.
const EVENTS: usize = 120;

#[tokio::test]
async fn a_watcher_that_takes_nothing_is_cut_off_with_its_cursor_and_the_others_go_on() {
    let server = Setup::new(&monthly("1000"), "2026-03-01T12:00:00Z").with("events.patience", &["300ms"]).start().await;
    let acme = server.customer("acme", "pro").await;
    let narrow = Endpoint::from_shared(format!("http://{}", server.listen[0])).unwrap().initial_stream_window_size(Some(16_384));
    let narrow = narrow.connect().await.unwrap();
    let mut slow = watch(&narrow, "", None).await.unwrap();
    slow.caught_up().await;
    let mut quick = watch_from_now(&server.channel).await;

    let mut recorded = Vec::new();
    for _ in 0..EVENTS {
        let ask = (0..16).fold(images(1), |ask, label| ask.label(&format!("label-{label}"), &"x".repeat(256)));
        acme.record(&ask, |_| {}).await.unwrap();
        recorded.push(ask.key().to_owned());
    }
    assert_eq!(quick.ids(EVENTS).await, recorded);
    // Its patience is over by now, or soon: only reading tells. What it holds comes first.
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut seen = 0;
    let status = loop {
        match tokio::time::timeout(PATIENCE, slow.next_event()).await.unwrap() {
            Ok(event) => {
                assert_eq!(event.reservation_id, recorded[seen]);
                seen += 1;
            }
            Err(status) => break status,
        }
    };
    assert!(seen < EVENTS, "everything fitted in between");
    assert_eq!(status.code(), Code::Aborted, "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), &info.metadata["last_cursor"]), ("CONSUMER_LAGGED", &slow.cursor));
    // It goes on where it was.
    let mut again = watch(&server.channel, &slow.cursor, None).await.unwrap();
    assert_eq!(again.ids(EVENTS - seen).await, recorded[seen..]);
    assert_eq!(history(&server.channel).await.len(), EVENTS);
    let one_more = images(1);
    acme.record(&one_more, |_| {}).await.unwrap();
    assert_eq!(quick.ids(1).await, [one_more.key()]);
}
