//! Nodes that answer with another id than the one their partitions know: their
//! volumes are other ones, and the old members are gone for good.

use super::{Situation, Step};
use crate::groups::{Group, Leader};
use crate::placement::{AT_ONCE, Move};
use crate::validate::Place;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Member};
use std::collections::BTreeSet;

/// Has the partitions put the new volume in the place of the old one; `None` where
/// none has a member on an old one.
pub fn substitute(situation: &Situation, place: Place) -> Option<Step> {
    let answer = situation.observed.answers.get(&place)?;
    let node = answer.node()?;
    let old = predecessors(situation, &place, node);
    let concerned: Vec<&Group> = situation
        .groups
        .iter()
        .filter(|group| {
            old.iter().any(|old| group.has(*old))
                || has_place(group, &old, node)
                || is_replacing(group, node)
        })
        .collect();
    if concerned.is_empty() {
        return None;
    }
    let begun = situation.status(&place).is_some_and(|status| status.replacing.is_some());
    if situation.told.contains(&place.name()) && !begun {
        // It has lost its volume anyway: taking the new one away too would help nobody.
        return Some(Step::Finish(place));
    }
    if situation.map.node(node).is_none() || answer.database.is_empty() {
        return Some(Step::Wait(place, "its new volume is to become a member first".to_owned()));
    }
    let left: Vec<u64> = concerned.iter().map(|group| group.id()).collect();
    let (under_way, others): (Vec<&Group>, Vec<&Group>) =
        concerned.into_iter().partition(|group| is_replacing(group, node));
    let mut moves = Vec::new();
    let mut hindered = None;
    for group in others {
        match goal(group, &old, node) {
            Ok(next) if under_way.len() + moves.len() < AT_ONCE => moves.push(next),
            Ok(_) => {}
            Err(why) => hindered = hindered.or(Some(why)),
        }
    }
    match hindered {
        Some(why) if moves.is_empty() && under_way.is_empty() => Some(Step::Wait(place, why)),
        _ => Some(Step::Substitute { place, moves, left }),
    }
}

/// Other ids under which the map lists the node.
fn predecessors(situation: &Situation, place: &Place, node: NodeId) -> BTreeSet<NodeId> {
    let name = place.name();
    let entries = situation.map.nodes.iter();
    let same = entries.filter(|entry| entry.name == name && entry.cluster == place.cluster);
    same.map(|entry| entry.id).filter(|id| *id != node).collect()
}

/// Whether a partition began anew without the old volume, and has not had the new one since.
fn has_place(group: &Group, old: &BTreeSet<NodeId>, node: NodeId) -> bool {
    let goal = group.descriptor.goal.iter().flat_map(|goal| &goal.nodes);
    let taken = group.has(node) || goal.into_iter().any(|wanted| *wanted == node);
    !taken && old.iter().any(|old| group.descriptor.gave_up(*old))
}

/// Whether a partition is putting this node in the place of another. The others of
/// its goal have votes all along.
fn is_replacing(group: &Group, node: NodeId) -> bool {
    let descriptor = &group.descriptor;
    let among = |members: &[Member]| members.iter().any(|member| member.node == node);
    let votes = among(&descriptor.voters)
        && (descriptor.outgoing.is_empty() || among(&descriptor.outgoing));
    let wanted = descriptor.goal.as_ref().is_some_and(|goal| goal.nodes.contains(&node));
    group.replaces() && wanted && !votes
}

/// The old member is voted out before the new one comes in: nothing is to hang on
/// what nobody has any more.
fn goal(group: &Group, old: &BTreeSet<NodeId>, node: NodeId) -> Result<Move, String> {
    let partition = group.id();
    let leader = majority(group, old)?;
    if !group.is_at_rest() {
        return Err(format!("partition {partition} is changing its members already"));
    }
    let descriptor = &group.descriptor;
    let voters = descriptor.voters.iter();
    let lost = |node: &NodeId| old.contains(node);
    let mut nodes: Vec<NodeId> =
        voters.clone().map(|voter| if lost(&voter.node) { node } else { voter.node }).collect();
    if has_place(group, old, node) {
        nodes.push(node);
    }
    Ok(Move {
        partition,
        generation: descriptor.generation,
        leader: leader.node,
        goal: Goal {
            nodes,
            cluster: descriptor.cluster.clone(),
            discarded: voters.filter(|v| lost(&v.node)).map(|v| v.replica).collect(),
        },
    })
}

/// The leader, if a majority of the voters is there and has caught up.
fn majority<'a>(group: &'a Group, old: &BTreeSet<NodeId>) -> Result<&'a Leader, String> {
    let partition = group.id();
    let leader = group.leader.as_ref();
    let leader = leader.ok_or_else(|| format!("partition {partition} has no leader"))?;
    let voters = group.descriptor.voters.iter().map(|voter| voter.node);
    let there = voters.filter(|node| !old.contains(node) && leader.caught_up.contains(node));
    let (there, all) = (there.count(), group.descriptor.voters.len());
    if there <= all / 2 {
        return Err(format!(
            "only {there} of {all} voters of partition {partition} have caught up"
        ));
    }
    Ok(leader)
}
