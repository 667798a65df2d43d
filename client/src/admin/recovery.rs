//! Which partitions have lost their quorum, and which survivor each is to begin anew with. Pure:
//! nothing is asked of anyone here.

use super::Survey;
use doug_proto::ids::NodeId;
use doug_proto::map::{Member, Partition};
use doug_proto::v1::{ReplicaRole, ReplicaStatus};
use std::cmp::Reverse;
use std::time::Duration;

/// A replica that is there, and whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its node.
    pub node: NodeId,
    /// Its id.
    pub replica: u64,
    /// Term of its last entry.
    pub last_term: u64,
    /// Index of its last entry.
    pub last_index: u64,
    /// Up to here it knows its log committed.
    pub commit: u64,
    /// For how long it has heard no leader; counted from the start of its process at most.
    pub leaderless: Duration,
    /// Whether its log was cut where a record had been begun.
    pub ambiguous_tail: bool,
}

/// A partition that has lost its quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// As the best survivor has it.
    pub descriptor: Partition,
    /// The best first; there is at least one.
    survivors: Vec<Survivor>,
    /// Nodes of voters that do not answer.
    pub lost: Vec<NodeId>,
    /// Voters whose nodes answer and do not hold them whole.
    pub discarded: Vec<u64>,
}

/// How a partition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// It has a leader, or enough of its voters are there to elect one.
    Decides,
    /// It has lost its quorum, and can begin anew from what is left.
    Lost(Box<Loss>),
    /// Nobody who answers holds a replica of it.
    Gone,
}

impl Loss {
    /// The survivor that the group is to begin with: whose log ends with the latest term, and of
    /// those with the greatest index. Any other would lack what this one holds (paper, §5.4.1).
    pub fn best(&self) -> &Survivor {
        &self.survivors[0]
    }

    /// All survivors, the best first.
    pub fn survivors(&self) -> &[Survivor] {
        &self.survivors
    }

    /// Up to here some survivor knows the log committed. The best one holds all of it: its log's
    /// last term was elected by a quorum that held it.
    pub fn committed(&self) -> u64 {
        let known = self.survivors.iter().map(|survivor| survivor.commit).max().unwrap_or(0);
        known.min(self.best().last_index)
    }
}

/// How a partition of the map stands, by what the nodes say.
pub fn assess(survey: &Survey, partition: u64) -> Assessment {
    let members = || survey.replicas(partition).filter_map(|(node, said)| member(node, said));
    if members().any(|(said, _)| is_led(said)) {
        return Assessment::Decides;
    }
    let mut survivors: Vec<(Survivor, Partition)> =
        members().map(|(said, own)| (survivor(own.0, said), own.1)).collect();
    survivors.sort_by_key(|(survivor, _)| {
        let Survivor { last_term, last_index, commit, node, .. } = *survivor;
        (Reverse((last_term, last_index, commit)), node)
    });
    let Some((_, descriptor)) = survivors.first().cloned() else { return Assessment::Gone };
    let survivors: Vec<Survivor> = survivors.into_iter().map(|(survivor, _)| survivor).collect();
    let is_there = |voter: &Member| {
        survivors.iter().any(|s| s.node == voter.node && s.replica == voter.replica)
    };
    let can_decide =
        |voters: &[Member]| voters.iter().filter(|v| is_there(v)).count() > voters.len() / 2;
    if can_decide(&descriptor.voters)
        && (descriptor.outgoing.is_empty() || can_decide(&descriptor.outgoing))
    {
        return Assessment::Decides;
    }
    let answers = |node: &NodeId| survey.nodes.get(node).is_some_and(Result::is_ok);
    let voters = descriptor.voters.iter().chain(&descriptor.outgoing);
    let (away, missing): (Vec<Member>, Vec<Member>) =
        voters.copied().filter(|v| !is_there(v)).partition(|voter| !answers(&voter.node));
    let mut lost: Vec<NodeId> = away.into_iter().map(|voter| voter.node).collect();
    let mut discarded: Vec<u64> = missing.into_iter().map(|voter| voter.replica).collect();
    lost.sort_unstable();
    lost.dedup();
    discarded.sort_unstable();
    discarded.dedup();
    Assessment::Lost(Box::new(Loss { descriptor, survivors, lost, discarded }))
}

type Known<'a> = (&'a ReplicaStatus, (NodeId, Partition));

/// A replica that is whole and that its own descriptor lists.
fn member(node: NodeId, said: &ReplicaStatus) -> Option<Known<'_>> {
    let descriptor = Partition::from_wire(said.descriptor.as_ref()?).ok()?;
    let listed = descriptor.member(said.replica).is_some_and(|member| member.node == node);
    (said.damage.is_empty() && listed).then_some((said, (node, descriptor)))
}

fn is_led(said: &ReplicaStatus) -> bool {
    said.role() == ReplicaRole::Leader || !said.leader.is_empty()
}

