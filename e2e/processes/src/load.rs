//! Clients of a facade while something happens to the database, and what they may
//! have been told.

use doug_client::Client;
use doug_witness::clients;
use doug_witness::history::History;
use doug_witness::judge::{Report, judge};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Pause of each client between two operations.
const PAUSE: Duration = Duration::from_millis(5);

/// Clients at work: each writes fresh keys, and writes and reads keys that all share.
pub struct Load {
    client: Client,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<History>>,
}

impl Load {
    /// Starts `count` clients. No other load of the database may have this name.
    ///
    /// # Panics
    /// When no client can be made.
    pub async fn start(endpoint: &str, name: &str, count: usize) -> Self {
        // Longer than any outage that must be survived.
        let builder = Client::builder().endpoints([endpoint]).timeout(Duration::from_secs(10));
        let client = builder.connect().await.expect("a client");
        let stop = Arc::new(AtomicBool::new(false));
        let clients = clients::start(&client, name, count, PAUSE, &stop);
        Self { client, stop, clients }
    }

    /// Ends the clients, reads everything back and judges what they were told.
    ///
    /// # Panics
    /// When a client did.
    pub async fn end(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let history = clients::join(self.clients).await;
        let report = judge(&self.client, &history).await;
        println!(
            "{} operations, {} failed, {} fresh writes acknowledged, {} keys linearizable, longest \
             gap {} ms",
            report.operations,
            report.failed,
            report.acknowledged,
            report.linearizable,
            report.longest_gap_milliseconds
        );
        report
    }
}

/// Insists that every promise was kept, whatever failed.
///
/// # Panics
/// With the promises that were not.
pub fn insist_on_promises(report: &Report) {
    assert!(report.acknowledged > 0 && report.linearizable > 0, "nothing was done: {report:#?}");
    let broken = report.applied_twice
        + report.lost.len()
        + report.undead.len()
        + report.not_linearizable.len();
    assert_eq!(broken, 0, "promises were broken: {report:#?}");
}

/// Insists that every promise was kept, and that no request failed.
///
/// # Panics
/// With what went wrong.
pub fn insist_on_no_failure(report: &Report) {
    insist_on_promises(report);
    assert_eq!(report.failed, 0, "requests failed: {report:#?}");
}
