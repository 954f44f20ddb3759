//! TLS, certificates and tokens, as the client and the command line show them, against a server that tells what it was shown.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use genquota::client::{ConnectError, Connection, Connector, Token};
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::proto::v1::quota_service_server::{QuotaService, QuotaServiceServer};
use genquota::proto::v1::{GetBalanceRequest, GetBalanceResponse};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::lab::{Authority, PATIENCE};
use crate::until;

/// Tells as the plan of a balance which token it was shown.
#[derive(Clone, Default)]
struct Porter(Arc<Mutex<Vec<String>>>);

#[tonic::async_trait]
impl QuotaService for Porter {
    async fn get_balance(&self, request: Request<GetBalanceRequest>) -> Result<Response<GetBalanceResponse>, Status> {
        let shown = request.metadata().get("authorization").map_or("nothing", |value| value.to_str().unwrap());
        self.0.lock().unwrap().push(shown.to_owned());
        Ok(Response::new(GetBalanceResponse { plan: shown.to_owned(), ..Default::default() }))
    }
}

struct Served {
    address: SocketAddr,
    porter: Porter,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Served {
    /// Over TLS it asks for a certificate of the same authority.
    async fn start(address: &str, authority: Option<&Authority>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let porter = Porter::default();
        let mut server = Server::builder();
        if let Some(authority) = authority {
            let issued = authority.issue("server");
            let identity = Identity::from_pem(std::fs::read(issued.certificate).unwrap(), std::fs::read(issued.key).unwrap());
            let ca = Certificate::from_pem(std::fs::read(authority.file()).unwrap());
            server = server.tls_config(ServerTlsConfig::new().identity(identity).client_ca_root(ca)).unwrap();
        }
        let service = server.add_service(QuotaServiceServer::new(porter.clone()));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serve = async move { service.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped).await.unwrap() };
        Self { address, porter, stop, served: tokio::spawn(serve) }
    }

    /// Ends it with all its connections.
    async fn stop(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }

    fn at(&self, scheme: &str) -> Connector {
        Connector::new(format!("{scheme}://{}", self.address).parse().unwrap()).timeout(PATIENCE)
    }
}

/// Certificates and a token as a secret store mounts them: what is read lies behind a link that is swapped.
struct Mounted {
    dir: tempfile::TempDir,
    versions: usize,
}

impl Mounted {
    fn new(authority: &Authority, token: &str) -> Self {
        let mut mounted = Self { dir: tempfile::tempdir().unwrap(), versions: 0 };
        mounted.swap(authority, token);
        for name in ["ca.pem", "cert.pem", "key.pem", "token"] {
            symlink(Path::new("present").join(name), mounted.file(name)).unwrap();
        }
        mounted
    }

