//! `doug partition list`.

use crate::commands::steering::{Reach, Which, describe, goal_of, names_of};
use crate::exit::Exit;
use crate::globals::Globals;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use doug_client::admin::Survey;
use doug_proto::map::{Member, Partition};
use serde_json::{Value, json};

/// Options of `doug partition list`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  doug partition list --all
  doug partition list 3
  doug partition list 1,2,5-7 -o json")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let steering = args.reach.steering(globals).await?;
    let survey = steering.survey().await?;
    let ids = args.which.ids(&survey.map)?;
    let partitions: Vec<Partition> =
        ids.into_iter().filter_map(|id| survey.descriptor(id)).collect();
    if globals.json() {
        let all: Vec<Value> = partitions.iter().map(|p| document(&survey, p)).collect();
        doug_streams::outln!("{}", json!({"partitions": all}));
    } else {
        doug_streams::outln!("{}", table(&survey, &partitions));
    }
    Ok(Exit::Done)
}

fn table(survey: &Survey, partitions: &[Partition]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let head = ["partition", "keyspace", "cluster", "generation", "leader", "voters", "change"];
    table.set_header(head);
    for partition in partitions {
        let leader = survey.leader(partition.id).map(|(node, _)| names_of(&survey.map, [node]));
        table.add_row([
            partition.id.to_string(),
            keyspace(survey, partition),
            partition.cluster.clone(),
            partition.generation.to_string(),
            leader.map_or_else(|| "none".into(), |name| name.concat()),
            nodes(survey, &partition.voters).join(", "),
            goal_of(survey, partition)
                .map(|goal| format!("{goal}; {}", describe(survey, partition)))
                .unwrap_or_default(),
        ]);
    }
    table
}

/// One partition, for programs.
pub fn document(survey: &Survey, partition: &Partition) -> Value {
    let leader = survey.leader(partition.id).map(|(node, _)| node.to_string());
    let goal = partition.goal.as_ref().map(|goal| {
        json!({
            "cluster": goal.cluster,
            "nodes": names_of(&survey.map, goal.nodes.iter().copied()),
            "discarded": goal.discarded,
        })
    });
    json!({
        "id": partition.id,
        "keyspace": keyspace(survey, partition),
        "cluster": partition.cluster,
        "generation": partition.generation,
        "leader": leader,
        "voters": members(survey, &partition.voters),
        "outgoing": members(survey, &partition.outgoing),
        "learners": members(survey, &partition.learners),
        "goal": goal,
        "phase": goal_of(survey, partition).map(|_| describe(survey, partition)),
    })
}

/// The keyspace's name; its id where the map does not list it yet.
fn keyspace(survey: &Survey, partition: &Partition) -> String {
    let known = survey.map.keyspace(partition.keyspace);
    known.map_or_else(|| partition.keyspace.to_string(), |keyspace| keyspace.name.clone())
}

fn nodes(survey: &Survey, members: &[Member]) -> Vec<String> {
    names_of(&survey.map, members.iter().map(|member| member.node))
}

fn members(survey: &Survey, members: &[Member]) -> Vec<Value> {
    let named = members.iter().zip(nodes(survey, members));
    named
        .map(|(member, name)| {
            json!({"node": member.node.to_string(), "name": name, "replica": member.replica})
        })
        .collect()
}
