//! The view as tables, one a cluster, because only its own nodes hold a
//! cluster's partitions.

use super::view::{Change, Node, Partition, Place, Shortage, View};
use crate::grid::{Column, Grid};
use crate::units::{show_count, show_milliseconds, show_size, show_time};
use doug_proto::clock_offset::clock_off;
use doug_proto::map::Recovery;
use doug_proto::v1::NodeState;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Tables, as wide as a terminal of so many columns, and a summary.
pub fn render(view: &View, columns: Option<usize>) -> String {
    let mut text = String::new();
    let clusters: BTreeSet<&str> = view.nodes.iter().map(|node| node.cluster.as_str()).collect();
    for cluster in clusters {
        let _ = writeln!(text, "cluster {cluster}\n{}\n", table(view, cluster).render(columns));
    }
    for partition in &view.partitions {
        for (node, why) in &partition.damaged {
            let (id, name) = (partition.id, view.name_of(node));
            let _ = writeln!(text, "partition {id}: its replica on {name} is damaged: {why}");
        }
        for Recovery { at_milliseconds, by, node, committed, kept, .. } in &partition.recoveries {
            let (id, at) = (partition.id, show_time(*at_milliseconds));
            let node = node.to_string();
            let name = view.name_of(&node);
            let _ = writeln!(
                text,
                "partition {id}: began anew without its quorum at {at}, by {by}, from {name}: up to \
                 index {kept} nothing is lost, and above {committed} no old token is believed"
            );
        }
        if let Some(change) = &partition.change {
            let (id, Change { goal, phase, .. }) = (partition.id, change);
            let _ = writeln!(text, "partition {id}: on its way {goal}; {phase}");
        }
    }
    for partition in view.partitions.iter().filter(|partition| partition.lacks() > 0) {
        let (id, voters, lacks) = (partition.id, partition.voters, partition.lacks());
        let _ = writeln!(text, "partition {id}: {voters} voters, {lacks} fewer than declared");
    }
    for Shortage { cluster, nodes, declared } in &view.shortages {
        let _ = writeln!(text, "cluster {cluster}: {nodes} nodes of {declared} declared");
    }
    for node in view.nodes.iter().filter(|node| node.state != NodeState::Ready) {
        let _ = writeln!(text, "{} ({}): {}", node.name, node.id, state(node));
    }
    for (node, (fullness, left)) in view.nodes.iter().filter_map(|n| Some((n, n.fullness()?))) {
        let _ = writeln!(text, "{} ({}): its volume is {fullness}: {left}", node.name, node.id);
    }
    for (node, off) in view.nodes.iter().filter_map(|n| Some((n, clock_off(n.clock_offset)?))) {
        let _ = writeln!(text, "{} ({}): its clock is {off}", node.name, node.id);
    }
    text.push_str(&summary(view));
    text
}

fn table(view: &View, cluster: &str) -> Grid {
    let nodes: Vec<&Node> = view.nodes.iter().filter(|node| node.cluster == cluster).collect();
    let head = [
        Column::words("partition"),
        Column::words("keyspace").rank(1),
        Column::numbers("size").rank(3),
        Column::numbers("keys").rank(4),
        Column::words("leader"),
        Column::words("since").rank(2),
    ];
    let places = nodes.iter().map(|node| Column::words(&node.name));
    let mut grid = Grid::new(head.into_iter().chain(places).collect());
    for partition in view.partitions.iter().filter(|partition| partition.cluster == cluster) {
        let leader = partition.leader.as_deref().map_or("none", |id| view.name_of(id)).to_owned();
        let since = partition.since_milliseconds.map_or_else(|| "?".into(), show_milliseconds);
        let head = [
            partition.id.to_string(),
            partition.keyspace.clone(),
            show_size(partition.bytes),
            format!("~{}", show_count(partition.estimated_keys as f64)),
            leader,
            since,
        ];
        let places = nodes.iter().map(|node| place(partition, node));
        grid.add(head.into_iter().chain(places).collect());
    }
    grid
}

fn place(partition: &Partition, node: &Node) -> String {
    match partition.members.get(&node.id) {
        None => String::new(),
        Some(Place::Leads) => "L".into(),
        Some(Place::Lags(0)) => "=".into(),
        Some(Place::Lags(entries)) => format!("-{entries}"),
        Some(Place::Down) => "down".into(),
        Some(Place::Damaged) => "damaged".into(),
        Some(Place::Unknown) => "?".into(),
    }
}

fn state(node: &Node) -> String {
    let name = match node.state {
        NodeState::Unspecified => "state not known",
        NodeState::Starting => "starting: its log is being replayed",
        NodeState::Empty => "empty volume, waiting for `doug create`",
        NodeState::CatchingUp => "catching up",
        NodeState::Ready => "ready",
        NodeState::Unreachable => "does not answer",
        NodeState::Removed => "removed from the database for good",
    };
    if node.message.is_empty() { name.into() } else { format!("{name}: {}", node.message) }
}

fn summary(view: &View) -> String {
    let led = view.partitions.iter().filter(|partition| partition.leader.is_some()).count();
    let ready = view.nodes.iter().filter(|node| node.state == NodeState::Ready).count();
    format!(
        "{led} of {} partitions have a leader, {ready} of {} nodes are ready; \
         database {}, map epoch {}, version {}",
        view.partitions.len(),
        view.nodes.len(),
        view.database,
        view.epoch,
        view.version
    )
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::{changing, sample, short};
    use super::*;
    use doug_proto::v1::VolumeStatus;

    #[test]
    fn the_tables_show_who_leads_who_lags_and_who_is_down() {
        insta::assert_snapshot!(render(&sample(), None));
    }

    #[test]
    fn a_clock_that_needs_setting_stands_beside_its_node() {
        let mut view = sample();
        view.nodes[0].clock_offset = -2_500;
        let text = render(&view, None);
        assert!(text.contains("its clock is 2500 ms behind those of the nodes it hears"), "{text}");
    }

    #[test]
    fn a_volume_that_is_full_stands_beside_its_node() {
        let mut view = sample();
        view.nodes[1].volume = Some(VolumeStatus {
            total_bytes: 300 << 20,
            available_bytes: 9 << 20,
            refuses_writes: true,
            ..Default::default()
        });
        let text = render(&view, None);
        let said = "a-1 (000000000001): its volume is full: 9 of 300 MiB are left for data";
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn the_record_of_a_recovery_stands_below_the_tables() {
        let mut view = sample();
        view.partitions[0].recoveries = vec![Recovery {
            at_milliseconds: 1_796_045_400_000,
            by: "ann".into(),
            replica: 3,
            node: view.nodes[2].id.parse().unwrap(),
            committed: 118,
            kept: 120,
            kept_term: 4,
            resumed: 1_000,
            first_replica: 9,
            lost: Vec::new(),
        }];
        let text = render(&view, None);
        let said = "began anew without its quorum at 2026-11-30T13:30:00Z, by ann, from a-2";
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn what_is_below_the_declared_number_stands_below_the_tables() {
        let text = render(&short(), None);
        assert!(text.contains("partition 1: 3 voters, 2 fewer than declared\n"), "{text}");
        assert!(text.contains("cluster a: 3 nodes of 5 declared\n"), "{text}");
        assert!(!text.contains("partition 2: 3 voters"), "{text}");
    }

    #[test]
    fn damaged_replicas_and_changes_of_members_stand_below_the_tables() {
        insta::assert_snapshot!(render(&changing(), None));
    }
}
