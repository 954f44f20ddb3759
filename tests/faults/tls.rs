//! Who does not know the authority, or is not known to it, gets no connection.

use std::path::Path;

use redis::{Client, ClientTlsConfig, RedisResult, TlsCertificates};

use super::lab::{Authority, Certificate, Clients, Cluster, Connection, Kind, Sentinels, Server, Settings, slot_of};

async fn ping(server: &Server, trusted: Option<&Authority>, shown: Option<&Certificate>) -> RedisResult<String> {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |path: &Path| std::fs::read(path).unwrap();
    let client_tls = shown.map(|shown| ClientTlsConfig { client_cert: read(&shown.certificate), client_key: read(&shown.key) });
    let root_cert = trusted.map(|authority| read(&authority.file()));
    let client = Client::build_with_tls(server.url(), TlsCertificates { client_tls, root_cert }).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("PING").query_async(&mut connection).await
}

#[tokio::test]
async fn server_is_believed_by_who_knows_its_authority() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Any));
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    assert_eq!(ping(&server, Some(&authority), None).await.unwrap(), "PONG");
    for trusted in [None, Some(&Authority::new())] {
        let refused = ping(&server, trusted, None).await.unwrap_err().to_string();
        assert!(refused.contains("UnknownIssuer") || refused.contains("BadSignature"), "{refused}");
    }
    // Not the protocol in the clear either.
    assert!(Connection::tcp(server.port()).unwrap().ask(&["PING"]).is_err());
    assert_eq!(server.command(&["PING"]), "PONG");
}

#[tokio::test]
async fn client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Certified));
    assert_eq!(ping(&server, Some(&authority), Some(&authority.issue("client"))).await.unwrap(), "PONG");
    let stranger = Authority::new();
    for shown in [None, Some(&stranger.issue("client"))] {
        assert!(ping(&server, Some(&authority), shown).await.is_err());
    }
}

#[tokio::test]
async fn failover_works_where_all_is_said_in_tls() {
    let authority = Authority::new();
    let settings = Settings::default().tls(&authority, Clients::Certified);
    let mut sentinels = Sentinels::start_with(Kind::Redis7, 1, settings.clone());
    assert!(sentinels.url().starts_with("rediss+sentinel://127.0.0.1:"));
    let killed = sentinels.kill_primary();
    assert_eq!(sentinels.wait_for_new_primary(killed).await, 1);

    let mut cluster = Cluster::start_with(Kind::Redis7, 3, 1, settings);
    assert!(cluster.url().starts_with("rediss-cluster://127.0.0.1:"));
    let slot = slot_of(b"key");
    let to = (cluster.primary_of(slot).unwrap() + 1) % 3;
    assert_eq!(cluster.migrate_slot(slot, to, async |_| {}).await, 0);
    let killed = cluster.kill_primary_of(slot);
    assert_eq!(cluster.wait_for_failover(slot, killed).await, to + 3);
}
