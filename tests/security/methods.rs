//! Every method of the contract, as its descriptors have it, against every kind of caller.

use genquota::proto;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use tonic::Code;

use crate::caller::{Caller, code};
use crate::sidecar::{Setup, tokens};

/// Codes by which a caller hears that it may not.
const NO: [Code; 2] = [Code::Unauthenticated, Code::PermissionDenied];

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let methods: Vec<_> = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(methods.len() >= 30, "{}", methods.len());
    methods
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// What the contract says of each: `QuotaService` is for gateways, `CostService` for observers, who may read elsewhere too; the rest is for
/// administrators, who may everything.
fn may(scope: &str, method: &MethodDescriptor) -> bool {
    let reads = method.name().starts_with("Get") || method.name().starts_with("List");
    match (scope, method.parent_service().name()) {
        ("admin", _) | ("gateway", "QuotaService") | ("observer", "CostService") => true,
        ("observer", _) => reads,
        _ => false,
    }
}

/// A message that says nothing but whom it concerns, where it can.
fn about(method: &MethodDescriptor, subject: &str) -> Option<Vec<u8>> {
    let mut message = DynamicMessage::new(method.input());
    if message.descriptor().get_field_by_name("subject").is_some() {
        message.set_field_by_name("subject", Value::String(subject.to_owned()));
    } else {
        let field = message.descriptor().get_field_by_name("filters")?;
        let mut filters = DynamicMessage::new(field.kind().as_message()?.clone());
        filters.set_field_by_name("subject", Value::String(subject.to_owned()));
        message.set_field_by_name("filters", Value::Message(filters));
    }
    Some(message.encode_to_vec())
}

#[tokio::test]
async fn each_method_is_for_those_whom_its_scope_names_and_for_nobody_else() {
    let sidecar = Setup::new().access(&tokens()).start();
    let caller = Caller::new(&sidecar).await;
    for method in methods() {
        let path = path(&method);
        let message = about(&method, "acme").unwrap_or_default();
        assert_eq!(code(&caller.raw(&path, message.clone()).await), Code::Unauthenticated, "{path}");
        assert_eq!(code(&caller.with("nobody").raw(&path, message.clone()).await), Code::Unauthenticated, "{path}");
        for scope in ["gateway", "observer", "admin"] {
            let answer = caller.with(scope).raw(&path, message.clone()).await;
            if may(scope, &method) {
                assert!(!NO.contains(&code(&answer)), "{scope} {path}: {answer:?}");
            } else {
                let status = answer.unwrap_err();
                assert_eq!(status.code(), Code::PermissionDenied, "{scope} {path}");
                assert!(status.message().starts_with(&format!("`{scope}` may not do this: it needs the scope ")), "{}", status.message());
            }
        }
    }
    assert_eq!(code(&caller.raw("/genquota.v1.QuotaService/Nothing", Vec::new()).await), Code::Unauthenticated);
    assert_eq!(code(&caller.with("admin").raw("/genquota.v1.QuotaService/Nothing", Vec::new()).await), Code::Unimplemented);
}

#[tokio::test]
async fn a_caller_for_some_subjects_changes_nothing_and_learns_nothing_of_others_by_any_method() {
    let sidecar = Setup::new().access(&tokens()).start();
    let caller = Caller::new(&sidecar).await;
    let (admin, restricted) = (caller.with("admin"), caller.with("restricted"));
    admin.create("foreign").await.unwrap();
    for method in methods() {
        let path = path(&method);
        // Alike for one that is there and one that is not.
        for subject in ["foreign", "missing", "acme2", "studio", ""] {
            let filters_nobody = method.input().get_field_by_name("subject").is_none();
            let Some(message) = about(&method, subject) else { continue };
            let status = restricted.raw(&path, message).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{path} {subject}");
            let concerns_all = filters_nobody && subject.is_empty();
            let told = if concerns_all { "concerns all" } else { "`restricted` may not act for this subject" };
            assert!(status.message().contains(told), "{path} {subject}: {}", status.message());
        }
        match about(&method, "acme") {
            Some(message) => {
                for own in [message, about(&method, "studio-7").unwrap()] {
                    let answer = restricted.raw(&path, own).await;
                    assert!(!NO.contains(&code(&answer)), "{path}: {answer:?}");
                }
            }
            // What tells of all subjects at once.
            None => assert_eq!(code(&restricted.raw(&path, Vec::new()).await), Code::PermissionDenied, "{path}"),
        }
    }
    assert_eq!(code(&admin.balance("foreign").await), Code::Ok);
}
