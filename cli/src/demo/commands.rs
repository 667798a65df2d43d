//! What other terminals do with the running demo.

use super::args::{Command, Names, Which};
use super::control::{self, Action, Request};
use super::database;
use super::layout::Layout;
use super::lock;
use super::processes::Condition;
use super::state::{self, FACADE, State};
use super::table;
use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::{Context, bail};
use doug_proto::error::Fault;
use std::path::PathBuf;
use tokio::time::Instant;

/// How long a partition may be without a leader before `leader:KEY` gives up:
/// several elections.
const ELECTION: std::time::Duration = std::time::Duration::from_secs(3);

/// Every node, in place of a name.
const ALL: &str = "all";

/// Runs one command.
pub async fn run(command: Command, globals: &Globals) -> anyhow::Result<Exit> {
    match command {
        Command::Status(which) => show(&which, globals).await,
        Command::Kill(names) => act(Action::Kill, &names, globals).await,
        Command::Pause(names) => act(Action::Pause, &names, globals).await,
        Command::Resume(names) => act(Action::Resume, &names, globals).await,
        Command::Restart(names) => act(Action::Restart, &names, globals).await,
        Command::Wipe(names) => act(Action::Wipe, &names, globals).await,
    }
}

/// The running demo that is meant.
///
/// # Errors
/// That none runs, with what to do.
fn find(which: &Which) -> anyhow::Result<State> {
    let folder = which.data.clone().or_else(state::pointed_to);
    let none = "no demo is running: start one with `doug demo`";
    let layout = Layout::new(&folder.context(none)?)?;
    if !lock::is_held(&layout) {
        let folder = layout.root().display();
        match which.data {
            Some(_) => bail!("no demo is running on {folder}: `doug demo --data {folder}`"),
            None => bail!("{none}"),
        }
    }
    let folder = layout.root().display();
    State::load(&layout)?.with_context(|| format!("the demo on {folder} is still starting"))
}

/// What the running demo calls its processes, and all of its nodes; nothing if none runs.
pub fn process_names(data: Option<PathBuf>) -> Vec<String> {
    let Ok(state) = find(&Which { data }) else { return Vec::new() };
    let nodes = state.nodes.iter().map(|node| node.name.clone());
    nodes.chain([FACADE, ALL].map(str::to_owned)).collect()
}

async fn show(which: &Which, globals: &Globals) -> anyhow::Result<Exit> {
    let state = find(which)?;
    let endpoint = state.endpoint();
    let (facade, nodes) =
        tokio::join!(database::status(&endpoint, true), database::status_of_nodes(&state));
    let mut lacks = table::lacks(&state, facade.as_ref().map(drop), &nodes);
    for lack in &mut lacks {
        *lack = globals.given.repeated_in(lack).into_owned();
    }
    if globals.json() {
        let mut document = serde_json::to_value(&state)?;
        document["ready"] = lacks.is_empty().into();
        document["lacks"] = lacks.into();
        doug_streams::outln!("{document:#}");
        return Ok(Exit::Done);
    }
    table::print(&state, &lacks, &nodes);
    Ok(Exit::Done)
}

async fn act(action: Action, names: &Names, globals: &Globals) -> anyhow::Result<Exit> {
    let state = find(&names.which)?;
    let mut resolved = Vec::new();
    for name in &names.nodes {
        for name in resolve(name, action, &state).await? {
            if !resolved.contains(&name) {
                resolved.push(name);
            }
        }
    }
    if resolved.is_empty() {
        doug_streams::outln!(
            "every node runs: name those that are to be stopped and started again"
        );
        return Ok(Exit::Done);
    }
    let request = Request { action, names: resolved };
    control::ask(&state.control, &request).await?;
    let done = match action {
        Action::Kill => "killed",
        Action::Pause => "paused",
        Action::Resume => "resumed",
        Action::Restart => "started again",
        Action::Wipe => "started again, with an empty volume and a new id",
    };
    doug_streams::outln!("{} {done}", request.names.join(", "));
    let down = matches!(action, Action::Kill | Action::Pause);
    if down && request.names.iter().any(|name| name == FACADE) {
        let hint = format!(
            "Nobody answers at {} until `doug demo {} facade`",
            state.endpoint(),
            if action == Action::Kill { "restart" } else { "resume" }
        );
        doug_streams::outln!("{}", globals.given.repeated_in(&hint));
    }
    Ok(Exit::Done)
}

async fn resolve(name: &str, action: Action, state: &State) -> anyhow::Result<Vec<String>> {
    if name == ALL {
        return Ok(all(action, state));
    }
    match name.strip_prefix("leader:") {
        None => Ok(vec![name.to_owned()]),
        Some(of) => Ok(vec![leader_of(of, state).await?]),
    }
}

/// Every node. To be started again, only those that do not run: stopping the others at the
/// same time would leave no partition a leader.
fn all(action: Action, state: &State) -> Vec<String> {
    let concerned = state
        .nodes
        .iter()
        .filter(|node| action != Action::Restart || node.condition != Condition::Running);
    concerned.map(|node| node.name.clone()).collect()
}

/// The node that leads `P3`, or the partition of a key.
async fn leader_of(of: &str, state: &State) -> anyhow::Result<String> {
    let endpoint = state.endpoint();
    let partition = match of.strip_prefix('P').and_then(|id| id.parse::<u64>().ok()) {
        Some(id) if state.partitions().contains(&id) => id,
        Some(id) => {
            bail!("there is no partition {id}: there are 1 to {}", state.partitions().end())
        }
        None => database::map(&endpoint).await?.partition_of(of.as_bytes()).id,
    };
    let leader = database::until(Instant::now() + ELECTION, || async {
        let status = database::status(&endpoint, false).await?;
        let leader = database::leader(&status, partition).map(|node| node.name.clone());
        leader.ok_or_else(|| Fault::unavailable(format!("partition {partition} has no leader")))
    });
    leader.await.with_context(|| format!("looking for the leader of {of}"))
}

#[cfg(test)]
mod tests {
    use super::super::state::Shape;
    use super::*;

    #[test]
    fn of_all_nodes_only_those_that_do_not_run_are_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let shape = Shape { clusters: 1, nodes: 3, partitions: 1 };
        let mut state = State::new(&layout, shape, "127.0.0.1:7400".parse().unwrap(), true);
        let conditions =
            [Condition::Running, Condition::Died("signal: 9".into()), Condition::Paused];
        for (node, condition) in state.nodes.iter_mut().zip(conditions) {
            node.condition = condition;
        }
        assert_eq!(all(Action::Restart, &state), ["a-1", "a-2"]);
        assert_eq!(all(Action::Kill, &state), ["a-0", "a-1", "a-2"]);
    }
}
