//! Typed errors: one `Fault` becomes a gRPC status with details, or an error
//! inside a stream, and is read back from either.

use crate::quote;
use crate::v1::{self, error_detail::Detail};
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};

/// Most bytes of an error's message, as a header carries them.
const MESSAGE_BYTES: usize = 1_024;
/// Most bytes of its details, encoded. Message and details go into the trailers of
/// an answer, twice the one and in base 64: with these bounds into less than 8 KiB,
/// which every HTTP/2 implementation takes. Beyond what theirs takes, clients see
/// another error, and never learn ours.
const DETAILS_BYTES: usize = 3_072;

/// An error as the wire carries it: a gRPC code, a sentence, typed details.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The gRPC code, never `Ok`.
    pub code: Code,
    /// What is wrong and what to do.
    pub message: String,
    /// Typed details.
    pub details: Vec<Detail>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The shape of google.rpc.Status, which `grpc-status-details-bin` carries.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Fault {
    /// An error without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// The same with one more detail.
    pub fn with(mut self, detail: Detail) -> Self {
        self.details.push(detail);
        self
    }

    /// The same with the promise that the operation never will be applied.
    pub fn not_executed(self) -> Self {
        self.with(Detail::NotExecuted(v1::NotExecuted {}))
    }

    /// `INVALID_ARGUMENT`: nothing was tried, and the same request never succeeds.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message).not_executed()
    }

    /// `INVALID_ARGUMENT` for something beyond a limit of [`limits`](crate::limits).
    pub fn limit(what: &str, limit: usize, actual: usize) -> Self {
        let detail =
            v1::LimitExceeded { what: what.to_owned(), limit: limit as u64, actual: actual as u64 };
        Self::invalid(format!("{actual} {what} exceed the limit of {limit}"))
            .with(Detail::LimitExceeded(detail))
    }

    /// `UNAVAILABLE`: not executed, and worth another try.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message).not_executed()
    }

    /// `RESOURCE_EXHAUSTED`: a bounded queue is full; not executed.
    pub fn exhausted(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, message).not_executed()
    }

    /// `DEADLINE_EXCEEDED` of a write that may have been proposed.
    pub fn deadline_unknown(message: impl Into<String>) -> Self {
        Self::new(Code::DeadlineExceeded, message)
            .with(Detail::OutcomeUnknown(v1::OutcomeUnknown {}))
    }

    /// `UNKNOWN` of a write that may have been proposed.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Code::Unknown, message).with(Detail::OutcomeUnknown(v1::OutcomeUnknown {}))
    }

    /// `UNAVAILABLE` with the leader to ask instead; not executed.
    pub fn not_leader(partition: u64, leader_node: String, leader_address: String) -> Self {
        let message = if leader_node.is_empty() {
            format!("this node does not lead partition {partition}, and knows no leader yet")
        } else {
            format!(
                "this node does not lead partition {partition}; \
                 node {leader_node} at {leader_address} does"
            )
        };
        Self::unavailable(message).with(Detail::NotLeader(v1::NotLeader {
            partition,
            leader_node,
            leader_address,
        }))
    }

    /// `UNAVAILABLE`: the write's session token is so many milliseconds ahead of the partition's
    /// clock; not executed.
    pub fn clock_ahead(partition: u64, by_milliseconds: u64) -> Self {
        let message = format!(
            "the session token of this write is {by_milliseconds} ms ahead of the clock of \
             partition {partition}: set the clocks of \
             the nodes (`doug doctor` names those that are off), or write without the token"
        );
        Self::unavailable(message).with(Self::ahead(by_milliseconds))
    }

    /// `OUT_OF_RANGE`: what was asked for lies before the oldest state that can be read.
    pub fn compacted(partition: u64, floor: v1::HistoryFloor) -> Self {
        let revision = floor.revision;
        let since = match floor.stamp >> 16 {
            0 => String::new(),
            milliseconds => format!(", which was there at {}", crate::instant::show(milliseconds)),
        };
        let message = format!(
            "partition {partition} can be read from revision {revision} on{since}; what was before \
             is compacted: read at a later moment"
        );
        let compacted = v1::Compacted { partition, floor: Some(floor) };
        Self::new(Code::OutOfRange, message).not_executed().with(Detail::Compacted(compacted))
    }

    /// The partition and its floor, if what was asked for is compacted.
    pub fn floor(&self) -> Option<(u64, v1::HistoryFloor)> {
        self.details.iter().find_map(|detail| match detail {
            Detail::Compacted(v1::Compacted { partition, floor }) => {
                Some((*partition, floor.unwrap_or_default()))
            }
            _ => None,
        })
    }

    /// What says that a session token is so many milliseconds ahead.
    pub fn ahead(by_milliseconds: u64) -> Detail {
        Detail::ClockAhead(v1::ClockAhead { by_milliseconds })
    }

    /// Whether it promises that the operation never will be applied.
    pub fn is_not_executed(&self) -> bool {
        self.details.iter().any(|d| matches!(d, Detail::NotExecuted(_)))
    }

    /// Whether it says that the operation may have been applied.
    pub fn is_outcome_unknown(&self) -> bool {
        self.details.iter().any(|d| matches!(d, Detail::OutcomeUnknown(_)))
    }

    /// The leader to ask instead, if that is what the error says.
    pub fn leader_hint(&self) -> Option<&v1::NotLeader> {
        self.details.iter().find_map(|d| match d {
            Detail::NotLeader(not_leader) => Some(not_leader),
            _ => None,
        })
    }

    /// The descriptor of the right partition, if that is what the error says.
    pub fn wrong_partition(&self) -> Option<&v1::WrongPartition> {
        self.details.iter().find_map(|d| match d {
            Detail::WrongPartition(wrong) => Some(wrong),
            _ => None,
        })
    }

    /// By how many milliseconds the session token is ahead of the partition's clock, if that is
    /// what the error says.
    pub fn clock_ahead_by(&self) -> Option<u64> {
        self.details.iter().find_map(|d| match d {
            Detail::ClockAhead(ahead) => Some(ahead.by_milliseconds),
            _ => None,
        })
    }

    /// Whether the session of a write was not known.
    pub fn is_session_expired(&self) -> bool {
        self.details.iter().any(|d| matches!(d, Detail::SessionExpired(_)))
    }

    /// The form inside a stream.
    pub fn to_wire(&self) -> v1::Error {
        let details = self.details_within_bounds();
        v1::Error {
            code: self.code as i32,
            message: quote::cut(&self.message, MESSAGE_BYTES),
            details: details.map(|detail| v1::ErrorDetail { detail: Some(detail) }).collect(),
        }
    }

    /// The details, without what makes them too long: first without the descriptor
    /// of a partition, which a map has as well; then only those that fit.
    fn details_within_bounds(&self) -> impl Iterator<Item = Detail> {
        let mut left = DETAILS_BYTES;
        let bytes = |detail: &Detail| to_any(detail).encoded_len();
        let long = self.details.iter().map(bytes).sum::<usize>() > DETAILS_BYTES;
        self.details.iter().filter_map(move |detail| {
            let detail = match detail {
                Detail::WrongPartition(wrong) if long => {
                    Detail::WrongPartition(v1::WrongPartition { descriptor: None, ..*wrong })
                }
                detail => detail.clone(),
            };
            left = left.checked_sub(bytes(&detail))?;
            Some(detail)
        })
    }

    /// Reads the form inside a stream.
    pub fn from_wire(error: v1::Error) -> Self {
        Self {
            code: Code::from_i32(error.code),
            message: error.message,
            details: error.details.into_iter().filter_map(|d| d.detail).collect(),
        }
    }

    /// The status of a unary call, with the details as `google.rpc.Status`.
    pub fn to_status(&self) -> Status {
        let message = quote::cut(&self.message, MESSAGE_BYTES);
        let status = RpcStatus {
            code: self.code as i32,
            message: message.clone(),
            details: self.details_within_bounds().map(|detail| to_any(&detail)).collect(),
        };
        Status::with_details(self.code, message, Bytes::from(status.encode_to_vec()))
    }

    /// Reads the status of a unary call. Details of other kinds are passed over.
    pub fn from_status(status: &Status) -> Self {
        let details = RpcStatus::decode(status.details())
            .map(|rpc| rpc.details.iter().filter_map(from_any).collect())
            .unwrap_or_default();
        Self { code: status.code(), message: status.message().to_owned(), details }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.to_status()
    }
}

