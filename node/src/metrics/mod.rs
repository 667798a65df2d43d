//! Counters for Prometheus.

mod measured;
mod partitions;
mod pipeline;

pub use measured::{HostsMeasured, Measured, ReplicaMeasured, ThreadMeasured, VolumeMeasured};
pub use pipeline::Pipeline;

use crate::budget::Share;
use crate::flow::Class;
use doug_edge::keyspaces::KeyspaceLabels;
use doug_proto::v1::{Outcome, stream_operation::Operation};
use doug_raft::UnquiesceCause;
use doug_streams::err;
use partitions::{Figures, PartitionMetrics};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Which kind of operation, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    keyspace: Arc<str>,
}

/// Which keyspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyspaceLabel {
    keyspace: Arc<str>,
}

/// What was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    class: &'static str,
    keyspace: Arc<str>,
}

/// Why a replica unquiesced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnquiesceLabels {
    cause: &'static str,
}

/// Which part of the memory budget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShareLabels {
    share: &'static str,
}

/// What operations wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// How long operations took from the node's door to their answer, by class. Those refused at the
/// door, and those not carried out, are not in it: it is what admission promises.
#[derive(Clone, Debug)]
pub struct Durations {
    family: Family<ClassLabels, Histogram>,
    /// The same, looked up once, because every operation ends here.
    of: [Histogram; 3],
}

impl Default for Durations {
    fn default() -> Self {
        let family = Family::<ClassLabels, Histogram>::new_with_constructor(|| {
            // 100 µs to about 13 s, as facades have it.
            Histogram::new(exponential_buckets(0.0001, 2.0, 18))
        });
        let of = Class::ALL.map(|class| {
            let labels = ClassLabels { class: class.name() };
            family.get_or_create(&labels).clone()
        });
        Self { family, of }
    }
}

impl Durations {
    /// Those of one class.
    pub fn of(&self, class: Class) -> &Histogram {
        &self.of[class as usize]
    }
}

