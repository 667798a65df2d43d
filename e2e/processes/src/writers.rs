//! Clients that write while something terrible happens, and remember what they
//! were promised.

use bytes::Bytes;
use doug_client::{Client, If};
use doug_proto::error::Fault;
pub use doug_witness::history::Outcome;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Everything that the writers of a [`Writers`] did.
#[derive(Debug, Default)]
pub struct Written {
    /// Every key that was written, each once, with what was answered.
    pub outcomes: BTreeMap<Bytes, Outcome>,
    /// The longest time that one writer went without an acknowledgement.
    pub longest_gap: Duration,
}

impl Written {
    /// How many writes ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes.values().filter(|one| **one == outcome).count()
    }

    /// The keys whose write ended so.
    pub fn keys(&self, outcome: Outcome) -> impl Iterator<Item = &Bytes> {
        self.outcomes.iter().filter(move |(_, one)| **one == outcome).map(|(key, _)| key)
    }
}

/// Writers, each writing fresh keys one after the other, if absent. Nobody else
/// writes these keys: a condition that does not hold means that the very same
/// write had already been applied once.
#[derive(Debug)]
pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Written>>,
}

impl Writers {
    /// Starts `count` of them; keys begin with `prefix`, are their own values,
    /// and satisfy `wanted`.
    pub fn start(
        client: &Client,
        count: usize,
        prefix: &str,
        wanted: impl Fn(&[u8]) -> bool + Clone + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |writer: usize| {
            let (client, stop, wanted) = (client.clone(), stop.clone(), wanted.clone());
            let prefix = format!("{prefix}{writer}/");
            let keys = (0_u64..).map(move |number| Bytes::from(format!("{prefix}{number:08}")));
            tokio::spawn(write(client, stop, keys.filter(move |key| wanted(key))))
        };
        Self { tasks: (0..count).map(task).collect(), stop }
    }

    /// Stops all after the write that each has under way.
    ///
    /// # Panics
    /// When a writer met an error that is none of the outcomes.
    pub async fn stop(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Written::default();
        for task in self.tasks {
            let written = task.await.expect("the writer did not panic");
            all.outcomes.extend(written.outcomes);
            all.longest_gap = all.longest_gap.max(written.longest_gap);
        }
        all
    }
}

async fn write(
    client: Client,
    stop: Arc<AtomicBool>,
    mut keys: impl Iterator<Item = Bytes>,
) -> Written {
    let mut written = Written::default();
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let key = keys.next().expect("there is always a next key");
        let answer = client.put(key.clone(), key.clone(), If::Absent).await;
        let outcome = outcome(answer.map(|put| put.condition_met));
        if outcome == Outcome::Acknowledged {
            written.longest_gap = written.longest_gap.max(last.elapsed());
            last = Instant::now();
        }
        written.outcomes.insert(key, outcome);
    }
    written.longest_gap = written.longest_gap.max(last.elapsed());
    written
}

/// The outcome of a write whose answer says whether its condition held.
///
/// # Panics
/// When it is an error that promises nothing: that is no outcome at all.
pub fn outcome(answer: Result<bool, Fault>) -> Outcome {
    if let Err(fault) = &answer {
        let said = fault.is_outcome_unknown() || fault.is_not_executed();
        assert!(said, "a write ended neither definite nor unknown: {fault:?}");
    }
    Outcome::of(&answer)
}
