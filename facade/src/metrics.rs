//! What the facade counts, for Prometheus.

use doug_edge::keyspaces::KeyspaceLabels;
use doug_proto::v1::stream_operation::Operation;
use doug_streams::err;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::Code;

/// The kinds of operations, as the `op` label names them.
const OPERATIONS: [&str; 9] =
    ["get", "put", "delete", "scan", "batch", "register", "status", "transact", "watch"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    op: &'static str,
    code: &'static str,
    keyspace: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    op: &'static str,
}

/// All metrics of a facade.
pub struct Metrics {
    registry: Registry,
    keyspaces: KeyspaceLabels,
    outcomes: Family<Outcome, Counter>,
    /// Looked up once, because every operation ends here.
    latencies: Vec<Histogram>,
    in_flight_bytes: Gauge,
    answer_bytes: Gauge,
    received_bytes: Gauge,
    map_epoch: Gauge,
    streams: Gauge,
    log_lines_dropped: Counter,
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("dougdb_facade");
        let outcomes = Family::<Outcome, Counter>::default();
        registry.register("requests", "Operations answered, by gRPC code", outcomes.clone());
        let latency = Family::<Kind, Histogram>::new_with_constructor(|| {
            // 100 µs to about 13 s.
            Histogram::new(exponential_buckets(0.0001, 2.0, 18))
        });
        let help = "From reading an operation to having its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, latency.clone());
        let in_flight_bytes = Gauge::default();
        let help = "Requests under way";
        registry.register_with_unit("in_flight", help, Unit::Bytes, in_flight_bytes.clone());
        let answer_bytes = Gauge::default();
        let help = "Answers that clients have not read yet";
        registry.register_with_unit("answer", help, Unit::Bytes, answer_bytes.clone());
        let received_bytes = Gauge::default();
        let help = "Requests that are not whole, or that nobody reads";
        registry.register_with_unit("received", help, Unit::Bytes, received_bytes.clone());
        let map_epoch = Gauge::default();
        registry.register("map_epoch", "Epoch of the map in use, 0 for none", map_epoch.clone());
        let streams = Gauge::default();
        registry.register("streams", "Client streams open", streams.clone());
        let log_lines_dropped = Counter::default();
        let help = "Lines of the log that standard error did not take";
        registry.register("log_lines_dropped", help, log_lines_dropped.clone());
        let latency_of = |op| latency.get_or_create(&Kind { op }).clone();
        let latencies = OPERATIONS.into_iter().map(latency_of).collect();
        Self {
            registry,
            keyspaces: KeyspaceLabels::default(),
            outcomes,
            latencies,
            in_flight_bytes,
            answer_bytes,
            received_bytes,
            map_epoch,
            streams,
            log_lines_dropped,
        }
    }

    /// Counts one operation answered, in a keyspace that the map lists or in none.
    pub fn answered(
        &self,
        kind: OperationKind,
        code: Code,
        keyspace: Option<&str>,
        took: Duration,
    ) {
        self.latencies[kind.0].observe(took.as_secs_f64());
        let keyspace = self.keyspaces.of(keyspace);
        let outcome = Outcome { op: OPERATIONS[kind.0], code: name_of(code), keyspace };
        self.outcomes.get_or_create(&outcome).inc();
    }

    /// Notes the epoch of the map in use.
    pub fn set_map_epoch(&self, epoch: u64) {
        self.map_epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
    }

    /// Counts an open stream until the guard is dropped.
    pub fn stream_opened(&self) -> StreamGuard {
        self.streams.inc();
        StreamGuard(self.streams.clone())
    }

    /// The text that Prometheus scrapes.
    pub fn encode(&self, held: HeldBytes) -> String {
        let set = |gauge: &Gauge, bytes| gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        set(&self.in_flight_bytes, held.in_flight);
        set(&self.answer_bytes, held.answers);
        set(&self.received_bytes, held.received);
        self.log_lines_dropped.inner().store(err::dropped_lines(), Ordering::Relaxed);
        let mut body = String::new();
        text::encode(&mut body, &self.registry).expect("writing to a string cannot fail");
        body
    }
}

/// Bytes that a facade holds for its clients at the moment.
#[derive(Clone, Copy, Debug)]
pub struct HeldBytes {
    /// Of requests under way.
    pub in_flight: usize,
    /// Of answers that were not read yet.
    pub answers: usize,
    /// Of requests that are not whole, or that nobody reads.
    pub received: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts the stream as closed when dropped.
pub struct StreamGuard(Gauge);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Which kind of operation, as an index into the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationKind(usize);

impl From<&Operation> for OperationKind {
    fn from(operation: &Operation) -> Self {
        Self(match operation {
            Operation::Get(_) => 0,
            Operation::Put(_) => 1,
            Operation::Delete(_) => 2,
            Operation::Scan(_) => 3,
            Operation::Batch(_) => 4,
            Operation::Register(_) => 5,
            Operation::Status(_) => 6,
            Operation::Transact(_) => 7,
            Operation::Watch(_) => 8,
        })
    }
}

/// The name in gRPC's specification, as dashboards for gRPC expect it.
fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::GetRequest;

    #[test]
    fn operations_are_counted_by_kind_code_and_keyspace() {
        let metrics = Metrics::new();
        let get = OperationKind::from(&Operation::Get(GetRequest::default()));
        let took = Duration::from_millis(1);
        metrics.answered(get, Code::Ok, Some("default"), took);
        metrics.answered(get, Code::Ok, Some("default"), took);
        metrics.answered(get, Code::Unavailable, Some("tenant"), took);
        let text = metrics.encode(HeldBytes { in_flight: 77, answers: 88, received: 99 });
        let ok = r#"dougdb_facade_requests_total{op="get",code="OK",keyspace="default"} 2"#;
        assert!(text.contains(ok), "{text}");
        let failed = r#"{op="get",code="UNAVAILABLE",keyspace="tenant"} 1"#;
        assert!(text.contains(failed), "{text}");
        assert!(text.contains(r#"request_duration_seconds_count{op="get"} 3"#), "{text}");
        assert!(text.contains("dougdb_facade_in_flight_bytes 77"), "{text}");
        assert!(text.contains("dougdb_facade_answer_bytes 88"), "{text}");
        assert!(text.contains("dougdb_facade_received_bytes 99"), "{text}");
    }
}
