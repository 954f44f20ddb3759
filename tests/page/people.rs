//! What people meet: those who see, those who listen, those who have no mouse, and those with a small window.

use serde_json::{Value, json};

use crate::browser::look;
use crate::numbers::worked;

const OVERVIEW: &str = "/operations?refresh=off";
const SUBJECT: &str = "/operations/subjects?subject=aurora";
const PAGES: [&str; 5] = [OVERVIEW, "/operations/subjects", SUBJECT, "/operations/subjects?subject=nobody", "/operations?span=century"];

/// Every page in one scheme of colours.
async fn assert_accessible(scheme: &str) {
    let (sidecar, _) = worked().await;
    let visits: Vec<Value> = PAGES.iter().map(|path| json!({"path": path, "scheme": scheme, "axe": true})).collect();
    for (seen, visit) in look(&sidecar.http, &visits).iter().zip(&visits) {
        assert!(seen.violations.is_empty(), "{visit}: {:#?}", seen.violations);
        assert!(seen.title.ends_with(" · genquota") && !seen.heading.is_empty(), "{visit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_breaks_a_rule_of_accessibility_in_light() {
    assert_accessible("light").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_breaks_a_rule_of_accessibility_in_dark() {
    assert_accessible("dark").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overview_loads_itself_again_unless_it_is_told_not_to() {
    let (sidecar, _) = worked().await;
    let seen = look(&sidecar.http, &[json!({"path": "/operations?span=week", "axe": true})]).remove(0);
    // The rule forbids what cannot be switched off. It can, before anything else on the page is read.
    let broken: Vec<&str> = seen.violations.iter().map(|violation| violation.id.as_str()).collect();
    assert_eq!(broken, ["meta-refresh"], "{:#?}", seen.violations);
    let off = seen.links.iter().find(|link| link.text == "Stop that").unwrap();
    assert_eq!(off.href, "/operations?span=week&refresh=off");
    let page = sidecar.get(&off.href).body;
    assert!(!page.contains("http-equiv"), "it stands still");
    // And so it stays, wherever one goes from there.
    for link in
        ["/operations?span=day&#38;refresh=off", "/operations/subjects?refresh=off", "/operations/subjects?subject=aurora&#38;refresh=off"]
    {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_looked_up_with_the_keyboard_alone() {
    let (sidecar, _) = worked().await;
    let keys = json!([
        {"press": "Tab"}, {"until": "Subjects"}, {"go": "Enter"},
        {"until": "subject"}, {"type": "lantern"}, {"go": "Enter"},
        {"press": "Tab"}, {"press": "Enter"}, {"press": "Tab"},
    ]);
    let seen = look(&sidecar.http, &[json!({"path": OVERVIEW, "keys": keys})]).remove(0);
    let origin = format!("http://{}", sidecar.http);
    assert!(seen.address.starts_with(&format!("{origin}/operations/subjects?subject=lantern&refresh=off")), "{}", seen.address);
    assert_eq!(seen.heading, "Subject lantern");
    let hidden: Vec<_> = seen.stops.iter().filter(|stop| !stop.visible && stop.tag != "MAIN").collect();
    assert!(hidden.is_empty(), "the keyboard was where nobody sees it: {hidden:?}");
    assert_eq!(seen.stops[0].text, "Skip to the content");
    // The skip leads past the head: the next stop is the form.
    let last = &seen.stops[seen.stops.len() - 2..];
    assert_eq!((last[0].tag.as_str(), last[1].id.as_str()), ("MAIN", "subject"), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_asked_of_anybody_else_and_the_browser_has_nothing_to_complain_of() {
    let (sidecar, mut gateway) = worked().await;
    // Gateways are at work meanwhile.
    let load = tokio::spawn(async move {
        for number in 100.. {
            gateway.round(number).await;
        }
    });
    let visits: Vec<Value> = PAGES[..3].iter().map(|path| json!({"path": path})).collect();
    let origin = format!("http://{}/", sidecar.http);
    for seen in tokio::task::block_in_place(|| look(&sidecar.http, &visits)) {
        assert_eq!((seen.status, seen.told.as_slice(), seen.scripts), (200, [].as_slice(), 0), "{}", seen.address);
        assert!(seen.asked.len() >= 2 && seen.asked.iter().all(|address| address.starts_with(&origin)), "{:?}", seen.asked);
    }
    assert!(!load.is_finished(), "the load ran to the end");
    load.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_of_320_pixels_is_wide_enough() {
    let (sidecar, _) = worked().await;
    let visits: Vec<Value> = PAGES.iter().map(|path| json!({"path": path, "width": 320, "axe": *path == SUBJECT})).collect();
    for (seen, visit) in look(&sidecar.http, &visits).iter().zip(&visits) {
        assert_eq!(seen.overflow, 0, "{visit}");
        assert!(seen.violations.is_empty(), "{visit}: {:#?}", seen.violations);
    }
}
