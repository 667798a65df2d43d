//! How `doug demo status` looks.

use super::database;
use super::processes::Condition;
use super::state::{Node, State};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use doug_proto::error::Fault;
use doug_proto::v1;
use doug_streams::outln;

/// Prints every process, and which node leads which partition.
pub fn print(state: &State, lacks: &[String], nodes: &v1::StatusResponse) {
    let ready =
        if lacks.is_empty() { "yes".to_owned() } else { format!("no: {}", lacks.join("; ")) };
    outln!("Endpoint  {}\nReady     {ready}\n", state.endpoint());
    outln!("{}", processes(state, nodes));
}

/// Why the demo does not serve all of its data at this moment.
pub fn lacks(state: &State, facade: Result<(), &Fault>, nodes: &v1::StatusResponse) -> Vec<String> {
    let mut lacks = Vec::new();
    if !state.ready {
        lacks.push("it is still starting".to_owned());
    }
    match (&state.facade.condition, facade) {
        (Condition::Running, Ok(())) => {}
        (Condition::Running, Err(error)) => {
            lacks.push(format!("the facade does not answer: {error}"))
        }
        (Condition::Paused, _) => {
            lacks.push("the facade is paused: `doug demo resume facade`".to_owned());
        }
        (Condition::Stopped, _) => {
            lacks.push("the facade is stopped: `doug demo restart facade`".to_owned());
        }
        (Condition::Died(how), _) => {
            lacks.push(format!("the facade ended unasked ({how}) and is about to be restarted"));
        }
    }
    let without: Vec<String> = state
        .partitions()
        .filter(|partition| database::leader(nodes, *partition).is_none())
        .map(|partition| format!("P{partition}"))
        .collect();
    if !without.is_empty() {
        lacks.push(format!("without a leader: {}", without.join(", ")));
    }
    lacks
}

fn processes(state: &State, status: &v1::StatusResponse) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["PROCESS", "PID", "STATE", "LEADS", "DOUG", "ADMIN", "HTTP"]);
    let facade = &state.facade;
    table.add_row([
        "facade".to_owned(),
        pid(facade.pid),
        condition(&facade.condition),
        String::new(),
        state.listen.port().to_string(),
        String::new(),
        facade.http_port.to_string(),
    ]);
    for node in &state.nodes {
        table.add_row([
            node.name.clone(),
            pid(node.pid),
            condition(&node.condition),
            leads(state, status, node),
            node.ports.doug.to_string(),
            node.ports.admin.to_string(),
            node.ports.http.to_string(),
        ]);
    }
    table
}

fn leads(state: &State, status: &v1::StatusResponse, node: &Node) -> String {
    let led: Vec<String> = state
        .partitions()
        .filter(|partition| {
            database::leader(status, *partition).is_some_and(|leader| leader.name == node.name)
        })
        .map(|partition| format!("P{partition}"))
        .collect();
    led.join(" ")
}

fn pid(pid: Option<u32>) -> String {
    pid.map(|pid| pid.to_string()).unwrap_or_default()
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Running => "running".into(),
        Condition::Paused => "paused".into(),
        Condition::Stopped => "stopped".into(),
        Condition::Died(how) => format!("died ({how})"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::super::state::Shape;
    use super::*;
    use doug_proto::v1::ReplicaRole;

    fn state(facade: Condition) -> State {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { clusters: 1, nodes: 3, partitions: 2 };
        let listen = "127.0.0.1:7400".parse().unwrap();
        let mut state = State::new(&Layout::new(folder.path()).unwrap(), shape, listen, true);
        state.facade.condition = facade;
        state.ready = true;
        state
    }

    fn led(partitions: &[u64]) -> v1::StatusResponse {
        let replica = |partition: &u64| v1::ReplicaStatus {
            partition: *partition,
            role: ReplicaRole::Leader.into(),
            ..Default::default()
        };
        let replicas = partitions.iter().map(replica).collect();
        let node = v1::NodeStatus { name: "a-0".into(), replicas, ..Default::default() };
        v1::StatusResponse { nodes: vec![node], ..Default::default() }
    }

    #[test]
    fn a_demo_is_ready_while_its_facade_answers_and_every_partition_is_led() {
        assert_eq!(lacks(&state(Condition::Running), Ok(()), &led(&[1, 2, 3])), [""; 0]);
    }

    #[test]
    fn beside_a_dead_facade_or_a_partition_without_a_leader_it_is_not() {
        let died = lacks(&state(Condition::Died("signal: 9".into())), Ok(()), &led(&[1, 2, 3]));
        assert!(died[0].contains("signal: 9"), "{died:?}");
        let silent = Fault::unavailable("it hangs");
        let silent = lacks(&state(Condition::Running), Err(&silent), &led(&[1, 2, 3]));
        assert!(silent[0].contains("it hangs"), "{silent:?}");
        let headless = lacks(&state(Condition::Running), Ok(()), &led(&[1, 3]));
        assert_eq!(headless, ["without a leader: P2"]);
    }
}
