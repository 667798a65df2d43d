//! Goals that partitions are given at random times, and what is told of the steps there.

use crate::context::Context;
use crate::crash_points::OF_MEMBERS;
use crate::plan::FaultKind;
use crate::random::Random;
use crate::world::World;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member, Partition};

impl World {
    /// Asks the operator for a change of members.
    pub(crate) fn ask_for_goal(&mut self, kind: FaultKind, random: &mut Random) {
        let partition = *random.pick(&self.cx.database.partitions());
        let Some(descriptor) = self.operator.map().partition(partition).cloned() else { return };
        let goal = match kind {
            FaultKind::GoalGivenUp => {
                Goal { nodes: Vec::new(), cluster: String::new(), discarded: Vec::new() }
            }
            FaultKind::MemberReplaced => Goal {
                nodes: descriptor.voters.iter().map(|voter| voter.node).collect(),
                cluster: descriptor.cluster.clone(),
                discarded: vec![random.pick(&descriptor.voters).replica],
            },
            _ => self.elsewhere(&descriptor, random),
        };
        if !self.may_go(partition, &goal) {
            self.cx.coverage.hit("goal not asked for: too much is lost");
            return;
        }
        let concerned: Vec<usize> = descriptor
            .members()
            .map(|member| member.node)
            .chain(goal.nodes.iter().copied())
            .filter_map(|node| self.cx.database.index_of(node))
            .collect();
        let (node, point) = (*random.pick(&concerned), *random.pick(&OF_MEMBERS));
        let armed = random.chance(300);
        self.arm_if(armed, node, point);
        let line = format!("partition {partition} is to go {}", describe(&goal, &self.cx));
        self.tell(&line);
        self.cx.losses.asked(self.cx.now, partition, goal.clone());
        self.operator.request(partition, goal, &mut self.cx);
    }

    /// Nodes of some cluster, in any order and number that makes sense.
    fn elsewhere(&self, descriptor: &Partition, random: &mut Random) -> Goal {
        let map = self.operator.map();
        let mut clusters: Vec<&String> = map.nodes.iter().map(|node| &node.cluster).collect();
        clusters.sort_unstable();
        clusters.dedup();
        let others: Vec<_> =
            clusters.iter().copied().filter(|name| **name != descriptor.cluster).collect();
        let cluster = if others.is_empty() || random.chance(400) {
            descriptor.cluster.clone()
        } else {
            (*random.pick(&others)).clone()
        };
        let nodes = map.nodes.iter().filter(|node| node.cluster == cluster);
        let mut nodes: Vec<NodeId> = nodes.map(|node| node.id).collect();
        nodes.retain(|node| self.cx.database.is_present(*node));
        random.shuffle(&mut nodes);
        let most = if random.chance(300) { 3 } else { self.cx.plan.nodes };
        let odd = nodes.len() - usize::from(nodes.len().is_multiple_of(2));
        nodes.truncate(most.min(odd));
        Goal { nodes, cluster, discarded: Vec::new() }
    }
}

fn names(nodes: impl IntoIterator<Item = NodeId>, cx: &Context) -> String {
    let names: Vec<_> = nodes.into_iter().map(|node| cx.database.name_of(node)).collect();
    names.join(" ")
}

fn describe(goal: &Goal, cx: &Context) -> String {
    if goal.nodes.is_empty() {
        return "no further".to_owned();
    }
    let nodes = names(goal.nodes.iter().copied(), cx);
    if goal.discarded.is_empty() {
        format!("to {nodes}")
    } else {
        format!("to {nodes}, without replicas {:?}", goal.discarded)
    }
}

fn replicas(members: &[Member], cx: &Context) -> String {
    let one = |m: &Member| format!("{} ({})", cx.database.name_of(m.node), m.replica);
    members.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Counts and tells a step of a change that was committed.
pub fn tell_step(before: &Partition, now: &Partition, cx: &mut Context) {
    let reached = |goal: &Goal| {
        now.outgoing.is_empty()
            && now.voters.iter().map(|voter| voter.node).eq(goal.nodes.iter().copied())
    };
    let what = match (&before.goal, &now.goal) {
        (None, Some(_)) => Some("goal taken up"),
        (Some(one), Some(other)) if one != other => Some("goal replaced by another"),
        (Some(goal), None) if reached(goal) => Some("goal reached"),
        (Some(_), None) => Some("goal dropped half way"),
        _ => None,
    };
    let mut counted: Vec<&str> = what.into_iter().collect();
    if before.outgoing.is_empty() && !now.outgoing.is_empty() {
        counted.push("joint configuration entered");
    }
    if now.learners.iter().any(|learner| !before.learners.contains(learner)) {
        counted.push("learners taken in");
    }
    if what == Some("goal reached") && before.goal.as_ref().is_some_and(|g| !g.discarded.is_empty())
    {
        counted.push("discarded member replaced");
    }
    if before.cluster != now.cluster {
        counted.push("partition moved to another cluster");
    }
    counted.iter().for_each(|name| cx.coverage.hit(name));
    let mut line = format!("partition {} at generation {}: ", now.id, now.generation);
    if !now.outgoing.is_empty() {
        line.push_str(&format!("{} => ", replicas(&now.outgoing, cx)));
    }
    line.push_str(&replicas(&now.voters, cx));
    if !now.learners.is_empty() {
        line.push_str(&format!(", learning: {}", replicas(&now.learners, cx)));
    }
    if let Some(goal) = &now.goal {
        line.push_str(&format!("; to go {}", describe(goal, cx)));
    }
    cx.trace.tell(cx.now, &line);
}
