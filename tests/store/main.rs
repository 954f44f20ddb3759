//! The store's contract, written once and run on every store; and what the embedded store promises beyond it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first thing that is not as it says")]

mod contract;
mod costs;
mod crash;
mod embedded;
mod events;
mod fixtures;
mod history;
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
use std::sync::{Arc, Mutex};

use genquota::clock::ManualClock;
use genquota::domain::ledger::Event;
use genquota::store::embedded::{EmbeddedStore, Options};
use genquota::store::{Observer, Store};

use self::fixtures::{OPTIONS, start};

/// A store under test, with the clock it runs by.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    /// Closes the store and opens what it kept; `None` for a store that keeps nothing.
    pub reopen: Option<Reopen>,
    /// Gives back what is due and trims what is outdated.
    pub sweep: Sweep,
    /// What the observer was told.
    pub seen: Seen,
}

pub type Seen = Arc<Mutex<Vec<Event>>>;
pub type Sweep = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

pub type Reopen = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> + Send + Sync>;

/// The options of a bench, its observer among them.
fn observed(seen: &Seen) -> Options {
    let seen = seen.clone();
    Options { observer: Some(Observer::new(move |event| seen.lock().unwrap().push(event.clone()))), ..OPTIONS }
}

/// This store does that before whatever it is asked.
fn sweep_by_asking(store: Arc<dyn Store>) -> Sweep {
    Box::new(move || {
        let store = store.clone();
        Box::pin(async move {
            store.documents(None, 0).await.unwrap();
        })
    })
}

fn memory() -> Bench {
    let (clock, seen) = (Arc::new(ManualClock::at(start())), Seen::default());
    let store = Arc::new(EmbeddedStore::in_memory(observed(&seen), clock.clone()).unwrap());
    Bench { sweep: sweep_by_asking(store.clone()), store, clock, reopen: None, seen }
}

fn on_disk(directory: &tempfile::TempDir) -> Bench {
    let (clock, seen) = (Arc::new(ManualClock::at(start())), Seen::default());
    let path = directory.path().join("store");
    let store = Arc::new(EmbeddedStore::open(&path, observed(&seen), clock.clone()).unwrap());
    let again = (store.clone(), path, clock.clone());
    let reopen = move || -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> {
        let (store, path, clock) = again.clone();
        Box::pin(async move {
            store.close().await;
            Arc::new(EmbeddedStore::open(&path, OPTIONS, clock).unwrap()) as Arc<dyn Store>
        })
    };
    Bench { sweep: sweep_by_asking(store.clone()), store, clock, reopen: Some(Box::new(reopen)), seen }
}

/// Runs each behaviour of the contract on each store.
macro_rules! on_every_store {
    ($($room:ident::$behaviour:ident)+) => {
        mod memory_store {
            $(#[tokio::test]
            async fn $behaviour() {
                crate::$room::$behaviour(crate::memory()).await;
            })+
        }

        mod redis_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = crate::shared::server(crate::lab::Kind::Redis7);
                crate::$room::$behaviour(crate::shared::bench(&server.url(), "test").await).await;
            })+
        }

        mod redis_8_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = crate::shared::server(crate::lab::Kind::Redis8);
                crate::$room::$behaviour(crate::shared::bench(&server.url(), "test").await).await;
            })+
        }

        mod valkey_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = crate::shared::server(crate::lab::Kind::Valkey);
                crate::$room::$behaviour(crate::shared::bench(&server.url(), "test").await).await;
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
                    crate::$room::$behaviour(crate::shared::bench(&cluster.url(), instance).await).await;
                )+
            }
        }

        mod embedded_store {
            $(#[tokio::test]
            async fn $behaviour() {
                let directory = tempfile::tempdir().unwrap();
                crate::$room::$behaviour(crate::on_disk(&directory)).await;
            })+
        }
    };
}

on_every_store! {
    contract::a_hold_is_set_aside_and_its_commit_uses_it
    contract::a_release_gives_everything_back
    contract::a_repeat_is_replayed_and_another_request_with_its_id_is_refused
    contract::a_change_of_a_reservation_that_moved_on_is_stale
    contract::a_transaction_judged_by_an_older_document_is_stale
    contract::a_transaction_judged_for_another_period_is_stale
    contract::a_denial_lists_everything_that_stands_against_it_and_changes_nothing
    contract::an_account_never_exceeds_the_largest_amount
    contract::a_dry_run_answers_and_changes_nothing
    contract::a_deadline_that_has_passed_gives_the_hold_back
    contract::an_ended_reservation_is_forgotten_after_its_retention
    contract::an_outage_s_hold_is_booked_into_overage_where_nothing_pays_and_settles_from_there
    contract::a_hold_without_time_expires_at_once_and_its_commit_is_late
    contract::documents_are_listed_in_order_page_by_page
    contract::a_catalog_is_kept_under_its_first_text
    contract::a_clock_that_runs_back_changes_no_decision
    contract::everything_acknowledged_is_there_after_reopening
    contract::concurrent_holds_on_one_allowance_are_granted_exactly_as_far_as_it_goes
    contract::a_closed_store_answers_that_it_is_closing
    contract::a_caller_that_goes_away_does_not_undo_its_call
    contract::a_refund_gives_back_what_was_committed_and_leaves_its_end_alone
    contract::a_refund_takes_its_units_off_the_sums_of_the_hour_it_is_made_in
    contract::a_refund_keeps_no_reservation_longer_than_it_was_to_be_kept
    contract::a_correction_moves_an_account_in_the_step_that_changes_the_document
    events::each_change_leaves_one_event_in_the_order_of_its_subject
    events::events_are_read_page_by_page_from_any_place
    events::a_reader_from_the_end_finds_what_comes_and_nothing_else
    events::an_observer_is_told_each_change_once_and_no_dry_run_or_repeat
    events::a_reader_is_told_when_something_was_changed_here
    events::events_have_the_same_places_after_reopening
    events::events_that_are_outdated_are_gone_and_a_reader_behind_them_is_told_so
    events::a_reader_at_the_end_of_an_idle_stream_misses_nothing_when_all_is_outdated
    events::a_place_that_the_ledger_never_reached_is_none_to_go_on_from
    history::a_history_is_told_page_by_page_the_generation_that_began_last_first
    history::the_reservations_of_a_generation_stand_together_where_it_began
    history::reservations_of_one_instant_are_all_told_whatever_the_pages
    history::a_history_tells_reservations_as_they_stand
    history::what_is_forgotten_leaves_the_history_and_its_generation_may_begin_anew
    costs::sums_of_closed_attempts_are_kept_as_long_as_they_are_to_be_and_no_longer
}
