//! On which node each replica of a group is to be found.

use bytes::Bytes;
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use doug_raft::ReplicaId;
use std::collections::VecDeque;

/// Unknown peers remembered; the one first heard of is forgotten first.
const UNKNOWN_PEERS: usize = 16;

/// What the descriptor in force does not say: where those are that it has left
/// out and that must still be told so, and where a leader is that this replica's
/// log does not know yet.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The membership's context that the descriptor was read from.
    context: Bytes,
    former: Option<Partition>,
    unknown_peers: VecDeque<(ReplicaId, NodeId)>,
}

impl Places {
    /// The node of a member, of a former member, or of an unknown peer that wrote.
    pub(super) fn node_of(&self, descriptor: &Partition, replica: ReplicaId) -> Option<NodeId> {
        self.listed(descriptor, replica).or_else(|| {
            let mut unknown_peers = self.unknown_peers.iter();
            unknown_peers.find(|(known, _)| *known == replica).map(|(_, node)| *node)
        })
    }

    fn listed(&self, descriptor: &Partition, replica: ReplicaId) -> Option<NodeId> {
        let former = self.former.as_ref().and_then(|former| former.member(replica.0));
        descriptor.member(replica.0).or(former).map(|member| member.node)
    }

    /// Whether a message of `replica` may come from `node`. A replica that is
    /// listed speaks from its own node only: a wiped node that came back must not
    /// speak for the replica it had. One that is not listed may be of a
    /// configuration that this log does not hold yet, so it is heard, and answered
    /// where it wrote from.
    pub(super) fn admit(
        &mut self,
        descriptor: &Partition,
        replica: ReplicaId,
        node: NodeId,
    ) -> bool {
        if let Some(known) = self.listed(descriptor, replica) {
            return known == node;
        }
        if self.unknown_peers.contains(&(replica, node)) {
            return true;
        }
        self.unknown_peers.retain(|(known, _)| *known != replica);
        if self.unknown_peers.len() >= UNKNOWN_PEERS {
            self.unknown_peers.pop_front();
        }
        self.unknown_peers.push_back((replica, node));
        true
    }

    /// The descriptor in a membership's context, if it is another one than before.
    pub(super) fn changed(&mut self, context: &Bytes) -> Option<Partition> {
        // A replica that joins has a membership without context until it hears of one.
        if is_same(context, &self.context) || context.is_empty() {
            return None;
        }
        self.context = context.clone();
        match Partition::decode(context) {
            Ok(descriptor) => Some(descriptor),
            Err(error) => {
                tracing::error!(%error, "a change of members names nobody that can be found");
                None
            }
        }
    }

    /// Keeps the descriptor that was in force until now.
    pub(super) fn remember(&mut self, former: Partition) {
        self.former = Some(former);
    }
}

/// Whether both hold the same bytes. Asked every turn, and nearly always of the very same ones.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    (one.as_ptr(), one.len()) == (other.as_ptr(), other.len()) || one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::map::{KeyspaceId, Member};

    fn node(number: u64) -> NodeId {
        NodeId::from_bits(number)
    }

    fn descriptor(replicas: &[u64]) -> Partition {
        let member = |replica: &u64| Member { node: node(*replica), replica: *replica };
        Partition {
            id: 1,
            keyspace: KeyspaceId::DEFAULT,
            start: Bytes::new(),
            end: Bytes::new(),
            generation: 1,
            cluster: "a".into(),
            voters: replicas.iter().map(member).collect(),
            learners: Vec::new(),
            parents: Vec::new(),
            outgoing: Vec::new(),
            next_replica: 0,
            goal: None,
            recoveries: Vec::new(),
        }
    }

    #[test]
    fn a_member_speaks_from_its_own_node_only() {
        let (mut places, descriptor) = (Places::default(), descriptor(&[1, 2]));
        assert!(places.admit(&descriptor, ReplicaId(2), node(2)));
        assert!(!places.admit(&descriptor, ReplicaId(2), node(7)));
        assert_eq!(places.node_of(&descriptor, ReplicaId(2)), Some(node(2)));
    }

    #[test]
    fn one_that_the_log_does_not_know_yet_is_answered_where_it_wrote_from() {
        let (mut places, descriptor) = (Places::default(), descriptor(&[1]));
        assert!(places.admit(&descriptor, ReplicaId(9), node(3)));
        assert_eq!(places.node_of(&descriptor, ReplicaId(9)), Some(node(3)));
    }

    #[test]
    fn only_so_many_unknown_peers_are_remembered() {
        let (mut places, descriptor) = (Places::default(), descriptor(&[1]));
        for replica in 10..10 + UNKNOWN_PEERS as u64 + 1 {
            assert!(places.admit(&descriptor, ReplicaId(replica), node(replica)));
        }
        assert_eq!(places.node_of(&descriptor, ReplicaId(10)), None);
        assert_eq!(places.node_of(&descriptor, ReplicaId(11)), Some(node(11)));
    }

    #[test]
    fn who_was_left_out_last_can_still_be_told() {
        let mut places = Places::default();
        places.remember(descriptor(&[1, 2]));
        assert_eq!(places.node_of(&descriptor(&[1]), ReplicaId(2)), Some(node(2)));
    }
}
