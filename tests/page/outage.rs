//! A page that is looked at because the store is away must not be away with it.

use crate::gateway::Ask;
use crate::lab::{Aof, Kind, Server, Settings, wait_for};
use crate::sidecar::Sidecar;

#[tokio::test]
async fn a_store_that_is_away_is_told_in_its_place_and_nothing_else_is_lost() {
    let mut server = Server::start(Kind::Redis8, Settings::default().aof(Aof::Always));
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::with(&["--store", &server.url(), "--journal", dir.path().to_str().unwrap()]);
    let mut gateway = sidecar.gateway().await;
    gateway.sign_up().await;
    gateway.made("g-1", &Ask::images("lantern", "ana", "fal/flux-pro-1.1", 2)).await;
    let well = sidecar.get("/operations");
    assert!(well.body.contains("fal/<wbr>flux-pro-1.1") && well.body.contains(" answers</dd>"), "{}", well.body);
    assert_eq!(sidecar.get("/operations/subjects?subject=lantern").status, 200);

    server.kill();
    wait_for("the probes to notice", || (sidecar.get("/readyz").status == 503).then_some(()));
    let away = sidecar.get("/operations");
    assert_eq!(away.status, 200);
    for part in [
        "Not ready",
        "the store gives no answer",
        "hint: ",
        "gives no answer; work is refused",
        "<dt>Journal</dt><dd>0 queued",
        "id=\"denials\"",
    ] {
        assert!(away.body.contains(part), "{part}: {}", away.body);
    }
    for address in ["/operations/subjects", "/operations/subjects?subject=lantern"] {
        let answer = sidecar.get(address);
        assert_eq!(answer.status, 503, "{address}");
        assert!(answer.body.contains("the store gives no answer") && answer.body.contains("hint: "), "{}", answer.body);
    }
    server.restart();
    wait_for("the store", || (sidecar.get("/readyz").status == 200).then_some(()));
    assert_eq!(sidecar.get("/operations/subjects?subject=lantern").status, 200);
}
