//! Every method that is served, who may call it, and what becomes of it when there is too much to do. What is not in the table is not
//! served.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::access::Scopes;

/// What becomes of a call when there is too much to do (W4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Begins something: shed first.
    Hold,
    /// Looks: shed next.
    Read,
    /// The same, and goes on for as long as its caller likes.
    Watch,
    /// Tells what has happened, or what has been decided elsewhere: waits, and is never shed.
    Settle,
}

pub(super) struct Method {
    pub(super) path: &'static str,
    /// One of these is needed; `admin` is always enough.
    pub(super) scopes: Scopes,
    pub(super) urgency: Urgency,
}

const GATEWAY: Scopes = Scopes::GATEWAY;
const OBSERVER: Scopes = Scopes::OBSERVER;
const EITHER: Scopes = Scopes::GATEWAY.and(Scopes::OBSERVER);
const ADMIN: Scopes = Scopes::ADMIN;

macro_rules! methods {
    ($($service:literal { $($method:literal $scopes:ident $urgency:ident),+ $(,)? })+) => {
        const METHODS: &[Method] = &[
            $($(Method { path: concat!("/", $service, "/", $method), scopes: $scopes, urgency: Urgency::$urgency },)+)+
        ];
    };
}

methods! {
    "genquota.v1.QuotaService" {
        "Reserve" GATEWAY Hold,
        "Retry" GATEWAY Settle,
        "Commit" GATEWAY Settle,
        "Release" GATEWAY Settle,
        "Extend" GATEWAY Settle,
        "Refund" GATEWAY Settle,
        "RecordUsage" GATEWAY Settle,
        "Quote" GATEWAY Read,
        "GetReservation" EITHER Read,
        "GetBalance" EITHER Read,
        "GetUsage" EITHER Read,
        "ListGenerations" EITHER Read,
    }
    "genquota.v1.CostService" {
        "WatchCosts" OBSERVER Watch,
        "SummarizeCosts" OBSERVER Read,
        "ForecastCosts" OBSERVER Read,
    }
    "genquota.v1.SubjectService" {
        "CreateSubject" ADMIN Settle,
        "GetSubject" OBSERVER Read,
        "ListSubjects" OBSERVER Read,
        "SuspendSubject" ADMIN Settle,
        "ResumeSubject" ADMIN Settle,
        "Subscribe" ADMIN Settle,
        "ChangePlan" ADMIN Settle,
        "PreviewChange" ADMIN Read,
        "CancelSubscription" ADMIN Settle,
        "SetSeats" ADMIN Settle,
        "SetAddOn" ADMIN Settle,
        "GrantCredits" ADMIN Settle,
        "VoidGrant" ADMIN Settle,
        "SetOverride" ADMIN Settle,
        "AdjustUsage" ADMIN Settle,
    }
    // What Envoy calls: one request of its own for each it is asked about, which may tell what has been used, and one stream for each.
    "envoy.service.ratelimit.v3.RateLimitService" {
        "ShouldRateLimit" GATEWAY Settle,
    }
    "envoy.service.ext_proc.v3.ExternalProcessor" {
        "Process" GATEWAY Hold,
    }
}

/// Services that everybody may call: they tell whether a sidecar serves, and what is written in the contract.
const OPEN: [&str; 3] = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// The method of a path, if it is served.
pub(super) fn method(path: &str) -> Option<&'static Method> {
    static BY_PATH: LazyLock<HashMap<&str, &Method>> = LazyLock::new(|| METHODS.iter().map(|method| (method.path, method)).collect());
    BY_PATH.get(path).copied()
}

/// True: nobody is asked who they are.
pub(super) fn is_open(path: &str) -> bool {
    OPEN.iter().any(|service| path.starts_with(service))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proto;

    #[test]
    fn every_method_of_the_contract_is_in_the_table_and_none_else_but_those_of_envoy() {
        let pool = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
        let contract: BTreeSet<String> = pool
            .services()
            .flat_map(|service| service.methods().map(|method| format!("/{}/{}", service.full_name(), method.name())).collect::<Vec<_>>())
            .collect();
        let table: BTreeSet<String> = METHODS.iter().map(|method| method.path.to_owned()).collect();
        assert_eq!(table.len(), METHODS.len());
        assert!(contract.is_subset(&table), "{:?}", contract.difference(&table));
        assert!(table.difference(&contract).all(|path| path.starts_with("/envoy.service.")), "{:?}", table.difference(&contract));
        assert!(table.iter().all(|path| method(path).is_some() && !is_open(path)));
    }
}
