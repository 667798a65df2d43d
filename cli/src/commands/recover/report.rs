//! What may be lost, before, and what was done, after.

use super::Found;
use crate::commands::steering::names_of;
use crate::globals::Globals;
use crate::units;
use doug_client::admin::{Loss, Survey, Survivor};
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The name of a node.
pub fn name_of(survey: &Survey, node: NodeId) -> String {
    names_of(&survey.map, [node]).concat()
}

/// Says how the partitions stand.
pub fn tell(survey: &Survey, found: &Found, globals: &Globals) {
    if globals.json() {
        doug_streams::outln!("{}", document(survey, found, &[]));
        return;
    }
    doug_streams::out::print(format_args!("{}", text(survey, found)));
}

/// Says that one has begun anew.
pub fn tell_begun(survey: &Survey, loss: &Loss) {
    let best = loss.best();
    doug_streams::outln!(
        "partition {} has begun anew from {}, with all of its log up to index {}",
        loss.descriptor.id,
        name_of(survey, best.node),
        best.last_index
    );
}

/// Says that all is done.
pub fn tell_end(survey: &Survey, found: &Found, begun: &[Partition], globals: &Globals) {
    if globals.json() {
        doug_streams::outln!("{}", document(survey, found, begun));
        return;
    }
    let nodes = names_of(&survey.map, found.lost_nodes());
    doug_streams::outln!("{} partitions take writes again", begun.len());
    for node in nodes {
        doug_streams::outln!("put a new node in the place of {node}: `doug member replace {node}`");
    }
}

fn text(survey: &Survey, found: &Found) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "database {}: {} partitions have a quorum and are left alone, {} have lost it, of {} \
         nothing is left",
        survey.map.database,
        found.decide,
        found.lost.len(),
        found.gone.len()
    );
    for loss in &found.lost {
        describe(&mut text, survey, loss);
    }
    for partition in &found.gone {
        let _ = writeln!(
            text,
            "\npartition {partition}: no node that answers holds it. Bring one back; nothing else \
             helps"
        );
    }
    if !found.lost.is_empty() {
        text.push_str(
            "\nEverything up to the last index of each best survivor is kept. What the lost nodes \
             had\nacknowledged above it is lost, and nobody can say how much that is.\n",
        );
    }
    text
}

fn describe(text: &mut String, survey: &Survey, loss: &Loss) {
    let Loss { descriptor, lost, discarded, .. } = loss;
    let catalog = if descriptor.id == 1 { " (the catalog)" } else { "" };
    let _ = writeln!(
        text,
        "\npartition {}{catalog}: {} voters, of which are lost: {}{}",
        descriptor.id,
        descriptor.voters.len(),
        names_of(&survey.map, lost.iter().copied()).join(", "),
        if discarded.is_empty() {
            String::new()
        } else {
            format!("; damaged or missing: replicas {discarded:?}")
        }
    );
    for (number, survivor) in loss.survivors().iter().enumerate() {
        let Survivor { last_term, last_index, commit, leaderless, .. } = survivor;
        let _ = writeln!(
            text,
            "  {} {}: log up to index {last_index} of term {last_term}, known committed up to \
             {commit}; without a leader for {}{}",
            if number == 0 { "*" } else { " " },
            name_of(survey, survivor.node),
            units::show_milliseconds(leaderless.as_millis() as u64),
            if survivor.ambiguous_tail { "; its log's last record may be lost" } else { "" }
        );
    }
    if !descriptor.recoveries.is_empty() {
        let times = descriptor.recoveries.len();
        let _ = writeln!(text, "  it has begun anew {times} times before");
    }
}

fn document(survey: &Survey, found: &Found, begun: &[Partition]) -> Value {
    let partition = |loss: &Loss| {
        let survivors = loss.survivors().iter().map(|survivor| {
            json!({
                "node": survivor.node.to_string(),
                "name": name_of(survey, survivor.node),
                "replica": survivor.replica,
                "lastTerm": survivor.last_term,
                "lastIndex": survivor.last_index,
                "commit": survivor.commit,
                "leaderlessMilliseconds": survivor.leaderless.as_millis() as u64,
                "ambiguousTail": survivor.ambiguous_tail,
            })
        });
        json!({
            "id": loss.descriptor.id,
            "lost": loss.lost.iter().map(NodeId::to_string).collect::<Vec<_>>(),
            "discarded": loss.discarded,
            "survivors": survivors.collect::<Vec<_>>(),
            "begunAnew": begun.iter().any(|begun| begun.id == loss.descriptor.id),
        })
    };
    json!({
        "database": survey.map.database.to_string(),
        "decide": found.decide,
        "lost": found.lost.iter().map(partition).collect::<Vec<_>>(),
        "gone": found.gone,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;
    use doug_proto::error::Fault;
    use doug_proto::v1::{NodeStatus, ReplicaRole, ReplicaStatus};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Of partition 1 only the third voter is there, of the others nothing.
    fn survey() -> Survey {
        let map = test_map();
        let partition = map.partition(1).unwrap();
        let survivor = partition.voters[2];
        let replica = ReplicaStatus {
            partition: 1,
            replica: survivor.replica,
            role: ReplicaRole::Follower.into(),
            last_term: 7,
            last_index: 120,
            commit: 118,
            since_milliseconds: 90_000,
            descriptor: Some(partition.to_wire()),
            ..Default::default()
        };
        let told = |id: NodeId| {
            if id == survivor.node {
                return Ok(NodeStatus { replicas: vec![replica.clone()], ..Default::default() });
            }
            Err(Fault::unavailable("silent"))
        };
        let nodes: BTreeMap<_, _> = map.nodes.iter().map(|n| (n.id, told(n.id))).collect();
        Survey { map: Arc::new(map), nodes }
    }

    #[test]
    fn what_may_be_lost_is_said_for_each_partition_and_survivor() {
        let survey = survey();
        let found = Found::look(&survey, &[1, 2]);
        let said = text(&survey, &found);
        assert!(said.contains("0 partitions have a quorum"), "{said}");
        assert!(said.contains("partition 1 (the catalog): 3 voters, of which are lost: a-0, a-1"));
        assert!(said.contains("* a-2: log up to index 120 of term 7, known committed up to 118"));
        assert!(said.contains("partition 2: no node that answers holds it"), "{said}");
    }

    #[test]
    fn the_document_names_the_survivors_the_best_first() {
        let survey = survey();
        let found = Found::look(&survey, &[1, 2]);
        let document = document(&survey, &found, &[]);
        let lost = &document["lost"][0];
        assert_eq!((&lost["id"], &lost["begunAnew"]), (&json!(1), &json!(false)));
        assert_eq!(lost["survivors"][0]["lastIndex"], 120);
        assert_eq!(document["gone"], json!([2]));
    }
}
