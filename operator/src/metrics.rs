//! What the operator counts, for Prometheus.

use doug_streams::err;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// All metrics of an operator.
pub struct Metrics {
    registry: Registry,
    reconciliations: Family<Result, Counter>,
    duration: Histogram,
    leader: Gauge,
    member_changes: Family<Kind, Counter>,
    log_lines_dropped: Counter,
}

/// Times one reconciliation.
pub struct Timer {
    metrics: Arc<Metrics>,
    began: Instant,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dougdb_operator");
        let reconciliations = Family::<Result, Counter>::default();
        let help = "Reconciliations, by their result: ok, gone, or the reason of a failure";
        registry.register("reconciliations", help, reconciliations.clone());
        // 1 ms to about 30 s.
        let duration = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let help = "How long one reconciliation takes";
        registry.register_with_unit(
            "reconciliation_duration",
            help,
            Unit::Seconds,
            duration.clone(),
        );
        let leader = Gauge::default();
        registry.register("leader", "1 while this operator holds the lease", leader.clone());
        let member_changes = Family::<Kind, Counter>::default();
        let help = "Changes of members begun, by kind: join, move, replace, give-up, forget, remove-cluster";
        registry.register("member_changes", help, member_changes.clone());
        let log_lines_dropped = Counter::default();
        let help = "Lines of the log that standard error did not take";
        registry.register("log_lines_dropped", help, log_lines_dropped.clone());
        Self { registry, reconciliations, duration, leader, member_changes, log_lines_dropped }
    }

    /// Begins to time a reconciliation.
    pub fn start(self: &Arc<Self>) -> Timer {
        Timer { metrics: self.clone(), began: Instant::now() }
    }

    /// Whether this operator holds the lease.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
    }

    /// A change of members was begun.
    pub fn members(&self, kind: &'static str) {
        self.member_changes.get_or_create(&Kind { kind }).inc();
    }

    /// All of it as OpenMetrics text.
    pub fn encode(&self) -> String {
        self.log_lines_dropped.inner().store(err::dropped_lines(), Ordering::Relaxed);
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("writing to a String cannot fail");
        page
    }
}

impl Timer {
    /// Counts it.
    pub fn finish(self, result: &'static str) {
        self.metrics.duration.observe(self.began.elapsed().as_secs_f64());
        self.metrics.reconciliations.get_or_create(&Result { result }).inc();
    }
}
