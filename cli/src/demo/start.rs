//! From nothing, or from what the last demo left, to a database that takes writes.

use super::database;
use super::membership;
use super::prepare::Prepared;
use super::processes::{Processes, Spec};
use super::screen::Progress;
use super::state::{FACADE, LOOPBACK, Node, State};
use anyhow::{Context, bail};
use doug_client::{Client, Fault, If};
use futures::future::try_join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Every partition must take a write within this long: several elections, on a
/// machine that does much else.
const WRITABLE: Duration = Duration::from_secs(60);

/// Starts every process and returns once every partition has taken a write
/// through the facade.
///
/// # Errors
/// What did not start, with the end of its log.
pub async fn start(
    prepared: &mut Prepared,
    processes: &mut Processes,
    progress: &Progress,
) -> anyhow::Result<()> {
    let Prepared { layout, state, .. } = prepared;
    let count = state.nodes.len();
    progress.step(format!("Starting {count} nodes"));
    for node in &state.nodes {
        processes.start(node_spec(node)).await?;
    }
    note(state, processes);
    state.save(layout)?;
    let identities = alive(processes, membership::identify_all(&state.nodes)).await?;

    progress.step(match state.creation {
        None => format!("Creating the database: {}", state.shape),
        Some(_) => "Going on with the database that is there".to_owned(),
    });
    membership::intend(state, &identities)?;
    // Before the first node is told: see `State::creation`.
    state.save(layout)?;
    alive(processes, membership::establish(state, &identities)).await?;

    progress.step(format!("Starting the facade at {}", state.listen));
    processes.start(facade_spec(state)).await?;
    note(state, processes);
    state.save(layout)?;
    progress.step("Writing to every partition");
    alive(processes, await_writable(state)).await?;
    state.ready = true;
    state.save(layout)
}

/// Copies pids and conditions into the state.
pub fn note(state: &mut State, processes: &Processes) {
    for node in &mut state.nodes {
        (node.pid, node.condition) = processes.look(&node.name);
    }
    (state.facade.pid, state.facade.condition) = processes.look(FACADE);
}

/// Waits for `work`, or for the first process that dies meanwhile.
async fn alive<T>(
    processes: &mut Processes,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        result = work => result,
        death = processes.next_death() => bail!(
            "{} ended while starting ({}); the last lines of its log:\n{}",
            death.name, death.how, death.last_lines
        ),
    }
}

fn node_spec(node: &Node) -> Spec {
    let ports = node.ports;
    let options = [
        ("--data", node.data.display().to_string()),
        ("--name", node.name.clone()),
        ("--cluster", node.cluster.clone()),
        ("--listen", LOOPBACK.into()),
        ("--address", LOOPBACK.into()),
        ("--doug-port", ports.doug.to_string()),
        ("--raft-port", ports.raft.to_string()),
        ("--admin-port", ports.admin.to_string()),
        ("--http-port", ports.http.to_string()),
        ("--log-limit", "64MiB".into()),
        ("--memory-budget", "64MiB".into()),
    ];
    spec("node", &node.name, &node.log, options)
}

fn facade_spec(state: &State) -> Spec {
    let nodes: Vec<String> = state.nodes.iter().map(Node::doug_address).collect();
    let options = [
        ("--listen", state.listen.to_string()),
        ("--http", format!("{LOOPBACK}:{}", state.facade.http_port)),
        ("--nodes", nodes.join(",")),
    ];
    spec("facade", FACADE, &state.facade.log, options)
}

fn spec<const N: usize>(
    role: &str,
    name: &str,
    log: &std::path::Path,
    options: [(&str, String); N],
) -> Spec {
    let options = options.into_iter().flat_map(|(flag, value)| [flag.into(), value]);
    let arguments = std::iter::once(role.to_owned()).chain(options).collect();
    Spec { name: name.into(), arguments, log: log.to_owned() }
}

/// Waits until every partition takes writes through the facade.
async fn await_writable(state: &State) -> anyhow::Result<()> {
    let deadline = Instant::now() + WRITABLE;
    let endpoint = state.endpoint();
    let map = database::until(deadline, || database::map(&endpoint)).await;
    let map = map.with_context(|| format!("asking the facade at {endpoint} for the map"))?;
    let client = Client::builder().endpoints([&endpoint]).sessions(false);
    let client = client.timeout(Duration::from_secs(2)).connect().await?;
    // A write to each that no user sees: the deletion of a key that nobody wrote.
    let touches = database::a_key_of_each(&map).into_iter().map(|key| {
        let client = &client;
        let partition = map.partition_of(&key).id;
        async move {
            let touched =
                database::until(deadline, || client.delete(key.clone(), If::Always)).await;
            touched.with_context(|| format!("writing to partition {partition}"))
        }
    });
    try_join_all(touches).await?;
    // What is printed next invites to `doug status`: it must not show gaps.
    let led = database::until(deadline, || async {
        let status = database::status(&endpoint, false).await?;
        let partitions = map.partitions.iter().map(|partition| partition.id);
        match partitions.into_iter().find(|id| database::leader(&status, *id).is_none()) {
            None => Ok(()),
            Some(id) => Err(Fault::unavailable(format!("no node says that it leads P{id}"))),
        }
    });
    led.await.context("asking the facade who leads")
}
