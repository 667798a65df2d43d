//! How `doug demo status` looks.

use super::database;
use super::processes::Condition;
use super::state::{Node, State};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use doug_proto::error::Fault;
use doug_proto::v1;

/// Prints every process, and which node leads which partition.
pub fn print(state: &State, status: Result<&v1::StatusResponse, &Fault>) {
    doug_streams::outln!("Endpoint  {}", state.endpoint());
    doug_streams::outln!("Ready     {}\n", if state.ready { "yes" } else { "not yet" });
    doug_streams::outln!("{}", processes(state, status.ok()));
    match status {
        Err(error) => doug_streams::outln!("\nWho leads is not known: {error}"),
        Ok(status) => {
            let partitions = 1..=u64::from(state.shape.partitions);
            let without: Vec<String> = partitions
                .filter(|partition| database::leader(status, *partition).is_none())
                .map(|partition| format!("P{partition}"))
                .collect();
            if !without.is_empty() {
                doug_streams::outln!("\nWithout a leader: {}", without.join(", "));
            }
        }
    }
}

fn processes(state: &State, status: Option<&v1::StatusResponse>) -> Table {
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
            status.map_or_else(|| "?".to_owned(), |status| leads(state, status, node)),
            node.ports.doug.to_string(),
            node.ports.admin.to_string(),
            node.ports.http.to_string(),
        ]);
    }
    table
}

fn leads(state: &State, status: &v1::StatusResponse, node: &Node) -> String {
    let led: Vec<String> = (1..=u64::from(state.shape.partitions))
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
