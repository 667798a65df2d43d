//! Between the core's messages and the wire's.

use doug_proto::v1::{self, raft_message::Message as Wire};
use doug_raft::{Batch, BatchError, LivenessEpoch, Message, ReplicaId, Verdict};

/// Addresses of a message inside a pair of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The group.
    pub partition: u64,
    /// The sending replica.
    pub from: ReplicaId,
    /// The receiving replica.
    pub to: ReplicaId,
}

/// Adds a message to what its node is sent this turn. Heartbeats and their
/// answers go to lists of their own: there is one per partition and interval.
pub fn pack(turn: &mut v1::PeerTurn, route: Route, message: Message) {
    let Route { partition, from, to } = route;
    let (from_replica, to_replica) = (from.0, to.0);
    let (term, wire) = match message {
        Message::Heartbeat { term, commit, round } => {
            turn.heartbeats.push(v1::Heartbeat {
                partition,
                from_replica,
                to_replica,
                term,
                commit,
                round,
            });
            return;
        }
        Message::HeartbeatResponse { term, round, verified, matched } => {
            turn.heartbeat_answers.push(v1::HeartbeatAnswer {
                partition,
                from_replica,
                to_replica,
                term,
                round,
                verified,
                matched,
            });
            return;
        }
        Message::PreVote { term, last_index, last_term } => {
            (term, Wire::VoteRequest(vote_request(last_index, last_term, true, false)))
        }
        Message::Vote { term, last_index, last_term, transfer } => {
            (term, Wire::VoteRequest(vote_request(last_index, last_term, false, transfer)))
        }
        Message::PreVoteResponse { term, asked, granted, ambiguous } => {
            (term, Wire::VoteAnswer(v1::VoteAnswer { granted, pre_vote: true, asked, ambiguous }))
        }
        Message::VoteResponse { term, granted, ambiguous } => {
            let answer = v1::VoteAnswer { granted, pre_vote: false, asked: 0, ambiguous };
            (term, Wire::VoteAnswer(answer))
        }
        Message::Append { term, prev_index, prev_term, commit, batches } => {
            let batches = batches.into_iter().map(|batch| batch.encoded).collect();
            (term, Wire::Append(v1::Append { prev_index, prev_term, commit, batches }))
        }
        Message::AppendResponse { term, verdict } => {
            (term, Wire::AppendAnswer(append_answer(verdict)))
        }
        Message::Quiesce {
            term,
            commit,
            round,
            liveness: LivenessEpoch { incarnation, epoch },
        } => (term, Wire::Quiesce(v1::Quiesce { commit, round, incarnation, epoch })),
        Message::QuiesceResponse { term, round, agreed } => {
            (term, Wire::QuiesceAnswer(v1::QuiesceAnswer { round, agreed }))
        }
        Message::TimeoutNow { term } => (term, Wire::TimeoutNow(v1::TimeoutNow {})),
        Message::ReadIndexRequest { term, request } => {
            (term, Wire::ReadIndexQuery(v1::ReadIndexQuery { id: request }))
        }
        Message::ReadIndexResponse { term, request, index } => {
            (term, Wire::ReadIndexAnswer(v1::ReadIndexAnswer { id: request, index }))
        }
        Message::LogEndRequest { term, request, last_index } => {
            (term, Wire::LogEndQuery(v1::LogEndQuery { id: request, last_index }))
        }
        Message::LogEndResponse { term, request, last_index } => {
            (term, Wire::LogEndAnswer(v1::LogEndAnswer { id: request, last_index }))
        }
    };
    turn.messages.push(v1::RaftMessage {
        partition,
        from_replica,
        to_replica,
        term,
        message: Some(wire),
    });
}

