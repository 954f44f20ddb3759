//! How the process is: its phase, its store and its files, as one watched value.
//!
//! Written by whoever knows (`app` the phase, the store's keeper the store, those who reload files the rest), read by the probes of HTTP and
//! gRPC.

use tokio::sync::watch;

/// Where in its life the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Starting,
    Serving,
    /// Told to stop: what is in flight is finished, new work should go elsewhere.
    Draining,
}

/// How the store is, and what its outage policy makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreHealth {
    Answering,
    /// It gives no answer, and some plan's policy refuses work until it does.
    SilentClosed,
    /// It gives no answer, and the policy lets a bounded amount pass.
    SilentOpen,
    /// It answers but has lost data: an operator must act.
    DataLost,
}

/// Whether what the catalog's file says is in force. Where it is not, the catalog before it goes on judging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogHealth {
    InForce,
    /// The file has problems, or would take away what was issued.
    Rejected,
    Unreadable,
    /// The file is valid, and waits for a store that keeps its text.
    NotKept,
}

/// Whether what files say, which are put in force as they are, is in force. Where it is not, what they said before still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesHealth {
    InForce,
    /// They say what cannot be put in force.
    Rejected,
    Unreadable,
}

/// Phase, store and files together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthState {
    pub phase: Phase,
    pub store: StoreHealth,
    pub catalog: CatalogHealth,
    /// Who may call.
    pub access: FilesHealth,
    /// By what TLS is spoken.
    pub certificates: FilesHealth,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// For programs; stable.
    pub name: &'static str,
    /// For people; may change.
    pub message: &'static str,
}

/// The shared handle; clones see the same state.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<HealthState>);

impl Health {
    /// The state of a process that has just begun. Store and files are as they should be until somebody says otherwise.
    pub fn starting() -> Self {
        Self(watch::Sender::new(HealthState {
            phase: Phase::Starting,
            store: StoreHealth::Answering,
            catalog: CatalogHealth::InForce,
            access: FilesHealth::InForce,
            certificates: FilesHealth::InForce,
        }))
    }

    pub fn set_phase(&self, phase: Phase) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.phase, phase) != phase);
    }

    pub fn set_store(&self, store: StoreHealth) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.store, store) != store);
    }

    pub fn set_catalog(&self, catalog: CatalogHealth) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.catalog, catalog) != catalog);
    }

    pub fn set_access(&self, access: FilesHealth) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.access, access) != access);
    }

    pub fn set_certificates(&self, certificates: FilesHealth) {
        self.0.send_if_modified(|state| std::mem::replace(&mut state.certificates, certificates) != certificates);
    }

    pub fn state(&self) -> HealthState {
        *self.0.borrow()
    }

    /// Wakes at every change, for whoever mirrors the state, such as gRPC health.
    pub fn subscribe(&self) -> watch::Receiver<HealthState> {
        self.0.subscribe()
    }
}

impl HealthState {
    /// True: work is welcome.
    pub fn is_ready(&self) -> bool {
        let store_usable = match self.store {
            StoreHealth::Answering | StoreHealth::SilentOpen => true,
            StoreHealth::SilentClosed | StoreHealth::DataLost => false,
        };
        self.phase == Phase::Serving && store_usable
    }

    /// Everything that is not as it should be.
    pub fn reasons(&self) -> Vec<Reason> {
        let phase = match self.phase {
            Phase::Serving => None,
            Phase::Starting => Some(Reason { name: "starting", message: "not yet listening" }),
            Phase::Draining => Some(Reason { name: "draining", message: "told to stop: finishing what is in flight" }),
        };
        let store = match self.store {
            StoreHealth::Answering => None,
            StoreHealth::SilentClosed => Some(Reason { name: "store_unavailable", message: "the store gives no answer: work is refused" }),
            StoreHealth::SilentOpen => {
                Some(Reason { name: "store_unavailable", message: "the store gives no answer: a bounded amount of work passes" })
            }
            StoreHealth::DataLost => Some(Reason { name: "store_data_lost", message: "the store has lost data: an operator must act" }),
        };
        let catalog = match self.catalog {
            CatalogHealth::InForce => None,
            CatalogHealth::Rejected => Some(Reason {
                name: "catalog_rejected",
                message: "the catalog's file is wrong: the catalog before it stays in force; see the log",
            }),
            CatalogHealth::Unreadable => Some(Reason {
                name: "catalog_unreadable",
                message: "the catalog's file cannot be read: the catalog before it stays in force; see the log",
            }),
            CatalogHealth::NotKept => Some(Reason {
                name: "catalog_not_kept",
                message: "a new catalog waits for the store to keep it: the catalog before it stays in force",
            }),
        };
        let access = match self.access {
            FilesHealth::InForce => None,
            FilesHealth::Rejected => Some(Reason {
                name: "access_rejected",
                message: "the access file is wrong: what it said before stays in force; see the log",
            }),
            FilesHealth::Unreadable => Some(Reason {
                name: "access_unreadable",
                message: "the access file cannot be read: what it said before stays in force; see the log",
            }),
        };
        let certificates = match self.certificates {
            FilesHealth::InForce => None,
            FilesHealth::Rejected => Some(Reason {
                name: "certificates_rejected",
                message: "the files of TLS are wrong: the certificate before them stays in force; see the log",
            }),
            FilesHealth::Unreadable => Some(Reason {
                name: "certificates_unreadable",
                message: "the files of TLS cannot be read: the certificate before them stays in force; see the log",
            }),
        };
        phase.into_iter().chain(store).chain(catalog).chain(access).chain(certificates).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_change_wakes_subscribers() {
        let health = Health::starting();
        let mut watching = health.subscribe();
        health.set_phase(Phase::Starting);
        assert!(!watching.has_changed().unwrap());
        health.clone().set_phase(Phase::Serving);
        watching.changed().await.unwrap();
        assert_eq!(watching.borrow_and_update().phase, Phase::Serving);
    }
}
