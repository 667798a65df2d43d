//! Which of a node's hosts owns what.

use doug_proto::v1;
use std::collections::BTreeMap;

/// Splits a peer's turn by the host that owns each partition, in the order of the hosts.
/// That a process lives concerns all of them.
pub fn split(turn: v1::PeerTurn, hosts: usize) -> impl Iterator<Item = (usize, v1::PeerTurn)> {
    let (whole, parts) = match hosts {
        1 => (Some((0, turn)), BTreeMap::new()),
        _ => (None, parts(turn, hosts)),
    };
    whole.into_iter().chain(parts)
}

fn parts(turn: v1::PeerTurn, hosts: usize) -> BTreeMap<usize, v1::PeerTurn> {
    let mut parts: BTreeMap<usize, v1::PeerTurn> = BTreeMap::new();
    if !turn.node_heartbeats.is_empty() {
        for host in 0..hosts {
            parts.entry(host).or_default().node_heartbeats.clone_from(&turn.node_heartbeats);
        }
    }
    for message in turn.messages {
        parts.entry(host_of(message.partition, hosts)).or_default().messages.push(message);
    }
    for heartbeat in turn.heartbeats {
        parts.entry(host_of(heartbeat.partition, hosts)).or_default().heartbeats.push(heartbeat);
    }
    for answer in turn.heartbeat_answers {
        parts.entry(host_of(answer.partition, hosts)).or_default().heartbeat_answers.push(answer);
    }
    parts
}

/// Which of a node's hosts owns a partition.
pub fn host_of(partition: u64, hosts: usize) -> usize {
    (partition % hosts as u64) as usize
}
