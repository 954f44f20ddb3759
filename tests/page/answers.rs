//! What the admin port answers as such: headers, refusals, escaping, pages.

use crate::gateway::Ask;
use crate::http::ask;
use crate::sidecar::Sidecar;

#[tokio::test]
async fn every_answer_forbids_scripts_frames_other_origins_and_storing() {
    let sidecar = Sidecar::start();
    for (address, status) in [
        ("/", 303),
        ("/operations", 200),
        ("/operations?span=century", 400),
        ("/operations.json", 200),
        ("/operations.json?span=century", 400),
        ("/operations/subjects", 200),
        ("/operations/subjects?subject=nobody", 404),
        ("/operations/subjects?subject=a%20b", 400),
        ("/operations/subjects?subject=a&subject=b", 400),
        ("/operations/style.css", 200),
        ("/operations/icon.svg", 200),
    ] {
        let answer = sidecar.get(address);
        assert_eq!(answer.status, status, "{address}");
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            "{address}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{address}");
        }
    }
    assert_eq!(sidecar.get("/").header("location"), "/operations");
    assert_eq!(ask(&sidecar.http, "POST", "/operations").status, 405);
}

#[tokio::test]
async fn whatever_a_caller_wrote_is_text() {
    let sidecar = Sidecar::start();
    let mut gateway = sidecar.gateway().await;
    gateway.sign_up().await;
    let hostile = &[("note", "</td><script>alert(1)</script>"), ("quote", "\" onload='x'")];
    let asked = Ask { labels: hostile, ..Ask::images("lantern", "ana", "fal/flux-schnell", 1) };
    gateway.made("g-1", &asked).await;
    let page = sidecar.get("/operations/subjects?subject=lantern").body;
    assert!(page.contains("note=&#60;/td&#62;&#60;script&#62;alert(1)&#60;/script&#62;"), "{page}");
    assert!(page.contains("quote=&#34; onload=&#39;x&#39;"));
    // What stands in an address is shown in the refusal, and in the form.
    let refused = sidecar.get("/operations/subjects?subject=%22%3E%3Cscript%3E");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("value=\"&#34;&#62;&#60;script&#62;\""), "{}", refused.body);
    let refused = sidecar.get("/operations?span=%3Cscript%3E").body;
    for text in [&page, &refused] {
        assert!(!text.contains("<script") && !text.contains("' onload"), "{text}");
    }
}

#[tokio::test]
async fn who_is_not_known_is_said_with_what_to_do() {
    let sidecar = Sidecar::start();
    let answer = sidecar.get("/operations/subjects?subject=nobody");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("subject `nobody` is not known") && answer.body.contains("hint: "), "{}", answer.body);
    assert!(answer.body.contains("value=\"nobody\""), "the form still says it");
    // Who was never made and used the default plan is known.
    let mut gateway = sidecar.gateway().await;
    gateway.made("g-1", &Ask::images("walk-in", "", "fal/flux-schnell", 2)).await;
    let answer = sidecar.get("/operations/subjects?subject=walk-in");
    assert_eq!(answer.status, 200);
    for part in ["nobody has made it; it counts all the same", ">microbudget<", ", the default", ">g-1<"] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
}

#[tokio::test]
async fn pages_of_a_history_follow_each_other_without_a_gap() {
    let sidecar = Sidecar::start();
    let mut gateway = sidecar.gateway().await;
    gateway.sign_up().await;
    for number in 0..60 {
        gateway
            .made(&format!("g-{number:02}"), &Ask::images("lantern", if number % 2 == 0 { "ana" } else { "bob" }, "fal/flux-schnell", 1))
            .await;
    }
    for (user, mut expected) in
        [("", (0..60).rev().collect::<Vec<_>>()), ("&user=bob", (0..60).rev().filter(|number| number % 2 == 1).collect())]
    {
        let mut address = format!("/operations/subjects?subject=lantern{user}");
        let mut pages = 0;
        loop {
            let page = sidecar.get(&address).body;
            pages += 1;
            for id in page.split("<span class=\"id\">g-").skip(1).map(|rest| rest[..2].parse::<i32>().unwrap()) {
                assert_eq!(id, expected.remove(0), "{address}");
            }
            let Some((_, rest)) = page.split_once("<a rel=\"next\" href=\"") else { break };
            address = rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&");
        }
        assert!(expected.is_empty() && pages >= 2, "{pages} pages, left: {expected:?}");
    }
    let refused = sidecar.get("/operations/subjects?subject=lantern&before=yesterday");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("`before` is no place in a history"));
}

#[tokio::test]
async fn the_list_of_subjects_has_everybody_once() {
    let sidecar = Sidecar::start();
    let mut gateway = sidecar.gateway().await;
    let names: Vec<String> = (0..120).map(|number| format!("team-{number:03}")).collect();
    for name in &names {
        gateway.create(name).await;
    }
    let mut listed = Vec::new();
    let mut address = "/operations/subjects".to_owned();
    loop {
        let page = sidecar.get(&address).body;
        listed.extend(
            page.split("<th scope=\"row\"><a href=\"/operations/subjects?subject=")
                .skip(1)
                .map(|rest| rest.split('"').next().unwrap().to_owned()),
        );
        let Some((_, rest)) = page.split_once("<a rel=\"next\" href=\"") else { break };
        address = rest.split('"').next().unwrap().to_owned();
    }
    assert_eq!(listed, names);
}

#[tokio::test]
async fn programs_are_told_the_same_as_people() {
    let sidecar = Sidecar::start();
    let mut gateway = sidecar.gateway().await;
    gateway.sign_up().await;
    gateway.round(0).await;
    let answer = sidecar.get("/operations.json?span=week");
    assert_eq!(answer.header("content-type"), "application/json");
    let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let (start, end) = (told["costs"]["start"].as_str().unwrap(), told["costs"]["end"].as_str().unwrap());
    let sums = gateway.sums(start, end).await;
    assert_eq!(told["costs"]["rows"].as_array().unwrap().len(), sums.len());
    for row in told["costs"]["rows"].as_array().unwrap() {
        let sum = sums.iter().find(|sum| row["provider"] == sum.provider && row["model"] == sum.model).unwrap();
        assert_eq!((row["cost"].as_str(), row["attempts"].as_i64()), (Some(sum.cost.as_str()), Some(sum.attempts)));
    }
    assert_eq!(told["costs"]["charts"][0]["steps"].as_array().unwrap().len(), 28);
    assert_eq!((told["span"].as_str(), told["sidecar"]["ready"].as_bool()), (Some("week"), Some(true)));
    let refused: serde_json::Value = serde_json::from_str(&sidecar.get("/operations.json?span=x").body).unwrap();
    assert_eq!((refused["status"].as_u64(), refused["hint"].is_string()), (Some(400), true));
}
