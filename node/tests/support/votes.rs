//! Requests for votes, made by hand.

use doug_proto::v1;

/// Replica 2 asks replica 1 of partition 1 for its vote so that no member would refuse: in a far
/// newer term, with a longer log, as its leader asked.
pub fn irresistible_vote_request() -> v1::PeerTurn {
    let vote = v1::RaftMessage {
        partition: 1,
        from_replica: 2,
        to_replica: 1,
        term: 1_000,
        message: Some(v1::raft_message::Message::VoteRequest(v1::VoteRequest {
            last_index: 1_000,
            last_term: 999,
            pre_vote: false,
            transfer: true,
        })),
    };
    v1::PeerTurn { messages: vec![vote], ..Default::default() }
}
