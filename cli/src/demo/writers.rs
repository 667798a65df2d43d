//! A client that writes without pause, and a ledger of what it was promised.

use doug_client::{Client, If, Read};
use doug_proto::error::Fault;
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Reads of a check under way at once.
const READS: usize = 64;

/// Acknowledged writes: each must be found.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<String, String>);

impl Ledger {
    /// Notes a write that was acknowledged.
    pub fn acknowledge(&mut self, key: String, value: String) {
        self.0.insert(key, value);
    }

    /// Adds what another ledger has.
    pub fn merge(&mut self, other: Ledger) {
        self.0.extend(other.0);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that are not as they were acknowledged.
    pub async fn missing(&self, client: &Client) -> Result<Vec<String>, Fault> {
        let mut missing = Vec::new();
        let all: Vec<(&String, &String)> = self.0.iter().collect();
        for some in all.chunks(READS) {
            let reads = some.iter().map(|(key, _)| client.get((*key).clone(), Read::Linearizable));
            let answers = try_join_all(reads).await?;
            for ((key, value), answer) in some.iter().zip(answers) {
                if !answer.found || answer.value != value.as_bytes() {
                    missing.push((*key).clone());
                }
            }
        }
        Ok(missing)
    }
}

/// Writes one key after the other, all in one partition.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Written, Fault>>,
}

/// What a writer did.
#[derive(Debug, Default)]
pub struct Written {
    /// What was acknowledged.
    pub ledger: Ledger,
    /// Writes of which nobody knows whether they were applied.
    pub unknown: u64,
    /// The longest time between two acknowledgements.
    pub longest_gap: Duration,
}

impl Writer {
    /// Starts to write keys that begin with `prefix` and lie in `partition`.
    pub async fn start(client: Client, prefix: &str, partition: u64) -> Result<Self, Fault> {
        let map = client.map().await?;
        let prefix = prefix.to_owned();
        let mut keys = (0_u64..)
            .map(move |number| format!("{prefix}{number}"))
            .filter(move |key| map.partition_of(key.as_bytes()).id == partition);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut written = Written::default();
            let mut last = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let Some(key) = keys.next() else { break };
                match client.put(key.clone(), key.clone(), If::Always).await {
                    Ok(_) => {
                        written.ledger.acknowledge(key.clone(), key);
                        written.longest_gap = written.longest_gap.max(last.elapsed());
                        last = Instant::now();
                    }
                    Err(error) if error.is_outcome_unknown() => written.unknown += 1,
                    Err(error) if error.is_not_executed() => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(written)
        });
        Ok(Self { stop, task })
    }

    /// Ends after the write under way.
    pub async fn stop(self) -> anyhow::Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.await??)
    }
}
