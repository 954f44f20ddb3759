//! The sidecar dies, the gateway dies, the disk is full: what was settled is booked once, and what cannot be is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use genquota::client::v1::{Outcome, State};
use genquota::client::{Again, Booking, Client, Decision, Delivered, Ending, Error, Guard, Journal, Options, Work};

use crate::sidecar::{ALLOWANCE, Sidecar, ask, balance, look, until_state};
use crate::until;

async fn held(client: &Client, id: &str, count: u32) -> Guard {
    match client.reserve(ask(count).reservation_id(id)).await.unwrap() {
        Decision::Held(guard) => guard,
        Decision::Denied(denial) => panic!("denied: {}", denial.message),
    }
}

fn waiting(client: &Client) -> usize {
    client.journal().unwrap().waiting()
}

async fn drained(client: &Client) {
    until("the journal to be drained", async || (waiting(client) == 0).then_some(())).await;
}

#[tokio::test]
async fn what_is_settled_while_the_sidecar_is_dead_is_booked_once_when_it_is_back() {
    let mut sidecar = Sidecar::start();
    let client = sidecar.journalled("journal");
    let (delivered, failed, dropped) = (held(&client, "c", 4).await, held(&client, "r", 2).await, held(&client, "d", 1).await);
    sidecar.kill();
    let (delivered, failed) = tokio::join!(delivered.commit(Work::outputs(3)), failed.release(Outcome::Failed));
    assert_eq!((delivered.unwrap().booking, failed.unwrap().booking), (Booking::Journalled, Booking::Journalled));
    drop(dropped);
    client.finish().await;
    assert_eq!(waiting(&client), 3);
    sidecar.restart();
    drained(&client).await;
    assert_eq!(look(&client, "c").await.unwrap().units_committed, "3");
    for id in ["r", "d"] {
        assert_eq!(look(&client, id).await.unwrap().state(), State::Released, "{id}");
    }
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 3, 3));
    assert!(client.journal().unwrap().dead_letters().is_empty());
}

/// The answer is lost, not the commit: what is replayed has been done already.
#[tokio::test]
async fn what_was_booked_and_not_heard_of_is_not_booked_again() {
    let mut sidecar = Sidecar::start();
    let client = sidecar.journalled("journal");
    let guard = held(&client, "twice", 4).await;
    let done = sidecar.client();
    done.resume("acme", "twice").await.unwrap().commit(Work::outputs(4)).await.unwrap();
    sidecar.kill();
    assert_eq!(guard.commit(Work::outputs(4)).await.unwrap().booking, Booking::Journalled);
    sidecar.restart();
    drained(&client).await;
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 4, 4));
    assert!(client.journal().unwrap().dead_letters().is_empty());
}

#[tokio::test]
async fn without_a_journal_a_settlement_that_cannot_be_sent_is_an_error() {
    let mut sidecar = Sidecar::start();
    let client = sidecar.client();
    let guard = held(&client, "r", 4).await;
    sidecar.kill();
    let error = guard.commit(Delivered::as_reserved()).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    sidecar.restart();
    assert_eq!(look(&client, "r").await.unwrap().state(), State::Held);
}

#[tokio::test]
async fn a_sidecar_that_comes_back_in_time_is_heard_without_an_error() {
    let mut sidecar = Sidecar::start();
    let client = sidecar.client();
    let guard = held(&client, "before", 1).await;
    sidecar.kill();
    let (committing, reserving) = (guard.commit(Delivered::as_reserved()), held(&client, "meanwhile", 1));
    let restart = async { sidecar.restart() };
    let (committed, meanwhile, ()) = tokio::join!(committing, reserving, restart);
    assert_eq!(committed.unwrap().booking, Booking::Booked);
    meanwhile.commit(Delivered::as_reserved()).await.unwrap();
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 2, 2));
}

#[tokio::test]
async fn a_journal_without_room_refuses_and_says_so() {
    let mut sidecar = Sidecar::start();
    let client = Client::journalled(sidecar.connection(), Journal::open_with_room(sidecar.path("journal"), 1).unwrap());
    let (first, second) = (held(&client, "first", 1).await, held(&client, "second", 1).await);
    sidecar.kill();
    first.commit(Delivered::as_reserved()).await.unwrap();
    let error = second.commit(Delivered::as_reserved()).await.unwrap_err();
    assert!(matches!(error, Error::Unsettled { .. }) && error.to_string().contains("full"), "{error}");
    sidecar.restart();
    until_state(&client, "first", State::Committed).await;
    assert_eq!(look(&client, "second").await.unwrap().state(), State::Held);
}

