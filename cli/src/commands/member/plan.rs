//! What is decided of a replacement before anything is called.

use crate::exit::usage;
use doug_client::Fault;
use doug_client::admin::{Intent, Survey};
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Node, Partition};
use tonic::Code;

/// The goal in which `new` stands where `old` stood; in a goal that is under way,
/// too, for it would never be reached. Where the partition began anew without `old`, it
/// has a place to fill.
pub fn exchange(now: &Partition, old: NodeId, new: NodeId) -> Result<Intent, Fault> {
    let goal = now.goal.clone().unwrap_or_else(|| Goal {
        nodes: now.voters.iter().map(|voter| voter.node).collect(),
        cluster: now.cluster.clone(),
        discarded: Vec::new(),
    });
    if !goal.nodes.contains(&old) {
        if now.gave_up(old) && !goal.nodes.contains(&new) {
            let nodes = goal.nodes.iter().copied().chain([new]).collect();
            return Ok(Intent::Reach(Goal { nodes, ..goal }));
        }
        // It is being left behind already, or was never there.
        return Ok(Intent::Keep);
    }
    if goal.nodes.contains(&new) {
        return Err(Fault::new(
            Code::FailedPrecondition,
            format!(
                "node {new} holds a replica of partition {} itself, so it cannot take another's \
                 place: name a node that does not",
                now.id
            ),
        ));
    }
    let exchanged = goal.nodes.iter().map(|node| if *node == old { new } else { *node });
    Ok(Intent::Reach(Goal { nodes: exchanged.collect(), ..goal }))
}

/// A member of the cluster that answers and holds nothing of what `old` holds: of
/// several the one that holds least. A node that holds nothing itself has no such place
/// that another member could fill: without a newcomer its cluster would be smaller.
///
/// # Errors
/// There is none, with how to get one.
pub fn spare<'a>(survey: &'a Survey, old: &Node) -> anyhow::Result<&'a Node> {
    let map = &survey.map;
    let answers = |node: &&Node| survey.nodes.get(&node.id).is_some_and(Result::is_ok);
    let concerned: Vec<&Partition> = map.partitions_of(old.id).collect();
    if concerned.is_empty() {
        return Err(usage(format!(
            "{} ({}) holds no replica, and no other node answers at {}, so its cluster {} would \
             have one node less: start one with an empty volume there, or name one, --with NODE. \
             If the cluster is to be smaller, `doug member remove {}`",
            old.name,
            old.id,
            old.admin_address(),
            old.cluster,
            old.id
        )));
    }
    let holds_one = |node: &Node| {
        concerned.iter().any(|partition| partition.members().any(|m| m.node == node.id))
    };
    let in_cluster = map.present().filter(|node| node.id != old.id && node.cluster == old.cluster);
    let able = in_cluster.filter(answers).filter(|node| !holds_one(node));
    able.min_by_key(|node| (map.partitions_of(node.id).count(), node.id)).ok_or_else(|| {
        usage(format!(
            "there is no node to take the place of {}: start one with an empty volume, `doug node \
             --cluster {}`, and give its admin address, --with HOST:PORT",
            old.name, old.cluster
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;
    use doug_proto::map::{Member, Recovery};
    use doug_proto::v1::NodeStatus;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn partition() -> Partition {
        test_map().partitions[0].clone()
    }

    fn node(number: usize) -> NodeId {
        test_map().nodes[number].id
    }

    fn exchanged(now: &Partition) -> Vec<NodeId> {
        match exchange(now, node(1), node(3)) {
            Ok(Intent::Reach(goal)) => goal.nodes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_new_node_stands_where_the_old_one_stood() {
        assert_eq!(exchanged(&partition()), [node(0), node(3), node(2)]);
    }

    #[test]
    fn a_goal_that_names_the_old_node_gets_the_new_one_and_keeps_the_rest() {
        let goal = Goal {
            nodes: vec![node(1), node(2), node(4)],
            cluster: "b".into(),
            discarded: vec![7],
        };
        let moving = Partition { goal: Some(goal), ..partition() };
        let Ok(Intent::Reach(goal)) = exchange(&moving, node(1), node(3)) else { panic!() };
        assert_eq!(goal.nodes, [node(3), node(2), node(4)]);
        assert_eq!((goal.cluster.as_str(), &goal.discarded[..]), ("b", &[7][..]));
    }

    #[test]
    fn a_place_that_a_recovery_left_is_filled_once() {
        let recovery = Recovery {
            at_milliseconds: 1,
            by: "ann".into(),
            replica: 1,
            node: node(0),
            committed: 5,
            kept: 6,
            kept_term: 1,
            resumed: 1_000,
            first_replica: 100,
            lost: vec![node(1), node(2)],
        };
        let mut anew = partition().recovered(recovery);
        anew.voters.truncate(1);
        assert_eq!(exchanged(&anew), [node(0), node(3)]);
        anew.voters.push(Member { node: node(3), replica: 101 });
        assert_eq!(exchange(&anew, node(1), node(3)), Ok(Intent::Keep));
    }

    #[test]
    fn a_partition_that_leaves_the_old_node_anyway_is_left_alone() {
        let goal = Goal { nodes: vec![node(3)], cluster: "b".into(), discarded: Vec::new() };
        let moving = Partition { goal: Some(goal), ..partition() };
        assert_eq!(exchange(&moving, node(1), node(4)), Ok(Intent::Keep));
    }

    #[test]
    fn a_node_that_holds_a_replica_itself_is_refused() {
        assert!(exchange(&partition(), node(1), node(2)).is_err());
    }

    fn survey(silent: &[NodeId]) -> Survey {
        let mut map = test_map();
        let spare =
            Node { id: NodeId::from_bits(0x500), name: "a-9".into(), ..map.nodes[0].clone() };
        map.nodes.push(spare);
        let answer = |id: NodeId| {
            if silent.contains(&id) {
                Err(Fault::unavailable("silent"))
            } else {
                Ok(NodeStatus::default())
            }
        };
        let nodes: BTreeMap<_, _> = map.nodes.iter().map(|n| (n.id, answer(n.id))).collect();
        Survey { map: Arc::new(map), nodes }
    }

    #[test]
    fn a_spare_node_of_the_cluster_is_found() {
        let survey = survey(&[]);
        assert_eq!(spare(&survey, &survey.map.nodes[1]).unwrap().name, "a-9");
    }

    #[test]
    fn for_a_node_that_holds_nothing_no_other_member_stands_in() {
        let mut survey = survey(&[]);
        Arc::make_mut(&mut survey.map).partitions.clear();
        let error = spare(&survey, &survey.map.nodes[1]).unwrap_err().to_string();
        assert!(error.contains("one node less") && error.contains("--with"), "{error}");
    }

    #[test]
    fn without_a_spare_node_it_is_said_how_to_get_one() {
        let survey = survey(&[NodeId::from_bits(0x500)]);
        let error = spare(&survey, &survey.map.nodes[1]).unwrap_err().to_string();
        assert!(error.contains("doug node --cluster a") && error.contains("--with"), "{error}");
    }
}
