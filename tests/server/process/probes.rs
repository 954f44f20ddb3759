//! Health and reflection, which are always on.

use prost::Message;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::NOON;
use crate::catalogs::monthly;
use crate::harness::{PATIENCE, Server};

const SERVICES: [&str; 4] = ["", "genquota.v1.QuotaService", "genquota.v1.SubjectService", "genquota.v1.CostService"];

#[tokio::test]
async fn every_service_is_healthy_while_it_serves() {
    let server = Server::start(&monthly("10"), NOON).await;
    let mut health = HealthClient::new(server.channel.clone());
    for service in SERVICES.into_iter().chain(["liveness"]) {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().get_ref().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "genquota.v1.Nothing".to_owned() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_draining_server_says_that_it_does_not_serve() {
    let server = Server::start(&monthly("10"), NOON).await;
    let mut health = HealthClient::new(server.channel.clone());
    let mut watched = Vec::new();
    for service in SERVICES {
        let mut watch = health.watch(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving, "{service}");
        watched.push((service, watch));
    }
    server.begin_stop();
    for (service, watch) in &mut watched {
        let told = tokio::time::timeout(PATIENCE, watch.message()).await.unwrap();
        assert_eq!(told.unwrap().unwrap().status(), ServingStatus::NotServing, "{service}");
    }
    drop((watched, health));
    server.stopped().await.unwrap();
}

/// Asks both versions of reflection the same, and wants one answer.
macro_rules! reflect {
    ($server:expr, $version:ident, $ask:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask: fn(String) -> MessageRequest = $ask;
        let mut client = ServerReflectionClient::new($server.channel.clone());
        let mut files = Vec::new();
        for service in &SERVICES[1..] {
            let message_request = Some(ask((*service).to_owned()));
            let request = ServerReflectionRequest { message_request, ..ServerReflectionRequest::default() };
            let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap();
            match answer.message_response.unwrap() {
                MessageResponse::FileDescriptorResponse(found) => files.extend(found.file_descriptor_proto),
                MessageResponse::ListServicesResponse(list) => return list.service.into_iter().map(|service| service.name).collect(),
                other => panic!("a description of {service}: {other:?}"),
            }
        }
        files.iter().map(|file| prost_types::FileDescriptorProto::decode(file.as_slice()).unwrap().name().to_owned()).collect()
    }};
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let server = Server::start(&monthly("10"), NOON).await;
    async fn listed(server: &Server, alpha: bool) -> Vec<String> {
        if alpha { reflect!(server, v1alpha, MessageRequest::ListServices) } else { reflect!(server, v1, MessageRequest::ListServices) }
    }
    async fn described(server: &Server, alpha: bool) -> Vec<String> {
        if alpha {
            reflect!(server, v1alpha, MessageRequest::FileContainingSymbol)
        } else {
            reflect!(server, v1, MessageRequest::FileContainingSymbol)
        }
    }
    for alpha in [false, true] {
        let services = listed(&server, alpha).await;
        for service in SERVICES[1..].iter().chain(&["grpc.health.v1.Health"]) {
            assert!(services.iter().any(|listed| listed == service), "{service} in {services:?}");
        }
        let files = described(&server, alpha).await;
        for file in ["quota_service", "subject_service", "cost_service"] {
            assert!(files.iter().any(|described| *described == format!("genquota/v1/{file}.proto")), "{file} in {files:?}");
        }
    }
    // Records of the store are nobody's interface.
    assert!(listed(&server, false).await.iter().all(|service| !service.contains("store")));
}
