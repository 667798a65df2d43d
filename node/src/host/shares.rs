//! Which of a node's hosts owns what.

use doug_proto::v1;

/// Splits a peer's turn by the host that owns each partition, in the order of the hosts.
/// That a process lives concerns all of them.
pub fn split(turn: v1::PeerTurn, hosts: usize) -> impl Iterator<Item = (usize, v1::PeerTurn)> {
    let (whole, parts) = match hosts {
        1 => (Some((0, turn)), Vec::new()),
        _ => (None, parts(turn, hosts)),
    };
    let parts = whole.into_iter().chain(parts.into_iter().enumerate());
    parts.filter(|(_, part)| *part != v1::PeerTurn::default())
}

/// One for each host.
fn parts(turn: v1::PeerTurn, hosts: usize) -> Vec<v1::PeerTurn> {
    let for_all = v1::PeerTurn { node_heartbeats: turn.node_heartbeats, ..Default::default() };
    let mut parts = vec![for_all; hosts];
    for message in turn.messages {
        parts[host_of(message.partition, hosts)].messages.push(message);
    }
    for heartbeat in turn.heartbeats {
        parts[host_of(heartbeat.partition, hosts)].heartbeats.push(heartbeat);
    }
    for answer in turn.heartbeat_answers {
        parts[host_of(answer.partition, hosts)].heartbeat_answers.push(answer);
    }
    for part in &mut parts {
        // Alone it is no reason to wake a host.
        if *part != v1::PeerTurn::default() {
            part.clock = turn.clock;
        }
    }
    parts
}

/// Which of a node's hosts owns a partition.
pub fn host_of(partition: u64, hosts: usize) -> usize {
    (partition % hosts as u64) as usize
}
