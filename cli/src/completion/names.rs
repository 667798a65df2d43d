//! Names that the database knows. Whoever presses a key waits for them, so nothing is said where
//! it does not answer soon: the shell then offers none.

use crate::commands::steering::Reach;
use crate::demo;
use crate::given::Given;
use crate::globals::Globals;
use clap::{ArgMatches, Command, FromArgMatches};
use clap_complete::CompletionCandidate as Candidate;
use doug_client::PartitionMap;
use doug_proto::map::Partition;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

/// How long the database has to say its map.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is named.
#[derive(Clone, Copy)]
enum Kind {
    Nodes,
    Clusters,
    Partitions,
    DemoProcesses,
}

/// The names for one argument.
pub struct Names {
    kind: Kind,
    program: Command,
}

impl Names {
    /// Those for a value of this name, of a command that steers; `program` understands the line.
    pub fn of_value(value: &str, program: Command) -> Option<Self> {
        let kind = match value {
            "NODE" | "OLD-NODE" => Kind::Nodes,
            "CLUSTER" => Kind::Clusters,
            "PARTITIONS" => Kind::Partitions,
            _ => return None,
        };
        Some(Self { kind, program })
    }

    /// Those for a value of this name, of a command to a demo.
    pub fn of_demo(value: &str, program: Command) -> Option<Self> {
        (value == "NODE").then_some(Self { kind: Kind::DemoProcesses, program })
    }

    /// What can be said now; nothing if nobody answers.
    pub fn candidates(&self) -> Vec<Candidate> {
        self.known().unwrap_or_default()
    }

    fn known(&self) -> Option<Vec<Candidate>> {
        let line = typed(self.program.clone())?;
        Some(match self.kind {
            Kind::Nodes => nodes_of(&*map(&line)?),
            Kind::Clusters => clusters_of(&*map(&line)?),
            Kind::Partitions => partitions_of(&*map(&line)?),
            Kind::DemoProcesses => demo_processes(&line),
        })
    }
}

/// What a demo that runs calls its processes.
fn demo_processes(line: &ArgMatches) -> Vec<Candidate> {
    let data = last(line).try_get_one("data").ok().flatten().cloned();
    demo::process_names(data).into_iter().map(Candidate::new).collect()
}

fn nodes_of(map: &PartitionMap) -> Vec<Candidate> {
    let about = |cluster: &str| Some(format!("a node of cluster {cluster}").into());
    let nodes = map.present().map(|node| Candidate::new(&node.name).help(about(&node.cluster)));
    nodes.collect()
}

fn clusters_of(map: &PartitionMap) -> Vec<Candidate> {
    let names: BTreeSet<&str> = map.present().map(|node| node.cluster.as_str()).collect();
    names.into_iter().map(Candidate::new).collect()
}

fn partitions_of(map: &PartitionMap) -> Vec<Candidate> {
    let mut partitions: Vec<_> = map.partitions.iter().collect();
    partitions.sort_unstable_by_key(|partition| partition.id);
    let about = |cluster: &str| Some(format!("a partition of cluster {cluster}").into());
    let one = |(order, partition): (usize, &Partition)| {
        let candidate = Candidate::new(partition.id.to_string()).help(about(&partition.cluster));
        candidate.display_order(Some(order))
    };
    partitions.into_iter().enumerate().map(one).collect()
}

/// The map of the database that the line reaches.
fn map(line: &ArgMatches) -> Option<Arc<PartitionMap>> {
    let mut globals = Globals::from_arg_matches(line).ok()?;
    globals.given = Given::of(line);
    globals.timeout = PATIENCE;
    let reach = Reach::from_arg_matches(last(line)).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let steering = reach.steering(&globals);
    let asked = async { tokio::time::timeout(PATIENCE, steering).await };
    runtime.block_on(asked).ok()?.ok().map(|steering| steering.map())
}

/// The command of the innermost level.
fn last(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| last(below))
}

/// The command line as far as it is typed: what the shell gives behind `--`.
fn typed(program: Command) -> Option<ArgMatches> {
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1).peekable();
    words.peek()?;
    parse(program, words.collect())
}

fn parse(program: Command, words: Vec<OsString>) -> Option<ArgMatches> {
    program.ignore_errors(true).try_get_matches_from(words).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::steering::test_map;

    fn said(candidates: Vec<Candidate>) -> Vec<String> {
        candidates.iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn names_are_those_of_the_map() {
        let map = test_map();
        let present: Vec<_> = map.present().map(|node| node.name.clone()).collect();
        assert_eq!(said(nodes_of(&map)), present);
        let clusters: BTreeSet<_> = map.present().map(|node| node.cluster.clone()).collect();
        assert_eq!(said(clusters_of(&map)), Vec::from_iter(clusters));
        let ids: BTreeSet<_> = map.partitions.iter().map(|partition| partition.id).collect();
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(said(partitions_of(&map)), ids);
    }

    #[test]
    fn where_the_database_is_counts_though_the_line_is_not_whole() {
        for line in [
            &["doug", "--endpoint", "http://b:1", "member", "replace", "a-"][..],
            &["doug", "member", "replace", "--endpoint=http://b:1", ""],
            &["doug", "partition", "move", "3", "--to", "", "--endpoint", "http://b:1"],
        ] {
            let typed = parse(crate::program(), line.iter().map(OsString::from).collect())
                .expect("it is one");
            let globals = Globals::from_arg_matches(&typed).expect("they have defaults");
            assert_eq!(globals.endpoint, ["http://b:1"], "{line:?}");
            assert!(Reach::from_arg_matches(last(&typed)).is_ok(), "{line:?}");
        }
    }
}
