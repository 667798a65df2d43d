//! What is under way with members, and what of it needs a person.

use super::list;
use crate::dereference::Observed;
use crate::reconcile::Members;
use crate::replacement::Step;
use crate::resizing::Change;
use crate::status::Finding;
use crate::validate::Database;
use doug_client::PartitionMap;
use doug_crds::Partitioning;
use doug_proto::clock_offset::clock_off;
use doug_proto::map::KeyspaceId;

/// What is under way, the most urgent first.
pub fn progressing(observed: &Observed, members: &Members) -> Option<Finding> {
    let finding = joining(members)
        .or_else(|| replacing(members))
        .or_else(|| moving(observed, members))
        .or_else(|| resizing(members))
        .or_else(|| leaving(members))?;
    let Some(objection) = members.objections.first() else { return Some(finding) };
    Some(Finding { message: format!("{}. {objection}", finding.message), ..finding })
}

fn joining(members: &Members) -> Option<Finding> {
    let entries = members.joining.entries.iter().map(|entry| entry.name.clone());
    let names: Vec<String> =
        entries.chain(members.joining.empty.iter().map(|(place, _)| place.name())).collect();
    let count = names.len();
    (count > 0).then(|| {
        let who = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        Finding::yes("JoiningNodes", format!("{count} nodes become members: {who}"))
    })
}

fn replacing(members: &Members) -> Option<Finding> {
    members.replacement.iter().find_map(|step| {
        let (place, what) = match step {
            Step::Refuse(..) => return None,
            Step::Intend(place, _) => (place, "it is given up".to_owned()),
            Step::Clear(place, _) => (place, "its old volume is being taken away".to_owned()),
            Step::Wait(place, why) => (place, why.clone()),
            Step::Finish(place) => (place, "its new volume holds all".to_owned()),
            Step::Substitute { place, left, .. } => (
                place,
                format!("{} partitions get a member on its new volume: {}", left.len(), list(left)),
            ),
        };
        Some(Finding::yes("ReplacingNode", format!("node {}: {what}", place.name())))
    })
}

fn moving(observed: &Observed, members: &Members) -> Option<Finding> {
    let placement = &members.placement;
    if placement.is_settled() {
        return None;
    }
    let begun = placement.moves.iter().map(|m| (m.partition, m.goal.cluster.clone()));
    let on_their_way: Vec<(u64, String)> = placement.moving.iter().cloned().chain(begun).collect();
    let all = observed.map().map_or(0, |map| map.partitions.len());
    let settled = all.saturating_sub(on_their_way.len() + placement.waiting);
    let mut message = format!("{settled} of {all} partitions are where they are to be");
    if !on_their_way.is_empty() {
        let each =
            on_their_way.iter().map(|(partition, cluster)| format!("{partition} to {cluster}"));
        message += &format!("; on their way: {}", each.collect::<Vec<_>>().join(", "));
    }
    if let Some(why) = &placement.why {
        message += &format!("; {} wait: {why}", placement.waiting);
    }
    Some(Finding::yes("MovingPartitions", message))
}

fn resizing(members: &Members) -> Option<Finding> {
    let change = members.resizing.clusters.first()?;
    let Change { cluster, nodes, all, left, why } = change;
    let done = all - left.len();
    let mut message = format!(
        "cluster {cluster} is to have {nodes} nodes: {done} of its {all} partitions have their \
         voters on exactly these"
    );
    if let Some(why) = why {
        message += &format!("; the others wait: {why}");
    } else if left.is_empty() {
        message += "; the map and the pods follow";
    }
    Some(Finding::yes("ResizingCluster", message))
}

fn leaving(members: &Members) -> Option<Finding> {
    let departure = members.departures.first()?;
    let cluster = &departure.cluster;
    let message = match (&departure.why, departure.held.len()) {
        (Some(why), _) => format!("cluster {cluster} is to be removed: {why}"),
        (None, 0) => format!("cluster {cluster} holds no partition any more and is removed"),
        (None, held) => format!("cluster {cluster} is to be removed: {held} partitions are on it"),
    };
    Some(Finding::yes("RemovingCluster", message))
}

/// Volumes of nodes that were removed from the database for good.
pub fn barred(members: &Members) -> Option<Finding> {
    let place = members.joining.barred.first()?;
    Some(Finding::yes(
        "NodeRemoved",
        format!(
            "the volume of node {} belongs to one that was removed from the database for good: \
             delete its claim and its pod, and it gets an empty one",
            place.name()
        ),
    ))
}

/// A replacement that was asked for or is due, and would do harm.
pub fn refused(members: &Members) -> Option<Finding> {
    members.replacement.iter().find_map(|step| match step {
        Step::Refuse(name, why) => {
            Some(Finding::yes("ReplacementRefused", format!("node {name} is not replaced: {why}")))
        }
        _ => None,
    })
}

/// Volumes that are nearly full, the fullest first.
pub fn nearly_full(observed: &Observed) -> Option<Finding> {
    let answers = observed.answers.iter();
    let mut full: Vec<(u64, String, bool)> = answers
        .filter_map(|(place, answer)| {
            let volume = answer.status.volume.filter(|volume| volume.is_nearly_full())?;
            Some((volume.used_percent(), place.name(), volume.refuses_writes))
        })
        .collect();
    full.sort_by(|one, other| (other.0, &one.1).cmp(&(one.0, &other.1)));
    let count = full.len();
    let refusing = full.iter().filter(|(.., refuses)| *refuses).count();
    let names = full.iter().take(4).map(|(percent, name, _)| format!("{name} ({percent} %)"));
    let names = names.collect::<Vec<_>>().join(", ");
    let more = if count > 4 { ", …" } else { "" };
    let refusing = match refusing {
        0 => String::new(),
        some => format!("; {some} of them refuse writes"),
    };
    (count > 0).then(|| {
        Finding::yes(
            "VolumesNearlyFull",
            format!(
                "{count} volumes are nearly full: {names}{more}{refusing}. Raise \
                 spec.node.storage.size, add a cluster that takes partitions over, or delete keys"
            ),
        )
    })
}

/// Nodes whose clocks need setting.
pub fn clocks_off(observed: &Observed) -> Option<Finding> {
    let answers = observed.answers.iter();
    let off: Vec<String> = answers
        .filter_map(|(place, answer)| {
            let off = clock_off(answer.status.clock_offset_milliseconds)?;
            Some(format!("that of {} is {off}", place.name()))
        })
        .collect();
    let count = off.len();
    (count > 0).then(|| {
        let some = off.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        let more = if count > 4 { ", …" } else { "" };
        Finding::yes(
            "ClocksOff",
            format!(
                "{count} clocks need setting: {some}{more}. Have the machines keep their time \
                 (NTP): a majority of clocks that are off moves the clock of their partitions"
            ),
        )
    })
}

/// A resource that was deleted and applied again may declare what its data is not.
pub fn differs(database: &Database, map: &PartitionMap) -> Option<Finding> {
    let (declared, what) = match &database.spec.partitioning {
        Partitioning { hash: Some(hash), .. } => (hash.partitions as usize, "partitions"),
        Partitioning { range: Some(range), .. } => (range.split_keys.len() + 1, "ranges"),
        Partitioning { hash: None, range: None } => return None,
    };
    let found = map.partitions_in(KeyspaceId::DEFAULT).len();
    (declared != found).then(|| {
        Finding::yes(
            "InvalidSpec",
            format!(
                "{declared} {what} are declared, and the database has {found}: partitions cannot \
                 be split or merged yet. Declare {found} again"
            ),
        )
    })
}
