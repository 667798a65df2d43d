//! What one node sends another in a turn.

use crate::reseal;
use doug_node::host::wire;
use doug_proto::v1::{self, raft_message};
use prost::Message;

/// A `PeerTurn`. Batches in it get right checksums.
pub fn peer_turn(data: &[u8]) {
    let Ok(mut turn) = v1::PeerTurn::decode(data) else { return };
    turn.messages.iter_mut().for_each(reseal_batches);
    for heartbeat in &turn.heartbeats {
        assert_packs_again(wire::unpack_heartbeat(heartbeat));
    }
    for answer in &turn.heartbeat_answers {
        assert_packs_again(wire::unpack_heartbeat_answer(answer));
    }
    for message in turn.messages {
        if let Ok(read) = wire::unpack(message) {
            assert_packs_again(read);
        }
    }
}

fn reseal_batches(message: &mut v1::RaftMessage) {
    if let Some(raft_message::Message::Append(append)) = &mut message.message {
        for batch in &mut append.batches {
            let mut bytes = batch.to_vec();
            reseal::batch(&mut bytes);
            *batch = bytes.into();
        }
    }
}

fn assert_packs_again((route, message): (wire::Route, doug_raft::Message)) {
    let mut turn = v1::PeerTurn::default();
    wire::pack(&mut turn, route, message.clone());
    let turn = v1::PeerTurn::decode(&*turn.encode_to_vec()).expect("just encoded");
    let heartbeats = turn.heartbeats.iter().map(wire::unpack_heartbeat);
    let answers = turn.heartbeat_answers.iter().map(wire::unpack_heartbeat_answer);
    let messages = turn.messages.into_iter().map(|m| wire::unpack(m).expect("just packed"));
    let read: Vec<_> = heartbeats.chain(answers).chain(messages).collect();
    assert_eq!(read, [(route, message)], "sent and read it is another");
}
