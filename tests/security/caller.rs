//! A client that shows a token, a certificate, both or nothing; and calls of any method with raw messages.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genquota::proto::v1;
use genquota::proto::v1::quota_service_client::QuotaServiceClient;
use genquota::proto::v1::subject_service_client::SubjectServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::either::Either;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::lab::{Authority, Certificate, PATIENCE};
use crate::sidecar::Sidecar;

/// Somebody with a connection.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    token: Option<String>,
}

/// Trusts an authority, and shows a certificate or none.
pub(crate) fn tls(authority: &Authority, own: Option<&Certificate>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            builder.with_client_auth_cert(certificates(&own.certificate), PrivateKeyDer::from_pem_file(&own.key).unwrap()).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).unwrap().collect::<Result<_, _>>().unwrap()
}

/// A handshake. Behind it stands the certificate that the server has shown.
pub(crate) async fn handshake(address: &str, config: Arc<ClientConfig>) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

impl Caller {
    /// In clear.
    pub(crate) async fn new(sidecar: &Sidecar) -> Self {
        Self::dial(&sidecar.served.grpc, None).await.unwrap()
    }

    /// Over TCP, with TLS or without. A connection is made anew when it is lost.
    pub(crate) async fn dial(address: &str, tls: Option<Arc<ClientConfig>>) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.timeout(PATIENCE).connect_timeout(Duration::from_secs(10));
        let address = address.to_owned();
        let connector = tower::service_fn(move |_| {
            let (address, tls) = (address.clone(), tls.clone());
            async move {
                let stream = match tls {
                    None => Either::Left(TcpStream::connect(address).await?),
                    Some(tls) => Either::Right(Box::new(handshake(&address, tls).await?)),
                };
                std::io::Result::Ok(TokioIo::new(stream))
            }
        });
        Ok(Self { channel: endpoint.connect_with_connector(connector).await?, token: None })
    }

    pub(crate) async fn over_unix(path: &Path) -> Self {
        let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
        Self { channel: endpoint.timeout(PATIENCE).connect().await.unwrap(), token: None }
    }

    /// The same connection with a token.
    pub(crate) fn with(&self, token: &str) -> Self {
        Self { channel: self.channel.clone(), token: Some(token.to_owned()) }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    pub(crate) async fn create(&self, subject: &str) -> Result<(), Status> {
        let request = v1::CreateSubjectRequest { subject: subject.to_owned(), ..Default::default() };
        SubjectServiceClient::new(self.channel.clone()).create_subject(self.request(request)).await.map(drop)
    }

    pub(crate) async fn balance(&self, subject: &str) -> Result<(), Status> {
        let request = v1::GetBalanceRequest { subject: subject.to_owned(), ..Default::default() };
        QuotaServiceClient::new(self.channel.clone()).get_balance(self.request(request)).await.map(drop)
    }

    /// Holds an image for `acme`.
    pub(crate) async fn reserve(&self, id: &str) -> Result<v1::ReserveResponse, Status> {
        let request = v1::ReserveRequest {
            subject: "acme".to_owned(),
            reservation_id: id.to_owned(),
            action: "image.generate".to_owned(),
            target: Some(v1::Target { provider: "fal".to_owned(), model: "flux-schnell".to_owned() }),
            work: Some(v1::Work { items: vec![v1::Item::default()] }),
            ..Default::default()
        };
        let answer = QuotaServiceClient::new(self.channel.clone()).reserve(self.request(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    pub(crate) async fn commit(&self, id: &str) -> Result<(), Status> {
        let request = v1::CommitRequest { subject: "acme".to_owned(), reservation_id: id.to_owned(), ..Default::default() };
        QuotaServiceClient::new(self.channel.clone()).commit(self.request(request)).await.map(drop)
    }

    /// Calls a method by its path with the bytes of a message, until it has been answered or its stream begins.
    pub(crate) async fn raw(&self, path: &str, message: Vec<u8>) -> Result<(), Status> {
        self.stream(path, message).await.map(drop)
    }

    pub(crate) async fn stream(&self, path: &str, message: Vec<u8>) -> Result<tonic::Streaming<Vec<u8>>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        client.server_streaming(self.request(message), path.parse().unwrap(), Raw).await.map(tonic::Response::into_inner)
    }
}

/// The code of an answer.
pub(crate) fn code<T>(answer: &Result<T, Status>) -> Code {
    answer.as_ref().err().map_or(Code::Ok, Status::code)
}

/// Messages as their bytes.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf as _;
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