fn survivor(node: NodeId, said: &ReplicaStatus) -> Survivor {
    Survivor {
        node,
        replica: said.replica,
        last_term: said.last_term,
        last_index: said.last_index,
        commit: said.commit,
        leaderless: Duration::from_millis(said.since_milliseconds),
        ambiguous_tail: said.ambiguous_tail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::error::Fault;
    use doug_proto::map::testing::sample;
    use doug_proto::map::{Node, PartitionMap};
    use doug_proto::v1::NodeStatus;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn node(number: u64) -> NodeId {
        NodeId::from_bits(number)
    }

    /// Partition 1 with replicas 1 to 5 on nodes 1 to 5.
    fn map() -> PartitionMap {
        let mut map = sample(1);
        let entry = map.nodes[0].clone();
        map.nodes = (1..=5)
            .map(|number| Node { id: node(number), name: format!("a-{number}"), ..entry.clone() })
            .collect();
        map.partitions[0].voters =
            (1..=5).map(|number| Member { node: node(number), replica: number }).collect();
        map
    }

    fn replica(number: u64, end: (u64, u64), commit: u64) -> ReplicaStatus {
        ReplicaStatus {
            partition: 1,
            replica: number,
            role: ReplicaRole::Follower.into(),
            last_term: end.0,
            last_index: end.1,
            commit,
            since_milliseconds: 60_000,
            descriptor: Some(map().partitions[0].to_wire()),
            ..Default::default()
        }
    }

    /// These replicas are there, each on the node of its number; the other nodes are silent.
    fn survey(replicas: &[ReplicaStatus]) -> Survey {
        let told = |number: u64| {
            let found = replicas.iter().find(|replica| replica.replica == number);
            let status = |said: &ReplicaStatus| NodeStatus {
                replicas: vec![said.clone()],
                ..Default::default()
            };
            (node(number), found.map(status).ok_or_else(|| Fault::unavailable("silent")))
        };
        let nodes: BTreeMap<_, _> = (1..=5).map(told).collect();
        Survey { map: Arc::new(map()), nodes }
    }

    fn loss(replicas: &[ReplicaStatus]) -> Loss {
        match assess(&survey(replicas), 1) {
            Assessment::Lost(loss) => *loss,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_later_term_is_better_than_the_longer_log() {
        let loss = loss(&[replica(2, (3, 900), 800), replica(4, (4, 100), 90)]);
        assert_eq!(loss.best().replica, 4);
        assert_eq!(loss.lost, [1, 3, 5].map(node));
    }

    #[test]
    fn of_one_term_the_longer_log_is_better() {
        let loss = loss(&[replica(2, (4, 100), 100), replica(4, (4, 101), 90)]);
        assert_eq!(loss.best().replica, 4);
        assert_eq!(loss.survivors().len(), 2);
    }

    #[test]
    fn what_any_survivor_knows_committed_is_not_lost() {
        let loss = loss(&[replica(2, (4, 100), 100), replica(4, (4, 101), 90)]);
        assert_eq!(loss.committed(), 100);
    }

    #[test]
    fn a_partition_that_can_decide_is_left_alone() {
        let three = [1, 2, 3].map(|number| replica(number, (1, 1), 1));
        assert_eq!(assess(&survey(&three), 1), Assessment::Decides);
    }

    /// Whoever asks may be cut off from nodes that their peers hear well.
    #[test]
    fn a_partition_that_somebody_hears_a_leader_of_is_left_alone() {
        let follows = ReplicaStatus { leader: node(1).to_string(), ..replica(4, (1, 1), 1) };
        assert_eq!(assess(&survey(&[follows]), 1), Assessment::Decides);
    }

    #[test]
    fn a_damaged_replica_is_no_survivor_though_its_node_answers() {
        let damaged = ReplicaStatus { damage: "7.sst".into(), ..replica(1, (9, 9), 9) };
        let loss = loss(&[damaged, replica(2, (1, 1), 1), replica(3, (1, 1), 1)]);
        assert_eq!(loss.survivors().len(), 2);
        assert_eq!((&loss.lost[..], &loss.discarded[..]), (&[node(4), node(5)][..], &[1][..]));
    }

    #[test]
    fn a_replica_that_has_yet_to_hear_of_its_group_is_no_survivor() {
        let mut newcomer = replica(1, (0, 0), 0);
        newcomer.descriptor = Some(map().partitions[0].before_joining().to_wire());
        assert_eq!(assess(&survey(&[newcomer]), 1), Assessment::Gone);
    }

    #[test]
    fn a_partition_of_which_nothing_is_left_is_gone() {
        assert_eq!(assess(&survey(&[]), 1), Assessment::Gone);
    }

    #[test]
    fn of_a_change_half_done_either_half_may_be_the_one_that_is_lost() {
        let mut joint = map().partitions[0].clone();
        joint.outgoing = joint.voters.split_off(2);
        let says = |number| ReplicaStatus {
            descriptor: Some(joint.to_wire()),
            ..replica(number, (1, 1), 1)
        };
        let loss = loss(&[says(1), says(3), says(4)]);
        assert_eq!(loss.lost, [2, 5].map(node));
        assert_eq!(assess(&survey(&[says(1), says(2), says(3), says(4)]), 1), Assessment::Decides);
    }
}
