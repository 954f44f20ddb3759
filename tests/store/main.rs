//! The store's contract, written once and run on every store; and what the embedded store promises beyond it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod contract;
mod crash;
mod embedded;
mod fixtures;
mod journal;
#[path = "../lab/mod.rs"]
mod lab;
mod medium;
mod probe;
mod replicas;
mod shared;
mod twin;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::store::Store;
use genquota::store::embedded::EmbeddedStore;

use self::fixtures::{OPTIONS, start};

/// A store under test, with the clock it runs by.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    /// Closes the store and opens what it kept; `None` for a store that keeps nothing.
    pub reopen: Option<Reopen>,
}

pub type Reopen = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> + Send + Sync>;

fn memory() -> Bench {
    let clock = Arc::new(ManualClock::at(start()));
    let store = Arc::new(EmbeddedStore::in_memory(OPTIONS, clock.clone()).unwrap());
    Bench { store, clock, reopen: None }
}

fn on_disk(directory: &tempfile::TempDir) -> Bench {
    let clock = Arc::new(ManualClock::at(start()));
    let path = directory.path().join("store");
    let store = Arc::new(EmbeddedStore::open(&path, OPTIONS, clock.clone()).unwrap());
    let again = (store.clone(), path, clock.clone());
    let reopen = move || -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> {
        let (store, path, clock) = again.clone();
        Box::pin(async move {
            store.close().await;
            Arc::new(EmbeddedStore::open(&path, OPTIONS, clock).unwrap()) as Arc<dyn Store>
        })
    };
    Bench { store, clock, reopen: Some(Box::new(reopen)) }
}

/// Runs each behaviour of the contract on each store.
macro_rules! on_every_store {
    ($($behaviour:ident)+) => {
        mod memory_store {
            $(#[tokio::test]
            async fn $behaviour() {
                crate::contract::$behaviour(crate::memory()).await;
            })+
        }

        mod redis_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = crate::shared::server(crate::lab::Kind::Redis7);
                crate::contract::$behaviour(crate::shared::bench(&server.url(), "test").await).await;
            })+
        }

        mod redis_8_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = crate::shared::server(crate::lab::Kind::Redis8);
                crate::contract::$behaviour(crate::shared::bench(&server.url(), "test").await).await;
            })+
        }

        mod valkey_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = crate::shared::server(crate::lab::Kind::Valkey);
                crate::contract::$behaviour(crate::shared::bench(&server.url(), "test").await).await;
            })+
        }

        mod cluster_store {
            /// One cluster for all of them, and a ledger of its own for each: a cluster takes seconds to form.
            #[tokio::test]
            async fn the_contract_holds_on_three_primaries() {
                let cluster = crate::lab::Cluster::start(crate::lab::Kind::Redis7, 3, 0);
                $(
                    let instance = stringify!($behaviour).replace('_', "-");
                    let instance = &instance[..instance.len().min(32)];
                    println!("{instance}");
                    crate::contract::$behaviour(crate::shared::bench(&cluster.url(), instance).await).await;
                )+
            }
        }

        mod embedded_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let directory = tempfile::tempdir().unwrap();
                crate::contract::$behaviour(crate::on_disk(&directory)).await;
            })+
        }
    };
}

on_every_store! {
    a_hold_is_set_aside_and_its_commit_uses_it
    a_release_gives_everything_back
    a_repeat_is_replayed_and_another_request_with_its_id_is_refused
    a_change_of_a_reservation_that_moved_on_is_stale
    a_transaction_judged_by_an_older_document_is_stale
    a_transaction_judged_for_another_period_is_stale
    a_denial_lists_everything_that_stands_against_it_and_changes_nothing
    an_account_never_exceeds_the_largest_amount
    a_dry_run_answers_and_changes_nothing
    a_deadline_that_has_passed_gives_the_hold_back
    an_ended_reservation_is_forgotten_after_its_retention
    an_outage_s_hold_is_booked_into_overage_where_nothing_pays_and_settles_from_there
    a_hold_without_time_expires_at_once_and_its_commit_is_late
    documents_are_listed_in_order_page_by_page
    a_catalog_is_kept_under_its_first_text
    a_clock_that_runs_back_changes_no_decision
    everything_acknowledged_is_there_after_reopening
    concurrent_holds_on_one_allowance_are_granted_exactly_as_far_as_it_goes
    a_closed_store_answers_that_it_is_closing
    a_caller_that_goes_away_does_not_undo_its_call
}
