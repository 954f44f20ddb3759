//! What the ledger itself says has happened: the entries of its streams, read past genquota.

use std::collections::BTreeSet;

use crate::lab::{Cluster, Reply, Server, slot_of};

/// The ids that the cost events of a ledger must have.
pub fn of_server(server: &Server, instance: &str, partitions: usize) -> BTreeSet<String> {
    ids(instance, partitions, |key| server.ask(&["XRANGE", key, "-", "+"]).unwrap())
}

pub fn of_cluster(cluster: &Cluster, instance: &str, partitions: usize) -> BTreeSet<String> {
    ids(instance, partitions, |key| {
        let primary = cluster.primary_of(slot_of(key.as_bytes())).expect("the nodes agree");
        cluster.node(primary).ask(&["XRANGE", key, "-", "+"]).unwrap()
    })
}

fn ids(instance: &str, partitions: usize, read: impl Fn(&str) -> Reply) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for partition in 0..partitions {
        for entry in read(&format!("{{gq{instance}:{partition}}}events")).array() {
            let [_, fields] = <[Reply; 2]>::try_from(entry.array()).unwrap();
            let text = String::from_utf8_lossy(&fields.array().remove(3).bytes()).into_owned();
            let mut lines = text.lines();
            let head: Vec<&str> = lines.next().unwrap().split(' ').collect();
            // Committed, released, expired, recorded; none of these brings a document.
            if ["c", "l", "e", "u"].contains(&head[0]) {
                let version = lines.next().unwrap().split(' ').next().unwrap();
                assert!(ids.insert(format!("{}|{}|{version}", head[1], head[2])), "one event for each change: {head:?}");
            }
        }
    }
    ids
}
