//! What a change would do, before it is made: P13.

use genquota::proto::v1::{AllowanceAmount, AllowanceChange, BillingInterval, PreviewChangeResponse};

use crate::administrator::Change;
use crate::ask::{ask, bad_fields, images, instant, outputs};
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::NOON;

const NEXT: &str = "2026-04-10T00:00:00Z";

/// `present -> new, due`.
fn money(preview: &PreviewChangeResponse) -> String {
    format!("{} -> {}, {} {}", preview.present_price, preview.new_price, preview.amount_due, preview.currency)
}

/// `name: before -> after -> next period`, each as limit and what is left of it.
fn shown(change: &AllowanceChange) -> String {
    let amount = |amount: &Option<AllowanceAmount>| match amount {
        None => "none".to_owned(),
        Some(amount) if amount.unlimited => "unlimited".to_owned(),
        Some(amount) => format!("{}/{}", amount.limit, amount.available),
    };
    format!("{}: {} -> {} -> {}", change.allowance, amount(&change.before), amount(&change.after), amount(&change.next_period))
}

fn allowances(preview: &PreviewChangeResponse) -> Vec<String> {
    preview.allowances.iter().map(shown).collect()
}

#[tokio::test]
async fn from_10_to_25_dollars_costs_the_difference_for_the_rest_of_the_period() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "microbudget").await;
    acme.used(&ask("image.generate", "fal/flux-schnell", outputs(100))).await;
    server.clock.set("2026-03-10T12:00:01Z");
    let before = acme.seen(&[]).await;
    let table = [
        // 30.5 of 31 days are left of the difference of 15 dollars and of 700 credits.
        ("", "14.76", "credits: 300/200 -> 988/888 -> 1000/1000"),
        // Half of them.
        ("2026-03-25T12:00:00Z", "7.5", "credits: 300/200 -> 650/550 -> 1000/1000"),
        ("2026-04-09T00:00:00Z", "0.48", "credits: 300/200 -> 322/222 -> 1000/1000"),
        ("2026-04-09T23:59:59.999Z", "0", "credits: 300/200 -> 300/200 -> 1000/1000"),
    ];
    for (at, due, credits) in table {
        let preview = acme.preview("independent", at).await.unwrap();
        assert_eq!(money(&preview), format!("10 -> 25, {due} USD"), "{at}");
        assert_eq!(allowances(&preview), [credits], "{at}");
        assert_eq!(instant(preview.effective_time.as_ref()), if at.is_empty() { "2026-03-10T12:00:01Z" } else { at });
    }
    assert_eq!(acme.seen(&[]).await, before);
}

#[tokio::test]
async fn a_lower_plan_costs_nothing_and_waits() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    let preview = acme.preview("microbudget", "2026-03-25T12:00:00Z").await.unwrap();
    assert_eq!((instant(preview.effective_time.as_ref()).as_str(), money(&preview).as_str()), (NEXT, "25 -> 10, 0 USD"));
    assert_eq!(allowances(&preview), ["credits: 1000/1000 -> 1000/1000 -> 300/300"]);
    let same = acme.preview("independent", "").await.unwrap();
    assert_eq!(
        (money(&same).as_str(), allowances(&same)),
        ("25 -> 25, 0 USD", vec!["credits: 1000/1000 -> 1000/1000 -> 1000/1000".to_owned()])
    );
}

#[tokio::test]
async fn a_year_is_prorated_by_the_year_and_a_seat_costs_its_price() {
    let server = Server::example("avatar-studio", NOON).await;
    let (annual, team) = (server.subject("annual").await, server.subject("team").await);
    annual.subscribe("personal", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    // 73 of 365 days are left of the year that began on 10 March.
    server.clock.set("2026-12-27T00:00:00Z");
    let preview = annual.preview("team", "").await.unwrap();
    assert_eq!(money(&preview), "120 -> 300, 36 USD");
    team.subscribe("personal", |request| request.seats = Some(4)).await.unwrap();
    assert_eq!(team.preview("team", "").await.unwrap().new_price, "120");
}

#[tokio::test]
async fn without_prices_there_is_no_money_to_tell() {
    let server = Server::start(
        &plans(&[
            "low: {rank: 1, allowances: [{meter: units, amount: 10, per: user}]}",
            "high: {rank: 2, price: {month: 5}, allowances: [{id: pot, meter: units, amount: unlimited, per: subject}]}",
        ]),
        NOON,
    )
    .await;
    let acme = server.customer("acme", "low").await;
    let preview = acme.preview("high", "2026-03-11T12:00:00Z").await.unwrap();
    assert_eq!(money(&preview), " -> 5,  USD");
    // Each user has an account of their own: what is left is nobody's in particular.
    assert_eq!(allowances(&preview), ["pot: none -> unlimited -> unlimited", "units: 10/ -> 10/ -> none"]);
}

/// Every change between these plans, at several instants: the preview and then the change itself.
#[tokio::test]
async fn what_is_foreseen_is_what_happens() {
    let names = ["basic", "full", "prorated", "rounded"];
    let amounts = [10, 25, 40, 55];
    let terms = ["", "proration: full, ", "", "proration_round: {mode: half_up, to: 0.5}, "];
    let offers: Vec<String> = (0..names.len())
        .map(|rank| {
            let (name, amount, terms) = (names[rank], amounts[rank], terms[rank]);
            format!("{name}: {{rank: {rank}, {terms}allowances: [{{meter: units, amount: {amount}, per: subject}}]}}")
        })
        .collect();
    let server = Server::start(&plans(&offers.iter().map(String::as_str).collect::<Vec<_>>()), NOON).await;
    let mut customers = Vec::new();
    for from in names {
        for to in names {
            for day in ["10T12:00:01", "17T05:06:07", "25T12:00:00", "31T23:59:59"] {
                let acme = server.customer(&format!("{from}.{to}.{day}"), from).await;
                acme.used(&images(7)).await;
                customers.push((day, acme, to));
            }
        }
    }
    customers.sort_by_key(|(day, ..)| *day);
    for (day, acme, to) in &customers {
        let at = format!("2026-03-{day}Z");
        let foreseen = acme.preview(to, &at).await.unwrap().allowances.remove(0);
        server.clock.set(&at);
        assert_eq!(acme.preview(to, "").await.unwrap().allowances[0], foreseen);
        acme.changed(Change::Plan(to)).await;
        let balance = acme.balance().await;
        let after = foreseen.after.unwrap();
        assert_eq!((&balance.sources[0].limit, &balance.available), (&after.limit, &after.available), "{}", acme.subject);
        // Nothing more is to come of it.
        let again = acme.preview(to, "").await.unwrap();
        assert_eq!(again.allowances[0].next_period, foreseen.next_period, "{}", acme.subject);
    }
    server.clock.set(NEXT);
    for (_, acme, to) in &customers {
        let amount = amounts[names.iter().position(|name| name == to).unwrap()];
        assert_eq!(acme.left().await, amount.to_string(), "{}", acme.subject);
    }
}

#[tokio::test]
async fn only_a_change_that_could_be_made_is_foreseen() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "microbudget").await;
    assert_eq!(bad_fields(&acme.preview("gold", "").await.unwrap_err()), ["plan"]);
    for at in ["2026-03-10T11:59:59.999Z", NEXT, "2027-01-01T00:00:00Z"] {
        assert_eq!(bad_fields(&acme.preview("independent", at).await.unwrap_err()), ["at"], "{at}");
    }
}
