//! Ids that could forge a key, and bytes that are no text.

use genquota::proto::v1;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::NOON;
use crate::ask::{Ask, bad_fields, images};
use crate::catalogs::monthly;
use crate::harness::Server;

/// Sends bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(bytes.to_vec()))
    }
}

async fn send(server: &Server, rpc: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(server.channel.clone());
    client.ready().await.unwrap();
    Ok(client.unary(Request::new(bytes), rpc.parse().unwrap(), Raw).await?.into_inner())
}

#[tokio::test]
async fn an_id_holds_to_its_grammar() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let long = "x".repeat(129);
    for wrong in ["{acme}", "a b", "a|b", "a\nb", "a\0b", "ä", "a,b", "a*", long.as_str()] {
        assert_eq!(bad_fields(&acme.reserve(&images(1).id(wrong)).await.unwrap_err()), ["reservation_id"], "{wrong:?}");
        assert_eq!(bad_fields(&acme.reserve(&images(1).user(wrong)).await.unwrap_err()), ["user"], "{wrong:?}");
        assert_eq!(bad_fields(&server.stranger(wrong).reserve(&images(1)).await.unwrap_err()), ["subject"], "{wrong:?}");
        assert_eq!(bad_fields(&server.stranger(wrong).create("").await.unwrap_err()), ["subject"], "{wrong:?}");
        assert_eq!(bad_fields(&acme.reservation(wrong).await.unwrap_err()), ["reservation_id"], "{wrong:?}");
        assert_eq!(bad_fields(&acme.commit(wrong, |_| {}).await.unwrap_err()), ["reservation_id"], "{wrong:?}");
        assert_eq!(bad_fields(&acme.grant(wrong, "1", |_| {}).await.unwrap_err()), ["grant_id"], "{wrong:?}");
    }
    let named = v1::Target { provider: "lab".to_owned(), model: "{small}".to_owned() };
    let error = acme.reserve(&Ask(v1::ReserveRequest { target: Some(named), ..images(1).0 })).await.unwrap_err();
    assert_eq!(bad_fields(&error), ["target.model"]);
    assert_eq!(acme.seen(&[]).await, before);
    for right in ["a", "A.b_c:d@e/f-9", &"x".repeat(128)] {
        acme.held(&images(1).id(right).user(right)).await;
    }
}

#[tokio::test]
async fn what_is_no_message_is_the_caller_s_fault() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let message = v1::ReserveRequest { subject: "acme".to_owned(), ..images(1).0 }.encode_to_vec();
    let at = message.windows(4).position(|bytes| bytes == b"acme").unwrap();
    let mut not_utf8 = message.clone();
    not_utf8[at..at + 4].copy_from_slice(&[0xff, 0xfe, 0xc3, 0x28]);
    let truncated = message[..message.len() - 3].to_vec();
    for bytes in [not_utf8, truncated, vec![0xff; 40], vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
        let error = send(&server, "/genquota.v1.QuotaService/Reserve", bytes).await.unwrap_err();
        assert_eq!(bad_fields(&error), ["request"]);
    }
    let label = v1::CreateSubjectRequest { subject: "other".to_owned(), labels: crate::ask::map(&[("k", "vvvv")]), ..Default::default() };
    let mut bytes = label.encode_to_vec();
    let at = bytes.windows(4).position(|bytes| bytes == b"vvvv").unwrap();
    bytes[at] = 0x80;
    assert_eq!(bad_fields(&send(&server, "/genquota.v1.SubjectService/CreateSubject", bytes).await.unwrap_err()), ["request"]);
    assert_eq!(acme.seen(&[]).await, before);
    // The very bytes are a message when they are right; a field that nobody knows does no harm.
    let with_unknown_field = [message, vec![0xfa, 0x3f, 0x01, 0x78]].concat();
    let answer = send(&server, "/genquota.v1.QuotaService/Reserve", with_unknown_field).await.unwrap();
    assert!(v1::ReserveResponse::decode(answer.as_slice()).unwrap().outcome.is_some());
}
