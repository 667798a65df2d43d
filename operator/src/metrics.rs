//! What the operator counts, for Prometheus.

use crate::status::{Findings, TYPES};
use doug_streams::err;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeSet;
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

/// A condition of a DougCluster. Not `namespace`: Prometheus gives that name to where the operator
/// itself runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct ConditionLabels {
    dougcluster_namespace: String,
    dougcluster: String,
    condition: &'static str,
}

/// All metrics of an operator.
pub struct Metrics {
    registry: Registry,
    reconciliations: Family<Result, Counter>,
    duration: Histogram,
    leader: Gauge,
    member_changes: Family<Kind, Counter>,
    conditions: Family<ConditionLabels, Gauge>,
    /// The DougClusters, by namespace and name, of which conditions are told.
    told: Mutex<BTreeSet<(String, String)>>,
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
        let help = "Changes of members begun, by kind: join, move, replace, give-up, forget, \
            remove-cluster";
        registry.register("member_changes", help, member_changes.clone());
        let conditions = Family::<ConditionLabels, Gauge>::default();
        let help = "1 while the condition of the DougCluster is True, else 0";
        registry.register("condition", help, conditions.clone());
        let log_lines_dropped = Counter::default();
        let help = "Lines of the log that standard error did not take";
        registry.register("log_lines_dropped", help, log_lines_dropped.clone());
        Self {
            registry,
            reconciliations,
            duration,
            leader,
            member_changes,
            conditions,
            told: Mutex::default(),
            log_lines_dropped,
        }
    }

    /// Begins to time a reconciliation.
    pub fn start(self: &Arc<Self>) -> Timer {
        Timer { metrics: self.clone(), began: Instant::now() }
    }

    /// Whether this operator holds the lease. One that does not knows nothing of DougClusters: what
    /// it said of them would contradict what the other says.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(i64::from(leader));
        if !leader {
            self.conditions.clear();
            self.told.lock().clear();
        }
    }

    /// What is found about a DougCluster.
    pub fn conditions(&self, namespace: &str, name: &str, findings: &Findings) {
        self.told.lock().insert((namespace.to_owned(), name.to_owned()));
        for (condition, finding) in findings.by_type() {
            let labels = labels(namespace, name, condition);
            self.conditions.get_or_create(&labels).set(i64::from(finding.holds == Some(true)));
        }
    }

    /// A DougCluster is gone: a gauge that stays would alarm for ever.
    pub fn forget(&self, namespace: &str, name: &str) {
        if self.told.lock().remove(&(namespace.to_owned(), name.to_owned())) {
            for condition in TYPES {
                self.conditions.remove(&labels(namespace, name, condition));
            }
        }
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

fn labels(namespace: &str, name: &str, condition: &'static str) -> ConditionLabels {
    ConditionLabels {
        dougcluster_namespace: namespace.to_owned(),
        dougcluster: name.to_owned(),
        condition,
    }
}

impl Timer {
    /// Counts it.
    pub fn finish(self, result: &'static str) {
        self.metrics.duration.observe(self.began.elapsed().as_secs_f64());
        self.metrics.reconciliations.get_or_create(&Result { result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;

    fn lines(metrics: &Metrics) -> Vec<String> {
        let page = metrics.encode();
        let told = |line: &&str| line.starts_with("dougdb_operator_condition{");
        page.lines().filter(told).map(str::to_owned).collect()
    }

    #[test]
    fn conditions_are_told_of_what_there_is_and_of_nothing_else() {
        let metrics = Metrics::new();
        let degraded = status::Finding::yes("PodBroken", "it does not run");
        metrics.conditions("shop", "orders", &Findings { degraded, ..status::unknown() });
        metrics.conditions("shop", "stock", &status::unknown());
        let told = lines(&metrics);
        let labels = r#"dougcluster_namespace="shop",dougcluster="orders",condition="Degraded""#;
        assert!(told.contains(&format!("dougdb_operator_condition{{{labels}}} 1")), "{told:?}");
        assert_eq!(told.iter().filter(|line| line.ends_with(" 0")).count(), 7);

        metrics.forget("shop", "orders");
        assert!(lines(&metrics).iter().all(|line| line.contains("stock")));
        metrics.set_leader(false);
        assert!(lines(&metrics).is_empty(), "another operator tells of them now");
    }
}