/// Reads one message.
///
/// # Errors
/// A batch that is damaged or of a newer format, or a message of no kind.
pub fn unpack(wire: v1::RaftMessage) -> Result<(Route, Message), UnpackError> {
    let route = Route {
        partition: wire.partition,
        from: ReplicaId(wire.from_replica),
        to: ReplicaId(wire.to_replica),
    };
    let term = wire.term;
    let message = match wire.message.ok_or(UnpackError::Empty)? {
        Wire::VoteRequest(v) if v.pre_vote => {
            Message::PreVote { term, last_index: v.last_index, last_term: v.last_term }
        }
        Wire::VoteRequest(v) => Message::Vote {
            term,
            last_index: v.last_index,
            last_term: v.last_term,
            transfer: v.transfer,
        },
        Wire::VoteAnswer(v) if v.pre_vote => Message::PreVoteResponse {
            term,
            asked: v.asked,
            granted: v.granted,
            ambiguous: v.ambiguous,
        },
        Wire::VoteAnswer(v) => {
            Message::VoteResponse { term, granted: v.granted, ambiguous: v.ambiguous }
        }
        Wire::Append(append) => Message::Append {
            term,
            prev_index: append.prev_index,
            prev_term: append.prev_term,
            commit: append.commit,
            batches: append.batches.into_iter().map(own).collect::<Result<_, _>>()?,
        },
        Wire::AppendAnswer(answer) => Message::AppendResponse { term, verdict: verdict(&answer) },
        Wire::ReadIndexQuery(q) => Message::ReadIndexRequest { term, request: q.id },
        Wire::ReadIndexAnswer(a) => {
            Message::ReadIndexResponse { term, request: a.id, index: a.index }
        }
        Wire::LogEndQuery(q) => {
            Message::LogEndRequest { term, request: q.id, last_index: q.last_index }
        }
        Wire::LogEndAnswer(a) => {
            Message::LogEndResponse { term, request: a.id, last_index: a.last_index }
        }
        Wire::Quiesce(asked) => {
            let liveness = LivenessEpoch { incarnation: asked.incarnation, epoch: asked.epoch };
            Message::Quiesce { term, commit: asked.commit, round: asked.round, liveness }
        }
        Wire::QuiesceAnswer(answer) => {
            Message::QuiesceResponse { term, round: answer.round, agreed: answer.agreed }
        }
        Wire::TimeoutNow(_) => Message::TimeoutNow { term },
    };
    Ok((route, message))
}

/// Reads a heartbeat.
pub fn unpack_heartbeat(wire: &v1::Heartbeat) -> (Route, Message) {
    let route = Route {
        partition: wire.partition,
        from: ReplicaId(wire.from_replica),
        to: ReplicaId(wire.to_replica),
    };
    let message = Message::Heartbeat { term: wire.term, commit: wire.commit, round: wire.round };
    (route, message)
}

/// Reads the answer to a heartbeat.
pub fn unpack_heartbeat_answer(wire: &v1::HeartbeatAnswer) -> (Route, Message) {
    let route = Route {
        partition: wire.partition,
        from: ReplicaId(wire.from_replica),
        to: ReplicaId(wire.to_replica),
    };
    let message = Message::HeartbeatResponse {
        term: wire.term,
        round: wire.round,
        verified: wire.verified,
        matched: wire.matched,
    };
    (route, message)
}

/// Why a peer's message could not be read. It is dropped, as if lost.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A batch inside is damaged or of a newer format.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// No kind this program knows: the sender is newer.
    #[error("a message of a kind this program does not know: its sender is newer")]
    Empty,
}

/// A batch must not keep the whole frame it arrived in alive: the frame may be a thousand times
/// its size, and whoever keeps batches counts only the batch.
fn own(bytes: bytes::Bytes) -> Result<Batch, BatchError> {
    Batch::decode(bytes::Bytes::copy_from_slice(&bytes))
}

fn vote_request(
    last_index: u64,
    last_term: u64,
    pre_vote: bool,
    transfer: bool,
) -> v1::VoteRequest {
    v1::VoteRequest { last_index, last_term, pre_vote, transfer }
}

