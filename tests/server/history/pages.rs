//! Pages of generations, their filters and their tokens, on every store.

use genquota::proto::v1::ListGenerationsRequest;
use jiff::SignedDuration;

use crate::ask::{bad_fields, images, time};
use crate::caller::Caller;
use crate::harness::Server;
use crate::stores::on_every_store;

on_every_store! { crate::catalogs::monthly("1000");
    pages_of_three_tell_each_generation_once_while_new_ones_arrive
    the_last_page_says_that_it_is_the_last
    filters_choose_by_user_and_by_when_a_generation_began
    a_user_of_few_among_many_is_found_page_by_page
    a_token_is_good_for_the_filters_it_was_made_for
    a_bad_field_is_named
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

async fn page(caller: &Caller, with: impl FnOnce(&mut ListGenerationsRequest)) -> (Vec<String>, String) {
    let page = caller.generations(with).await.unwrap();
    (page.generations.into_iter().map(|one| one.generation_id).collect(), page.next_page_token)
}

/// Ten generations, a second apart; every second one by Ann.
async fn ten(server: &Server) -> Caller {
    let acme = server.customer("acme", "pro").await;
    for number in 0..10 {
        let ask = images(1).id(&format!("g{number}"));
        acme.used(&if number % 2 == 0 { ask.user("ann") } else { ask }).await;
        server.clock.advance(SECOND);
    }
    acme
}

async fn pages_of_three_tell_each_generation_once_while_new_ones_arrive(server: &Server) {
    let acme = ten(server).await;
    let (mut found, mut token) = (Vec::new(), String::new());
    for round in 0..4 {
        let (ids, next) = page(&acme, |request| (request.page_size, request.page_token) = (3, token.clone())).await;
        assert_eq!(ids.len(), if round < 3 { 3 } else { 1 });
        found.extend(ids);
        token = next;
        // A new generation, and new reservations of those that were told last, that are told now, and that are still to come.
        acme.used(&images(1).id(&format!("new{round}"))).await;
        for of in ["g9", "g6", "g0"] {
            acme.used(&images(1).id(&format!("again{round}{of}")).generation(of)).await;
        }
        server.clock.advance(SECOND);
    }
    assert_eq!(token, "");
    assert_eq!(found, ["g9", "g8", "g7", "g6", "g5", "g4", "g3", "g2", "g1", "g0"]);
    let (all, _) = page(&acme, |_| {}).await;
    assert_eq!(all[..5], ["new3", "new2", "new1", "new0", "g9"]);
    assert_eq!(all.len(), 14);
}

async fn the_last_page_says_that_it_is_the_last(server: &Server) {
    let acme = ten(server).await;
    for (size, pages) in [(1, 10), (2, 5), (5, 2), (9, 2), (10, 1), (11, 1), (1000, 1)] {
        let (mut token, mut count) = (String::new(), 0);
        loop {
            let (_, next) = page(&acme, |request| (request.page_size, request.page_token) = (size, token.clone())).await;
            count += 1;
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(count, pages, "pages of {size}");
    }
}

async fn filters_choose_by_user_and_by_when_a_generation_began(server: &Server) {
    let acme = ten(server).await;
    // It is Ann's, whoever goes on with it.
    acme.used(&images(1).id("more").user("ben").generation("g8")).await;
    let (ids, _) = page(&acme, |request| request.user = "ann".to_owned()).await;
    assert_eq!(ids, ["g8", "g6", "g4", "g2", "g0"]);
    assert!(page(&acme, |request| request.user = "ben".to_owned()).await.0.is_empty());
    let at = |second: u32| Some(time(&format!("2026-03-10T12:00:{second:02}Z")));
    let (ids, _) = page(&acme, |request| (request.start_time, request.end_time) = (at(3), at(6))).await;
    assert_eq!(ids, ["g5", "g4", "g3"]);
    let (ids, _) = page(&acme, |request| request.start_time = at(8)).await;
    assert_eq!(ids, ["g9", "g8"]);
    let (ids, _) = page(&acme, |request| request.end_time = at(1)).await;
    assert_eq!(ids, ["g0"]);

    let both = |request: &mut ListGenerationsRequest| {
        (request.user, request.start_time, request.end_time, request.page_size) = ("ann".to_owned(), at(1), at(9), 3);
    };
    let (ids, token) = page(&acme, both).await;
    assert_eq!(ids, ["g8", "g6", "g4"]);
    let rest = page(&acme, |request| {
        both(request);
        request.page_token = token;
    });
    assert_eq!(rest.await, (vec!["g2".to_owned()], String::new()));
}

async fn a_user_of_few_among_many_is_found_page_by_page(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1).id("first").user("ann")).await;
    for number in 0..230 {
        acme.record(&images(1).id(&format!("r{number}")), |_| {}).await.unwrap();
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let (ids, next) = page(&acme, |request| (request.user, request.page_token) = ("ann".to_owned(), token.clone())).await;
        found.extend(ids);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["first"]);
    let (all, _) = page(&acme, |request| request.page_size = 1000).await;
    assert_eq!(all.len(), 231);
}

async fn a_token_is_good_for_the_filters_it_was_made_for(server: &Server) {
    let acme = ten(server).await;
    let bolt = server.customer("bolt", "pro").await;
    let (_, token) = page(&acme, |request| request.page_size = 2).await;
    let (ids, _) = page(&acme, |request| (request.page_size, request.page_token) = (5, token.clone())).await;
    assert_eq!(ids, ["g7", "g6", "g5", "g4", "g3"], "the size of a page is no filter");
    assert_eq!(bad_fields(&bolt.generations(|request| request.page_token.clone_from(&token)).await.unwrap_err()), ["page_token"]);
    let other: [fn(&mut ListGenerationsRequest); 3] = [
        |request| request.user = "ann".to_owned(),
        |request| request.start_time = Some(time("2026-03-10T12:00:01Z")),
        |request| request.end_time = Some(time("2026-03-10T12:00:09Z")),
    ];
    for other in other {
        let error = acme.generations(|request| {
            request.page_token.clone_from(&token);
            other(request);
        });
        assert_eq!(bad_fields(&error.await.unwrap_err()), ["page_token"]);
    }
    for malformed in ["?".to_owned(), "AAAA".to_owned(), token[1..].to_owned(), format!("{token}A"), token.to_lowercase()] {
        let error = acme.generations(|request| request.page_token.clone_from(&malformed)).await.unwrap_err();
        assert_eq!(bad_fields(&error), ["page_token"], "{malformed}");
    }
}

async fn a_bad_field_is_named(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let error = acme.generations(|request| {
        (request.subject, request.user, request.page_size) = (String::new(), "no blanks".to_owned(), 1001);
        request.start_time = Some(time("2026-03-10T12:00:00Z"));
        request.end_time = Some(time("2026-03-10T12:00:00Z"));
    });
    assert_eq!(bad_fields(&error.await.unwrap_err()), ["subject", "user", "end_time", "page_size"]);
    let error = acme.generations(|request| request.page_size = -1).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["page_size"]);
}