/// A gateway that is given the directory of its sidecar's journal must not take its entries for its own.
#[tokio::test]
async fn the_journal_of_a_sidecar_is_not_read_as_a_gateways() {
    let dir = tempfile::tempdir().unwrap();
    drop(genquota::store::journal::Journal::open(dir.path(), 1).unwrap());
    assert_eq!(Journal::open(dir.path()).unwrap().waiting(), 0);
    assert!(dir.path().join("journal.redb").is_file() && dir.path().join("settlements.redb").is_file());
}

#[tokio::test]
async fn a_journal_is_one_clients_at_a_time() {
    let sidecar = Sidecar::start();
    let _client = sidecar.journalled("journal");
    let error = Journal::open(sidecar.path("journal")).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[tokio::test]
async fn a_gateway_that_does_not_want_to_wait_is_refused_at_once() {
    let mut sidecar = Sidecar::start();
    let client = Client::with(sidecar.connection(), Options { patience: Duration::ZERO, ..Options::default() });
    sidecar.kill();
    let refusal = client.reserve(ask(1)).await.unwrap_err().refusal().unwrap().clone();
    assert_eq!(refusal.again(), Again::Soon, "{refusal:?}");
}

/// Writes a commit of four into a journal while the sidecar is dead, then has the reservation released by somebody else.
async fn overtaken(sidecar: &mut Sidecar) {
    let client = sidecar.journalled("journal");
    let guard = held(&client, "overtaken", 4).await;
    sidecar.kill();
    guard.commit(Work::outputs(4)).await.unwrap();
    drop(client);
    sidecar.restart();
    let other = sidecar.client().resume("acme", "overtaken").await.unwrap();
    other.release(Outcome::Failed).await.unwrap();
}

#[tokio::test]
async fn what_is_refused_for_good_is_told_and_kept_until_somebody_takes_it_out() {
    let mut sidecar = Sidecar::start();
    overtaken(&mut sidecar).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = told.clone();
    // The journal of the client before is free once its tasks are gone.
    let journal = until("the journal", async || Journal::open(sidecar.path("journal")).ok()).await;
    let client = Client::journalled(sidecar.connection(), journal.on_dead_letter(move |letter| hear.lock().unwrap().push(letter.clone())));
    until("a dead letter", async || (!told.lock().unwrap().is_empty()).then_some(())).await;
    let letters = client.journal().unwrap().dead_letters();
    assert_eq!(*told.lock().unwrap(), letters);
    assert!(matches!(&letters[0].ending, Ending::Commit(commit) if commit.reservation_id == "overtaken"), "{letters:?}");
    assert!(letters[0].reason.contains("RESERVATION_SETTLED"), "{letters:?}");
    drop(client);

    let journal = until("the journal", async || Journal::open(sidecar.path("journal")).ok()).await;
    assert_eq!(journal.dead_letters(), letters, "after a restart");
    let client = Client::journalled(sidecar.connection(), journal);
    let journal = client.journal().unwrap();
    assert!(journal.revive(letters[0].number).await.unwrap());
    until("it to be refused again", async || (journal.dead_letters().len() == 1).then_some(())).await;
    assert!(journal.discard(journal.dead_letters()[0].number).await.unwrap());
    assert!(journal.dead_letters().is_empty() && !journal.discard(letters[0].number).await.unwrap());
}

#[tokio::test]
async fn a_fault_in_whoever_hears_of_dead_letters_stops_nothing() {
    let mut sidecar = Sidecar::start();
    overtaken(&mut sidecar).await;
    let journal = until("the journal", async || Journal::open(sidecar.path("journal")).ok()).await;
    let journal = journal.on_dead_letter(|letter| panic!("a fault, on hearing of {}", letter.number));
    let client = Client::journalled(sidecar.connection(), journal);
    until("a dead letter", async || (client.journal().unwrap().dead_letters().len() == 1).then_some(())).await;
    let guard = held(&client, "after", 1).await;
    sidecar.kill();
    guard.commit(Delivered::as_reserved()).await.unwrap();
    sidecar.restart();
    until_state(&client, "after", State::Committed).await;
}

/// Its units have gone back by themselves, and that was all that the release was for.
#[tokio::test]
async fn a_release_that_comes_after_the_deadline_is_nothing_to_tell() {
    let mut sidecar = Sidecar::start();
    let client = sidecar.journalled("journal");
    let request = ask(1).ttl(Duration::from_secs(1)).reservation_id("expired");
    let Decision::Held(guard) = client.reserve(request).await.unwrap() else { panic!("denied") };
    sidecar.kill();
    drop(guard);
    client.finish().await;
    drop(client);
    sidecar.restart();
    let other = sidecar.client();
    until_state(&other, "expired", State::Expired).await;
    let journal = until("the journal", async || Journal::open(sidecar.path("journal")).ok()).await;
    assert_eq!(journal.waiting(), 1);
    let client = Client::journalled(sidecar.connection(), journal);
    drained(&client).await;
    assert!(client.journal().unwrap().dead_letters().is_empty());
}