fn append_answer(verdict: Verdict) -> v1::AppendAnswer {
    match verdict {
        Verdict::Accepted { matched } => {
            v1::AppendAnswer { accepted: true, matched, ..Default::default() }
        }
        Verdict::Rejected { prev_index, conflict_term, first_index } => v1::AppendAnswer {
            accepted: false,
            rejected_index: prev_index,
            conflict_term,
            first_index,
            matched: 0,
        },
    }
}

fn verdict(answer: &v1::AppendAnswer) -> Verdict {
    if answer.accepted {
        return Verdict::Accepted { matched: answer.matched };
    }
    Verdict::Rejected {
        prev_index: answer.rejected_index,
        conflict_term: answer.conflict_term,
        first_index: answer.first_index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doug_raft::{BatchKind, BatchTime, Clock, PartitionId, Stamp};

    const ROUTE: Route = Route { partition: 3, from: ReplicaId(1), to: ReplicaId(2) };

    fn through_the_wire(message: Message) -> (Route, Message) {
        let mut turn = v1::PeerTurn::default();
        pack(&mut turn, ROUTE, message);
        if let Some(heartbeat) = turn.heartbeats.first() {
            return unpack_heartbeat(heartbeat);
        }
        if let Some(answer) = turn.heartbeat_answers.first() {
            return unpack_heartbeat_answer(answer);
        }
        unpack(turn.messages.remove(0)).unwrap()
    }

    #[test]
    fn every_message_survives_the_wire() {
        let commands = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let time = BatchTime { clock: Clock(5), stamp: Stamp((5 << 16) + 2) };
        let batch = Batch::encode(PartitionId(3), BatchKind::Commands, 7, 41, time, &commands);
        let rejected = Verdict::Rejected { prev_index: 9, conflict_term: 2, first_index: 5 };
        let messages = [
            Message::PreVote { term: 8, last_index: 42, last_term: 7 },
            Message::PreVoteResponse { term: 7, asked: 8, granted: true, ambiguous: true },
            Message::Vote { term: 8, last_index: 42, last_term: 7, transfer: true },
            Message::VoteResponse { term: 8, granted: true, ambiguous: true },
            Message::Append {
                term: 7,
                prev_index: 40,
                prev_term: 6,
                commit: 39,
                batches: vec![batch],
            },
            Message::AppendResponse { term: 7, verdict: Verdict::Accepted { matched: 42 } },
            Message::AppendResponse { term: 7, verdict: rejected },
            Message::Heartbeat { term: 7, commit: 40, round: 3 },
            Message::HeartbeatResponse { term: 7, round: 3, verified: 42, matched: 41 },
            Message::TimeoutNow { term: 7 },
            Message::Quiesce {
                term: 7,
                commit: 42,
                round: 4,
                liveness: LivenessEpoch { incarnation: 99, epoch: 2 },
            },
            Message::QuiesceResponse { term: 7, round: 4, agreed: true },
            Message::ReadIndexRequest { term: 7, request: 11 },
            Message::ReadIndexResponse { term: 7, request: 11, index: Some(0) },
            Message::ReadIndexResponse { term: 7, request: 11, index: None },
            Message::LogEndRequest { term: 7, request: 12, last_index: 40 },
            Message::LogEndResponse { term: 7, request: 12, last_index: 42 },
        ];
        for message in messages {
            assert_eq!(through_the_wire(message.clone()), (ROUTE, message));
        }
    }

    #[test]
    fn a_damaged_batch_is_refused() {
        let batch =
            Batch::encode(PartitionId(3), BatchKind::Noop, 7, 41, BatchTime::default(), &[]);
        let mut bytes = batch.encoded.to_vec();
        bytes[20] ^= 1;
        let append = v1::Append { batches: vec![bytes.into()], ..Default::default() };
        let wire = v1::RaftMessage { message: Some(Wire::Append(append)), ..Default::default() };
        assert!(matches!(unpack(wire), Err(UnpackError::Batch(_))));
    }
}