    fn swap(&mut self, authority: &Authority, token: &str) {
        self.versions += 1;
        let version = self.dir.path().join(self.versions.to_string());
        std::fs::create_dir(&version).unwrap();
        let issued = authority.issue("gateway");
        std::fs::copy(authority.file(), version.join("ca.pem")).unwrap();
        std::fs::copy(issued.certificate, version.join("cert.pem")).unwrap();
        std::fs::copy(issued.key, version.join("key.pem")).unwrap();
        std::fs::write(version.join("token"), format!("{token}\n")).unwrap();
        symlink(&version, self.file("next")).unwrap();
        std::fs::rename(self.file("next"), self.file("present")).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn show(&self, connector: Connector) -> Connector {
        let connector = connector.tls_ca(self.file("ca.pem")).tls_cert(self.file("cert.pem")).tls_key(self.file("key.pem"));
        connector.token(Token::File(self.file("token")))
    }
}

/// What the server was shown in one call.
async fn shown(connection: &Connection) -> Result<String, Status> {
    let request = GetBalanceRequest { subject: "acme".to_owned(), ..Default::default() };
    Ok(QuotaServiceClient::new(connection.clone()).get_balance(request).await?.into_inner().plan)
}

async fn until_shown(connection: &Connection, wanted: &str) {
    until(&format!("the server to be shown {wanted}"), async || (shown(connection).await.ok()? == wanted).then_some(())).await;
}

#[tokio::test]
async fn a_certificate_and_a_token_are_shown_over_tls() {
    let authority = Authority::new();
    let served = Served::start("127.0.0.1:0", Some(&authority)).await;
    let mounted = Mounted::new(&authority, "first");
    let connection = mounted.show(served.at("https")).connect().await.unwrap();
    assert_eq!(shown(&connection).await.unwrap(), "Bearer first");
}

#[tokio::test]
async fn who_is_not_trusted_is_not_spoken_to() {
    let authority = Authority::new();
    let served = Served::start("127.0.0.1:0", Some(&authority)).await;
    let stranger = Mounted::new(&Authority::new(), "secret");
    // The client does not trust the server.
    let refused = stranger.show(served.at("https")).connect().await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");
    // Nor does the system, whose authorities are asked where no file is named.
    let refused = served.at("https").connect().await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");
    // The server does not trust the client, or sees no certificate: with TLS 1.3 the first call hears of it.
    let with_strange_certificate = stranger.show(served.at("https")).tls_ca(authority.file());
    let without_certificate = served.at("https").tls_ca(authority.file());
    for connector in [with_strange_certificate, without_certificate] {
        if let Ok(connection) = connector.connect().await {
            shown(&connection).await.unwrap_err();
        }
    }
    assert!(served.porter.0.lock().unwrap().is_empty(), "nobody came through");
}

#[tokio::test]
async fn a_token_counts_from_the_moment_its_file_changes() {
    let authority = Authority::new();
    let served = Served::start("127.0.0.1:0", None).await;
    let mut mounted = Mounted::new(&authority, "first");
    let connection = served.at("http").token(Token::File(mounted.file("token"))).connect().await.unwrap();
    assert_eq!(shown(&connection).await.unwrap(), "Bearer first");
    mounted.swap(&authority, "second");
    until_shown(&connection, "Bearer second").await;
}

#[tokio::test]
async fn certificates_that_change_are_used_for_the_next_connection() {
    let (before, after) = (Authority::new(), Authority::new());
    let served = Served::start("127.0.0.1:0", Some(&before)).await;
    let mut mounted = Mounted::new(&before, "first");
    let connection = mounted.show(served.at("https")).connect().await.unwrap();
    assert_eq!(shown(&connection).await.unwrap(), "Bearer first");
    let address = served.address.to_string();
    served.stop().await;
    let _served = Served::start(&address, Some(&after)).await;
    shown(&connection).await.unwrap_err();
    mounted.swap(&after, "second");
    until_shown(&connection, "Bearer second").await;
}

/// `genquota balance`, with a token in a variable or none.
async fn balance(arguments: Vec<String>, token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    command.env_clear().args(["balance", "acme", "--json"]).args(arguments);
    command.envs(token.map(|token| ("GENQUOTA_TOKEN", token)));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn commands_show_a_certificate_and_a_token() {
    let authority = Authority::new();
    let served = Served::start("127.0.0.1:0", Some(&authority)).await;
    let mounted = Mounted::new(&authority, "from-a-file");
    let file = |name: &str| mounted.file(name).display().to_string();
    let server = format!("https://{}", served.address);
    let tls = words(&["--server", &server, "--tls-ca", &file("ca.pem"), "--tls-cert", &file("cert.pem"), "--tls-key", &file("key.pem")]);
    let with_file = [tls.clone(), words(&["--token-file", &file("token")])].concat();
    for (arguments, token, expected) in [
        (tls.clone(), None, "nothing"),
        (tls.clone(), Some("from-a-variable"), "Bearer from-a-variable"),
        (with_file, Some("from-a-variable"), "Bearer from-a-file"),
    ] {
        let output = balance(arguments, token).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["plan"], expected);
    }
    let output = balance(words(&["--server", &server]), None).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(69) && told.contains("UnknownIssuer") && told.contains("--tls-ca"), "{told}");
}

#[tokio::test]
async fn commands_do_not_send_a_token_for_everybody_to_read() {
    for (arguments, expected) in [(words(&["--server", "http://192.0.2.1:7070"]), 64), (words(&["--server", "http://127.0.0.1:1"]), 69)] {
        let output = balance(arguments, Some("secret")).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{told}");
        assert!(told.contains("hint") && !told.contains("secret"), "{told}");
    }
    let served = Served::start("127.0.0.1:0", None).await;
    let output = balance(words(&["--server", &format!("http://{}", served.address), "--insecure"]), Some("secret")).await;
    assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("Bearer secret"));
}
