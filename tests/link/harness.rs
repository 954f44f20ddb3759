//! What the tests of the link share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use genquota::store::redis::{Failure, Link, LinkError, LinkOptions, LinkState, Obstacle};
use redis::{Cmd, Value, cmd};

use crate::lab::PATIENCE;

/// Short enough that a test of silence is quick, long enough for a machine that does much else.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(700);

pub(crate) fn options() -> LinkOptions {
    LinkOptions { connect_timeout: Duration::from_secs(2), command_timeout: COMMAND_TIMEOUT, ..LinkOptions::default() }
}

pub(crate) async fn open(url: &str) -> Arc<Link> {
    open_with(url, options()).await.unwrap()
}

pub(crate) async fn open_with(url: &str, options: LinkOptions) -> Result<Arc<Link>, LinkError> {
    Link::open(url.parse().unwrap(), options).await
}

/// Why a link does not come about.
pub(crate) async fn refusal(url: &str, options: LinkOptions) -> Obstacle {
    match open_with(url, options).await {
        Ok(_) => panic!("{url} is open"),
        Err(LinkError(obstacle)) => obstacle,
    }
}

pub(crate) fn set(key: &str, value: &str) -> Cmd {
    cmd("SET").arg(key).arg(value).to_owned()
}

pub(crate) fn get(key: &str) -> Cmd {
    cmd("GET").arg(key).to_owned()
}

pub(crate) async fn value(link: &Link, key: &str) -> Option<String> {
    match link.call(&get(key)).await.unwrap() {
        Value::BulkString(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Value::Nil => None,
        other => panic!("{other:?}"),
    }
}

/// The epoch, once it is up under a later one than `after`.
pub(crate) async fn up_after(link: &Link, after: u64) -> u64 {
    let mut state = link.state();
    let up = state.wait_for(|state| matches!(state, LinkState::Up { epoch } if *epoch > after));
    match &*tokio::time::timeout(PATIENCE, up).await.expect("the link came back").unwrap() {
        LinkState::Up { epoch } => *epoch,
        LinkState::Down { .. } => unreachable!(),
    }
}

/// Why it is down, once it is.
pub(crate) async fn down(link: &Link) -> String {
    let mut state = link.state();
    let down = state.wait_for(|state| matches!(state, LinkState::Down { .. }));
    match &*tokio::time::timeout(PATIENCE, down).await.expect("the link went down").unwrap() {
        LinkState::Down { reason, .. } => reason.to_string(),
        LinkState::Up { .. } => unreachable!(),
    }
}

/// A call that must fail because nothing is sent, at once.
pub(crate) async fn assert_refused_at_once(link: &Link) {
    let asked = Instant::now();
    let failure = link.call(&get("k")).await.unwrap_err();
    assert!(matches!(&failure, Failure::NotApplied { code, retry: true, .. } if code == Failure::DOWN), "{failure:?}");
    assert!(asked.elapsed() < COMMAND_TIMEOUT / 2, "{:?}", asked.elapsed());
}

/// Asks until it works, and panics if it never does. Says how often it did not.
pub(crate) async fn until_done(link: &Link, command: &Cmd) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut failures = 0;
    loop {
        match link.call(command).await {
            Ok(_) => return failures,
            Err(failure) => assert!(Instant::now() < deadline, "{failure:?}"),
        }
        failures += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