/// All counters of a node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    keyspaces: KeyspaceLabels,
    operations: Family<OperationLabels, Counter>,
    conditions_unmet: Family<KeyspaceLabel, Counter>,
    sessions: Family<KeyspaceLabel, Gauge>,
    partitions: PartitionMetrics,
    /// What an operation causes inside the node.
    pub pipeline: Pipeline,
    clock_offset: Gauge,
    leaderships: Gauge,
    quiesced: Gauge,
    unquiesces: Family<UnquiesceLabels, Counter>,
    /// Messages given to the streams to other nodes.
    pub peer_turns: Counter,
    /// Appends of leaders that were not taken in, since too much waited already.
    pub dropped_appends: Counter,
    log_backlog_bytes: Gauge,
    memtable_bytes: Gauge,
    memory_share_bytes: Family<ShareLabels, Gauge>,
    refused: Family<RefusedLabels, Counter>,
    /// What operations that were taken in took.
    pub durations: Durations,
    expiry_lateness: Histogram,
    under_way: Family<ClassLabels, Gauge>,
    admission_limit: Family<ClassLabels, Gauge>,
    request_bytes: Gauge,
    answer_bytes: Gauge,
    received_bytes: Gauge,
    log_bytes: Gauge,
    volume_bytes: Gauge,
    volume_free_bytes: Gauge,
    volume_available_bytes: Gauge,
    volume_reserved_bytes: Gauge,
    refuses_writes: Gauge,
    log_tail_cut: Gauge,
    ambiguous_tails: Gauge,
    open_tables: Gauge,
    lookup_bytes: Gauge,
    session_bytes: Gauge,
    change_bytes: Gauge,
    waiting_watches: Gauge,
    map_epoch: Gauge,
    log_lines_dropped: Counter,
    /// Memtables written to disk.
    pub flushes: Counter,
    /// Compactions done.
    pub compactions: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! register {
    ($registry:ident, $($name:literal: $help:literal => $metric:ident),* $(,)?) => {
        $($registry.register($name, $help, $metric.clone());)*
    };
}

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dougdb_node");
        let operations = Family::<OperationLabels, Counter>::default();
        let conditions_unmet = Family::<KeyspaceLabel, Counter>::default();
        let sessions = Family::<KeyspaceLabel, Gauge>::default();
        let (leaderships, quiesced) = (Gauge::default(), Gauge::default());
        let clock_offset = Gauge::default();
        let unquiesces = Family::<UnquiesceLabels, Counter>::default();
        let (peer_turns, dropped_appends) = (Counter::default(), Counter::default());
        let (log_backlog_bytes, memtable_bytes) = (Gauge::default(), Gauge::default());
        let memory_share_bytes = Family::<ShareLabels, Gauge>::default();
        let refused = Family::<RefusedLabels, Counter>::default();
        let durations = Durations::default();
        let under_way = Family::<ClassLabels, Gauge>::default();
        let admission_limit = Family::<ClassLabels, Gauge>::default();
        let (request_bytes, answer_bytes, received_bytes) = Default::default();
        let (log_bytes, map_epoch) = (Gauge::default(), Gauge::default());
        let (volume_bytes, volume_free_bytes) = (Gauge::default(), Gauge::default());
        let (volume_available_bytes, refuses_writes) = (Gauge::default(), Gauge::default());
        let volume_reserved_bytes = Gauge::default();
        let log_lines_dropped = Counter::default();
        let (log_tail_cut, open_tables) = (Gauge::default(), Gauge::default());
        let (lookup_bytes, session_bytes) = (Gauge::default(), Gauge::default());
        let ambiguous_tails = Gauge::default();
        let (change_bytes, waiting_watches) = (Gauge::default(), Gauge::default());
        let (flushes, compactions) = (Counter::default(), Counter::default());
        register!(registry,
            "operations": "Operations taken up, by kind" => operations,
            "conditions_unmet": "Writes whose condition did not hold" => conditions_unmet,
            "sessions": "Client sessions of the partitions led from this node" => sessions,
            "clock_offset_milliseconds": "By how much this node's wall clock is ahead of the \
             median of those it hears, or behind it if negative" => clock_offset,
            "leaderships": "Partitions led from this node" => leaderships,
            "quiesced_partitions": "Partitions whose replica on this node is quiesced" => quiesced,
            "unquiesces": "Replicas that unquiesced, by cause" => unquiesces,
            "peer_turns": "Messages to other nodes, each for all partitions that have something to \
             say" => peer_turns,
            "refused_operations": "Operations refused at once, so that those taken in are answered \
             soon" => refused,
            "operations_under_way": "Operations that the node works on" => under_way,
            "admission_limit": "How many operations the node works on at most" => admission_limit,
            "dropped_appends": "Appends of leaders not taken in, because too much waits for the \
             disk" => dropped_appends,
            "map_epoch": "Epoch of this node's partition map" => map_epoch,
            "log_lines_dropped": "Lines of the log that standard error did not \
             take" => log_lines_dropped,
            "flushes": "Memtables written to SSTables" => flushes,
            "compactions": "Compactions done" => compactions,
            "ambiguous_tails": "Replicas that may have lost what they acknowledged, because the \
             log was cut, and have not found out yet" => ambiguous_tails,
            "log_tail_cut": "1 if the log ended in a record that did not read when this process \
             started" => log_tail_cut,
            "open_tables": "Tables whose files are open" => open_tables,
            "waiting_watches": "Watches that wait for something to tell" => waiting_watches,
            "refuses_writes": "1 while writes are refused because the volume is \
             full" => refuses_writes,
        );
        for (name, help, gauge) in [
            ("request", "Requests in flight", &request_bytes),
            ("answer", "Answers that clients have not read yet", &answer_bytes),
            ("received", "Requests that are not whole, or that nobody reads", &received_bytes),
            ("log", "The log on disk", &log_bytes),
            ("lookup", "Filters and indexes of tables", &lookup_bytes),
            ("session", "Client sessions of all replicas", &session_bytes),
            ("change", "Recent changes of replicas that are watched", &change_bytes),
            ("memtable", "Memtables of all replicas", &memtable_bytes),
            ("log_backlog", "Given to the log and not yet durable", &log_backlog_bytes),
            ("volume", "The volume altogether", &volume_bytes),
            ("volume_free", "What of the volume is not in use", &volume_free_bytes),
            ("volume_available", "What of the volume is left for data", &volume_available_bytes),
            ("volume_reserved", "Promised to tables and not written yet", &volume_reserved_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        let partitions = PartitionMetrics::default();
        partitions.register(&mut registry);
        let pipeline = Pipeline::default();
        pipeline.register(&mut registry);
        let help = "What each part may use of the memory budget";
        registry.register_with_unit("memory_share", help, Unit::Bytes, memory_share_bytes.clone());
        let help = "From the node's door to the answer, of operations taken in and carried out";
        let family = durations.family.clone();
        registry.register_with_unit("operation_duration", help, Unit::Seconds, family);
        // 1 ms to about 9 hours: a key is late by as long as its partition had no leader.
        let expiry_lateness = Histogram::new(exponential_buckets(0.001, 2.0, 26));
        let help = "How long after they were due keys expired, in partitions led from this node";
        let histogram = expiry_lateness.clone();
        registry.register_with_unit("expiry_lateness", help, Unit::Seconds, histogram);
        Self {
            registry,
            keyspaces: KeyspaceLabels::default(),
            operations,
            conditions_unmet,
            sessions,
            partitions,
            pipeline,
            clock_offset,
            leaderships,
            quiesced,
            unquiesces,
            peer_turns,
            dropped_appends,
            log_backlog_bytes,
            memtable_bytes,
            memory_share_bytes,
            refused,
            durations,
            expiry_lateness,
            under_way,
            admission_limit,
            request_bytes,
            answer_bytes,
            received_bytes,
            log_bytes,
            volume_bytes,
            volume_free_bytes,
            volume_available_bytes,
            volume_reserved_bytes,
            refuses_writes,
            log_tail_cut,
            ambiguous_tails,
            open_tables,
            lookup_bytes,
            session_bytes,
            change_bytes,
            waiting_watches,
            map_epoch,
            log_lines_dropped,
            flushes,
            compactions,
        }
    }

    /// An operation of this kind was taken up, in a keyspace that the map lists or in none.
    pub fn operation(&self, operation: &'static str, keyspace: Option<&str>) {
        let keyspace = self.keyspaces.of(keyspace);
        self.operations.get_or_create(&OperationLabels { operation, keyspace }).inc();
    }

    /// An operation in a keyspace was refused, because enough are under way.
    pub fn refused(&self, class: Class, keyspace: Option<&str>) {
        let (class, keyspace) = (class.name(), self.keyspaces.of(keyspace));
        self.refused.get_or_create(&RefusedLabels { class, keyspace }).inc();
    }

    /// A write in a keyspace was applied.
    pub fn written(&self, outcome: &Outcome, keyspace: Option<&str>) {
        if !outcome.conditions_met && !outcome.wrong_partition && !outcome.session_expired {
            let keyspace = self.keyspaces.of(keyspace);
            self.conditions_unmet.get_or_create(&KeyspaceLabel { keyspace }).inc();
        }
    }

    /// Keys of a partition that is led from here have expired, so late each. Every member has the
    /// same: only the leader counts them, so that the sum over nodes is right.
    pub fn expired(&self, lateness: &[Duration]) {
        lateness.iter().for_each(|late| self.expiry_lateness.observe(late.as_secs_f64()));
    }

    /// The role, term or leader of a partition's replica changed.
    pub fn role_changed(&self, partition: u64) {
        self.partitions.role_changed(partition);
    }

    /// Replicas unquiesced.
    pub fn unquiesced(&self, unquiesces: &[(UnquiesceCause, u64)]) {
        for (cause, count) in unquiesces {
            self.unquiesces.get_or_create(&UnquiesceLabels { cause: cause.name() }).inc_by(*count);
        }
    }

    /// Every member of a partition has the same sessions: only its leader counts them, so that
    /// the sum over nodes is right.
    fn count_sessions(&self, replicas: &[ReplicaMeasured]) {
        let mut counts: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for replica in replicas.iter().filter(|replica| replica.leads) {
            let label = self.keyspaces.of(replica.keyspace.as_deref());
            *counts.entry(label).or_default() += replica.sessions;
        }
        // A node that leads nothing in a keyspace any more counts nothing there.
        self.sessions.clear();
        for (keyspace, count) in counts {
            self.sessions.get_or_create(&KeyspaceLabel { keyspace }).set(count as i64);
        }
    }

    /// All of them in Prometheus's text format, with the gauges as they were measured just now.
    ///
    /// # Errors
    /// None in practice: it writes to memory.
    pub fn render(&self, now: &Measured) -> Result<String, std::fmt::Error> {
        self.clock_offset.set(now.hosts.clock_offset);
        self.leaderships.set(now.hosts.leaderships as i64);
        self.quiesced.set(now.hosts.quiesced as i64);
        self.ambiguous_tails.set(now.hosts.ambiguous_tails as i64);
        self.log_backlog_bytes.set(now.hosts.log_backlog_bytes as i64);
        self.request_bytes.set(now.request_bytes as i64);
        self.answer_bytes.set(now.answer_bytes as i64);
        self.received_bytes.set(now.received_bytes as i64);
        self.log_bytes.set(now.log_bytes as i64);
        for (class, under_way, limit) in now.under_way {
            let labels = ClassLabels { class: class.name() };
            self.under_way.get_or_create(&labels).set(under_way as i64);
            self.admission_limit.get_or_create(&labels).set(limit as i64);
        }
        if let Some(volume) = &now.volume {
            self.volume_bytes.set(volume.total as i64);
            self.volume_free_bytes.set(volume.free as i64);
            self.volume_available_bytes.set(volume.available as i64);
            self.volume_reserved_bytes.set(volume.reserved as i64);
        }
        self.refuses_writes.set(i64::from(now.refuses_writes));
        self.log_tail_cut.set(i64::from(now.log_tail_cut));
        self.lookup_bytes.set(now.lookup_bytes as i64);
        self.session_bytes.set(now.session_bytes as i64);
        self.change_bytes.set(now.change_bytes as i64);
        self.waiting_watches.set(now.waiting_watches as i64);
        self.open_tables.set(now.open_tables as i64);
        self.map_epoch.set(now.map_epoch as i64);
        for share in Share::ALL {
            let bytes = now.budget.of(share) as i64;
            self.memory_share_bytes.get_or_create(&ShareLabels { share: share.name() }).set(bytes);
        }
        self.memtable_bytes.set(now.memtable_bytes as i64);
        self.count_sessions(&now.replicas);
        self.pipeline.measured(&now.threads);
        self.partitions.tell(now.replicas.iter().map(|replica| Figures {
            partition: replica.partition,
            bytes: replica.bytes,
            compaction_debt: replica.compaction_debt,
            applied: replica.applied,
        }));
        self.log_lines_dropped.inner().store(err::dropped_lines(), Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The kind of an operation, as the label `operation` names it.
pub fn kind_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Get(_) => "get",
        Operation::Put(_) => "put",
        Operation::Delete(_) => "delete",
        Operation::Scan(_) => "scan",
        Operation::Watch(_) => "watch",
        Operation::Batch(_) => "batch",
        Operation::Transact(_) => "transact",
        Operation::Register(_) => "register",
        Operation::Status(_) => "status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_operations_took_is_told_by_class() {
        let metrics = Metrics::new();
        metrics.durations.of(Class::Read).observe(0.003);
        metrics.durations.of(Class::Write).observe(60.0);
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        for line in [
            r#"dougdb_node_operation_duration_seconds_bucket{le="0.0032",class="read"} 1"#,
            r#"dougdb_node_operation_duration_seconds_bucket{le="+Inf",class="write"} 1"#,
            r#"dougdb_node_operation_duration_seconds_sum{class="write"} 60.0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn how_late_keys_expire_is_told_of_each() {
        let metrics = Metrics::new();
        metrics.expired(&[Duration::from_millis(3), Duration::from_secs(3_600)]);
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        for line in [
            r#"dougdb_node_expiry_lateness_seconds_bucket{le="0.002"} 0"#,
            r#"dougdb_node_expiry_lateness_seconds_bucket{le="0.004"} 1"#,
            "dougdb_node_expiry_lateness_seconds_count 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_counted_by_keyspace_says_which() {
        let metrics = Metrics::new();
        metrics.operation("put", Some("default"));
        metrics.operation("put", Some("tenant"));
        metrics.operation("put", None);
        metrics.refused(Class::Write, Some("tenant"));
        metrics.written(&Outcome::default(), Some("tenant"));
        let mut text = String::new();
        encode(&mut text, &metrics.registry).unwrap();
        for line in [
            r#"dougdb_node_operations_total{operation="put",keyspace="default"} 1"#,
            r#"dougdb_node_operations_total{operation="put",keyspace="tenant"} 1"#,
            r#"dougdb_node_operations_total{operation="put",keyspace="(none)"} 1"#,
            r#"dougdb_node_refused_operations_total{class="write",keyspace="tenant"} 1"#,
            r#"dougdb_node_conditions_unmet_total{keyspace="tenant"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_sessions_of_a_partition_are_counted_by_its_leader_alone() {
        let metrics = Metrics::new();
        let replica = |partition, keyspace: &str, leads| ReplicaMeasured {
            partition,
            keyspace: Some(keyspace.to_owned()),
            leads,
            sessions: 3,
            bytes: 0,
            compaction_debt: 0,
            applied: 0,
        };
        let line = |keyspace: &str, count: usize| {
            let mut text = String::new();
            encode(&mut text, &metrics.registry).unwrap();
            let line = format!("dougdb_node_sessions{{keyspace=\"{keyspace}\"}} {count}\n");
            text.contains(&line)
        };
        metrics.count_sessions(&[replica(2, "default", true), replica(3, "default", true)]);
        assert!(line("default", 6));
        metrics.count_sessions(&[replica(2, "default", false), replica(4, "tenant", true)]);
        assert!(line("tenant", 3) && !line("default", 6), "what is not led is not counted");
    }
}
