//! What reconciliations share.

use crate::Config;
use crate::build::MANAGER;
use crate::dereference::Token;
use crate::installation::Seen;
use crate::metrics::Metrics;
use crate::status::Leaders;
use doug_crds::{DougCluster, Platform};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Shortest and longest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Objects are applied again after this long, though nothing calls for it: they are watched.
const APPLY_AGAIN: Duration = Duration::from_secs(600);
/// Those that somebody else changed, after this long: where two controllers want different things
/// of one object, they must not keep each other busy.
const RESTORE: Duration = Duration::from_secs(2);

/// What reconciliations share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The image of databases that declare none.
    pub image: String,
    /// This installation among others: namespace and name of its Lease.
    pub installation: String,
    /// What assigns the users that processes run as, unless a database says otherwise.
    pub platform: Platform,
    /// Counted.
    pub metrics: Arc<Metrics>,
    recorder: Recorder,
    memories: Mutex<Memories>,
}

/// What is remembered of all DougClusters.
#[derive(Default)]
struct Memories {
    by_uid: BTreeMap<String, Memory>,
    /// Who has a namespace and a name now: of one that is gone nothing else is known.
    uids: BTreeMap<(String, String), String>,
}

/// What is remembered of one DougCluster. Losing it costs only a little time.
#[derive(Default)]
pub struct Memory {
    /// Leaders as last seen.
    pub leaders: Leaders,
    /// Which operator looks after it, as last seen.
    pub caretaker: Seen,
    /// The token of its nodes, as last read: should its Secret be deleted, it is made again as it
    /// was.
    pub token: Option<Token>,
    failures: u32,
    unchanged: u32,
    applied: Option<(u64, Instant)>,
    disturbed: bool,
    last_event: Option<(&'static str, String)>,
}

impl Context {
    /// Nothing remembered yet.
    pub fn new(client: Client, config: &Config, platform: Platform, metrics: Arc<Metrics>) -> Self {
        let instance = Some(config.identity.clone());
        let reporter = Reporter { controller: MANAGER.to_owned(), instance };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            image: config.image.clone(),
            installation: format!("{}/{}", config.namespace, config.lease),
            platform,
            metrics,
            memories: Mutex::default(),
        }
    }

    /// Runs `f` on what is remembered of a DougCluster.
    pub fn memory<T>(&self, uid: &str, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(self.memories.lock().by_uid.entry(uid.to_owned()).or_default())
    }

    /// Somebody else may have changed or deleted an object of a DougCluster. Of one that is gone,
    /// and whose objects follow it, nothing is remembered anew.
    pub fn disturb(&self, uid: &str) {
        if let Some(memory) = self.memories.lock().by_uid.get_mut(uid) {
            memory.disturbed();
        }
    }

    /// A DougCluster is there.
    pub fn met(&self, namespace: &str, name: &str, uid: &str) {
        self.memories.lock().met(namespace, name, uid);
    }

    /// It is there no more.
    pub fn gone(&self, namespace: &str, name: &str) {
        self.memories.lock().gone(namespace, name);
        self.metrics.forget(namespace, name);
    }

    /// Tells people what happened. The same again is said once.
    pub async fn say(
        &self,
        cluster: &DougCluster,
        warning: bool,
        reason: &'static str,
        note: String,
    ) {
        let uid = cluster.uid().unwrap_or_default();
        let said = (reason, note.clone());
        let again = self.memory(&uid, |memory| {
            let again = memory.last_event.as_ref() == Some(&said);
            memory.last_event = Some(said);
            again
        });
        if again {
            return;
        }
        let (namespace, name) = (cluster.namespace(), cluster.name_any());
        tracing::info!(namespace, dougcluster = name, reason, "{note}");
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &cluster.object_ref(&())).await {
            tracing::warn!("an event could not be written: {error}");
        }
    }
}

impl Memories {
    fn met(&mut self, namespace: &str, name: &str, uid: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let before = self.uids.insert(key, uid.to_owned());
        if let Some(before) = before.filter(|before| before != uid) {
            self.by_uid.remove(&before);
        }
    }

    fn gone(&mut self, namespace: &str, name: &str) {
        if let Some(uid) = self.uids.remove(&(namespace.to_owned(), name.to_owned())) {
            self.by_uid.remove(&uid);
        }
    }
}

impl Memory {
    /// Counts a failure; how long to pause after it.
    pub fn failed(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        pause
    }

    /// How many reconciliations have failed in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A reconciliation succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A round found the same as the one before, or something new. How many have found the same.
    pub fn found(&mut self, same: bool) -> u32 {
        self.unchanged = if same { self.unchanged.saturating_add(1) } else { 0 };
        self.unchanged
    }

    /// Whether objects with this digest need to be applied.
    pub fn needs_apply(&self, digest: u64) -> bool {
        let patience = if self.disturbed { RESTORE } else { APPLY_AGAIN };
        self.applied.is_none_or(|(old, at)| old != digest || at.elapsed() > patience)
    }

    /// Objects with this digest are about to be applied. Said before it is done: what somebody
    /// else does meanwhile disturbs them again.
    pub fn applying(&mut self) {
        self.disturbed = false;
    }

    /// Objects with this digest are applied.
    pub fn applied(&mut self, digest: u64) {
        self.applied = Some((digest, Instant::now()));
    }

    /// Whether objects are still to be put back.
    pub fn is_disturbed(&self) -> bool {
        self.disturbed
    }

    /// Somebody else may have changed or deleted an object.
    pub fn disturbed(&mut self) {
        self.disturbed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_change_is_restored_long_before_its_time() {
        let mut memory = Memory::default();
        assert!(memory.needs_apply(1));
        memory.applied = Some((1, Instant::now() - RESTORE - Duration::from_millis(1)));
        assert!(!memory.needs_apply(1));
        memory.disturbed();
        assert!(memory.needs_apply(1));
        memory.applying();
        memory.applied(1);
        memory.disturbed();
        assert!(!memory.needs_apply(1), "two controllers would keep each other busy");
    }

    #[test]
    fn nothing_is_remembered_of_what_is_gone() {
        let mut memories = Memories::default();
        for (name, uid) in [("orders", "uid-1"), ("stock", "uid-2"), ("orders", "uid-3")] {
            memories.met("shop", name, uid);
            memories.by_uid.entry(uid.to_owned()).or_default();
        }
        let uids = |memories: &Memories| memories.by_uid.keys().cloned().collect::<Vec<_>>();
        assert_eq!(uids(&memories), ["uid-2", "uid-3"], "another has the name now");
        memories.gone("shop", "orders");
        assert_eq!(uids(&memories), ["uid-2"]);
        assert_eq!(memories.uids.len(), 1);
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_success_begins_anew() {
        let mut memory = Memory::default();
        let pauses: Vec<u64> = (0..8).map(|_| memory.failed().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        memory.succeeded();
        assert_eq!(memory.failed(), FIRST_PAUSE);
    }
}
