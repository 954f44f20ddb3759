//! Callers that settle without a pause, through whatever happens, and a watcher that reconnects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use genquota::proto::v1;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::ask::images;
use crate::caller::Caller;
use crate::harness::eventually;
use crate::watcher::watch;

/// Subjects of several partitions.
pub const SUBJECTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    /// One caller for each subject: reserves and commits, again with the same id where nobody knows.
    pub fn start(channels: &[Channel]) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut callers = JoinSet::new();
        for (place, subject) in SUBJECTS.iter().enumerate() {
            let caller = Caller::new(channels[place % channels.len()].clone(), subject);
            let (stop, done) = (stop.clone(), done.clone());
            callers.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let ask = images(1);
                    while caller.reserve(&ask).await.is_err() && !stop.load(Ordering::SeqCst) {
                        tokio::task::yield_now().await;
                    }
                    while caller.commit(ask.key(), |_| {}).await.is_err() && !stop.load(Ordering::SeqCst) {
                        tokio::task::yield_now().await;
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { stop, done, callers }
    }

    /// Waits until so many more have settled.
    pub async fn goes_on(&self, more: usize) {
        let until = self.done.load(Ordering::SeqCst) + more;
        eventually("more is settled", async || (self.done.load(Ordering::SeqCst) >= until).then_some(())).await;
    }

    pub async fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
    }
}

/// Watches, from its last cursor again whenever a stream ends, and remembers every event by its id.
pub struct Follower {
    told: Arc<std::sync::Mutex<BTreeMap<String, v1::CostEvent>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    pub fn start(channel: Channel, cursor: &str) -> Self {
        let told = Arc::<std::sync::Mutex<BTreeMap<String, v1::CostEvent>>>::default();
        let (seen, mut cursor) = (told.clone(), cursor.to_owned());
        let task = tokio::spawn(async move {
            loop {
                let Ok(mut watcher) = watch(&channel, &cursor, None).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                while let Ok(event) = watcher.next_event().await {
                    let mut seen = seen.lock().unwrap();
                    let id = event.event_id.clone();
                    if let Some(before) = seen.insert(id, event.clone()) {
                        let same = |event: &v1::CostEvent| v1::CostEvent { cursor: String::new(), ..event.clone() };
                        assert_eq!(same(&before), same(&event), "a repeat is the same event");
                    }
                }
                cursor = watcher.cursor;
            }
        });
        Self { told, task }
    }

    pub fn ids(&self) -> std::collections::BTreeSet<String> {
        self.told.lock().unwrap().keys().cloned().collect()
    }

    /// Waits until it has seen exactly these.
    pub async fn has_seen(&self, expected: &std::collections::BTreeSet<String>) {
        let seen = eventually("the watcher has seen all", async || {
            assert!(!self.task.is_finished(), "the watcher panicked");
            let seen = self.ids();
            (seen.len() >= expected.len()).then_some(seen)
        });
        let seen = seen.await;
        assert_eq!(seen.symmetric_difference(expected).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}
