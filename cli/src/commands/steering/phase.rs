//! How far a change of members is, in words.

use super::names_of;
use doug_client::admin::Survey;
use doug_proto::map::{Member, Partition};

/// Where a partition is on its way to; `None` at rest.
pub fn goal_of(survey: &Survey, descriptor: &Partition) -> Option<String> {
    let names = |members: &[Member]| {
        names_of(&survey.map, members.iter().map(|member| member.node)).join(", ")
    };
    match &descriptor.goal {
        Some(goal) => {
            let nodes = names_of(&survey.map, goal.nodes.iter().copied()).join(", ");
            let mut text = format!("to cluster {}: {nodes}", goal.cluster);
            if !goal.discarded.is_empty() {
                let ids: Vec<String> = goal.discarded.iter().map(u64::to_string).collect();
                text.push_str(&format!(", without the damaged replica {}", ids.join(", ")));
            }
            Some(text)
        }
        None if !descriptor.outgoing.is_empty() => {
            Some(format!("to cluster {}: {}", descriptor.cluster, names(&descriptor.voters)))
        }
        None if !descriptor.learners.is_empty() => Some("a goal that was given up".to_owned()),
        None => None,
    }
}

/// What happens at the moment.
pub fn describe(survey: &Survey, descriptor: &Partition) -> String {
    let Some((leader, leading)) = survey.leader(descriptor.id) else {
        return "no leader at the moment".to_owned();
    };
    if !descriptor.outgoing.is_empty() {
        let staying = descriptor.voters.iter().any(|voter| voter.node == leader);
        return if staying {
            "joint: the old and the new voters decide together".to_owned()
        } else {
            "joint: the leadership is handed over to a new voter".to_owned()
        };
    }
    if !descriptor.learners.is_empty() {
        let learner = |member: &Member| {
            let name = names_of(&survey.map, [member.node]).remove(0);
            let peer = leading.peers.iter().find(|peer| peer.node == member.node.to_string());
            match peer {
                Some(peer) if peer.active && peer.match_index > 0 => {
                    match leading.last_index.saturating_sub(peer.match_index) {
                        0 => format!("{name} has all"),
                        lacks => format!("{name} lacks {lacks}"),
                    }
                }
                _ => format!("{name} has nothing yet"),
            }
        };
        let learners: Vec<String> = descriptor.learners.iter().map(learner).collect();
        return format!("learners catch up: {}", learners.join(", "));
    }
    if descriptor.goal.is_some() {
        return "the goal is taken up".to_owned();
    }
    let leftovers = names_of(&survey.map, survey.leftovers(descriptor)).join(", ");
    if leftovers.is_empty() {
        "done".to_owned()
    } else {
        format!("the old replicas are being removed: {leftovers}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::destination::tests::map;
    use super::*;
    use doug_proto::map::Goal;
    use doug_proto::v1::{NodeStatus, PeerProgress, ReplicaRole, ReplicaStatus};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// a-0 leads partition 1 with ten entries; its descriptor is `descriptor`.
    fn survey(descriptor: &Partition) -> Survey {
        let map = map();
        let peers = map.nodes.iter().map(|node| PeerProgress {
            node: node.id.to_string(),
            match_index: if node.name == "b-1" { 4 } else { 10 },
            active: node.name != "b-2",
        });
        let leading = ReplicaStatus {
            partition: 1,
            replica: 1,
            role: ReplicaRole::Leader.into(),
            last_index: 10,
            peers: peers.collect(),
            descriptor: Some(descriptor.to_wire()),
            ..Default::default()
        };
        let status = NodeStatus { replicas: vec![leading], ..Default::default() };
        let nodes = BTreeMap::from([(map.nodes[0].id, Ok(status))]);
        Survey { map: Arc::new(map), nodes }
    }

    /// On the way from cluster a to b, step by step.
    fn steps() -> Vec<Partition> {
        let rest = map().partitions[0].clone();
        let nodes: Vec<_> = map().nodes[3..6].iter().map(|node| node.id).collect();
        let there: Vec<Member> =
            nodes.iter().zip(4..).map(|(node, replica)| Member { node: *node, replica }).collect();
        let goal = Goal { nodes, cluster: "b".into(), discarded: Vec::new() };
        let asked = Partition { goal: Some(goal), ..rest.clone() };
        let learning = Partition { learners: there.clone(), next_replica: 7, ..asked.clone() };
        let (voters, outgoing) = (there.clone(), rest.voters.clone());
        let joint = Partition { voters, outgoing, cluster: "b".into(), ..asked.clone() };
        let done =
            Partition { voters: there, cluster: "b".into(), next_replica: 7, ..rest.clone() };
        vec![rest, asked, learning, joint, done]
    }

    #[test]
    fn every_step_of_a_move_is_told_from_the_next() {
        let told = steps().into_iter().map(|descriptor| {
            let survey = survey(&descriptor);
            let goal = goal_of(&survey, &descriptor).unwrap_or_else(|| "at rest".into());
            format!("{goal}: {}", describe(&survey, &descriptor))
        });
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
    }
}