fn any<M: Message + NamedDetail>(message: &M) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/dougdb.v1.{}", M::NAME),
        value: message.encode_to_vec(),
    }
}

trait NamedDetail {
    const NAME: &'static str;
}

macro_rules! details {
    ($($name:ident),*) => {
        $(impl NamedDetail for v1::$name {
            const NAME: &'static str = stringify!($name);
        })*

        fn to_any(detail: &Detail) -> prost_types::Any {
            match detail {
                $(Detail::$name(message) => any(message),)*
            }
        }

        fn from_any(any: &prost_types::Any) -> Option<Detail> {
            let name = any.type_url.rsplit("dougdb.v1.").next()?;
            match name {
                $(stringify!($name) => {
                    v1::$name::decode(&any.value[..]).ok().map(Detail::$name)
                })*
                _ => None,
            }
        }
    };
}

details!(
    NotLeader,
    WrongPartition,
    NotExecuted,
    OutcomeUnknown,
    SessionExpired,
    LimitExceeded,
    ClockAhead,
    Compacted
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn sample() -> Fault {
        Fault::not_leader(3, "9f3c21d07be4".into(), "host:7400".into())
    }

    #[test]
    fn a_fault_survives_a_unary_status() {
        assert_eq!(Fault::from_status(&sample().to_status()), sample());
    }

    #[test]
    fn a_fault_survives_a_stream() {
        assert_eq!(Fault::from_wire(sample().to_wire()), sample());
    }

    /// What the headers of a status take on the wire.
    fn trailer_bytes(status: &Status) -> usize {
        let mut headers = tonic::codegen::http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        // HTTP/2 counts 32 bytes on top of each.
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    /// An error that quotes two keys whole, says what another error said, and has
    /// every detail there is, of a partition that begins and ends at these keys.
    fn greedy(one: &[u8], two: &[u8]) -> Fault {
        let shown = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let descriptor = v1::PartitionDescriptor {
            start: one.to_vec().into(),
            end: two.to_vec().into(),
            ..Default::default()
        };
        let wrong = v1::WrongPartition { descriptor: Some(descriptor), epoch: 9 };
        let limit = v1::LimitExceeded { what: "key bytes".into(), limit: 1, actual: 2 };
        Fault::new(Code::Unavailable, format!("{} and {}", shown(one), shown(two)))
            .with(Detail::NotLeader(v1::NotLeader { partition: 3, ..Default::default() }))
            .with(Detail::WrongPartition(wrong))
            .with(Detail::LimitExceeded(limit))
            .not_executed()
    }

    proptest::proptest! {
        #[test]
        fn no_error_makes_trailers_beyond_8_kib(
            one in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..=4_096),
            two in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..=4_096),
        ) {
            let fault = greedy(&one, &two);
            proptest::prop_assert!(trailer_bytes(&fault.to_status()) <= 8 << 10);
            let read = Fault::from_status(&fault.to_status());
            proptest::prop_assert!(read.is_not_executed() && read.wrong_partition().is_some());
            proptest::prop_assert_eq!(&read.details, &Fault::from_wire(fault.to_wire()).details);
        }
    }

    #[test]
    fn two_of_the_longest_keys_in_one_error_fit() {
        let key = vec![0xff; limits::KEY_BYTES];
        let status = greedy(&key, &key).to_status();
        assert!(trailer_bytes(&status) <= 8 << 10, "{}", trailer_bytes(&status));
        assert!(status.message().contains("more bytes"), "{}", status.message());
    }

    #[test]
    fn a_detail_that_is_too_long_is_left_out_and_the_others_stay() {
        let limit = v1::LimitExceeded { what: "x".repeat(9 << 10), limit: 1, actual: 2 };
        let fault = sample().with(Detail::LimitExceeded(limit)).not_executed();
        let status = fault.to_status();
        assert!(trailer_bytes(&status) <= 8 << 10, "{}", trailer_bytes(&status));
        assert_eq!(Fault::from_status(&status), sample().not_executed());
    }

    #[test]
    fn a_status_of_another_server_has_no_details_and_promises_nothing() {
        let fault = Fault::from_status(&Status::unavailable("connection refused"));
        assert!(!fault.is_not_executed() && !fault.is_outcome_unknown());
    }
}
