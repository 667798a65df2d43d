//! The load for people: nodes, then partitions.

use super::rates::Traffic;
use super::view::{NodeLoad, PartitionLoad, Top};
use crate::grid::{Column, Grid};
use crate::units::{show_count, show_size};
use doug_proto::v1::NodeState;

/// A summary and two tables, as far as they have room on a terminal of so many rows and columns.
pub fn render(top: &Top, size: Option<(usize, usize)>) -> String {
    let columns = size.map(|(_, columns)| columns);
    // A database of many nodes must leave room for partitions, which are cut where the rows end.
    let most_nodes = size.map_or(usize::MAX, |(rows, _)| (rows / 2).saturating_sub(4).max(3));
    let mut text = format!("{}\n\n", summary(top));
    text.push_str(&nodes(&top.nodes, most_nodes).render(columns));
    if top.nodes.len() > most_nodes {
        text.push_str(&format!("\n … {} nodes more", top.nodes.len() - most_nodes));
    }
    text.push_str("\n\n");
    text.push_str(&partitions(&top.partitions).render(columns));
    text
}

fn summary(top: &Top) -> String {
    if top.total.is_none() {
        return format!("load: two looks tell it; database {}", top.database);
    }
    let [reads, writes, out, into] = traffic(top.total);
    let load = format!("{reads} reads/s, {writes} writes/s, {out}/s out, {into}/s in");
    format!("{load}; database {}", top.database)
}

fn nodes(nodes: &[NodeLoad], most: usize) -> Grid {
    let mut grid = Grid::new(vec![
        Column::words("node"),
        Column::words("cluster").rank(5),
        Column::words("state"),
        Column::numbers("leads").rank(2),
        Column::numbers("replicas").rank(6),
        Column::numbers("reads/s"),
        Column::numbers("writes/s"),
        Column::numbers("out/s").rank(3),
        Column::numbers("in/s").rank(3),
        Column::numbers("size"),
        Column::numbers("free").rank(4),
        Column::numbers("lag").rank(1),
    ]);
    for node in nodes.iter().take(most) {
        let [reads, writes, out, into] = traffic(node.traffic);
        grid.add(vec![
            node.name.clone(),
            node.cluster.clone(),
            state(node.state).into(),
            node.leads.to_string(),
            node.replicas.to_string(),
            reads,
            writes,
            out,
            into,
            show_size(node.bytes),
            node.available.map_or_else(unknown, show_size),
            lag(node.lag, 0),
        ]);
    }
    grid
}

fn partitions(partitions: &[PartitionLoad]) -> Grid {
    let mut grid = Grid::new(vec![
        Column::numbers("partition"),
        Column::words("keyspace").rank(3),
        Column::words("cluster").rank(5),
        Column::words("leader"),
        Column::numbers("reads/s"),
        Column::numbers("writes/s"),
        Column::numbers("out/s").rank(2),
        Column::numbers("in/s").rank(2),
        Column::numbers("size"),
        Column::numbers("keys").rank(4),
        Column::numbers("lag").rank(1),
    ]);
    for partition in partitions {
        let [reads, writes, out, into] = traffic(partition.traffic);
        grid.add(vec![
            partition.id.to_string(),
            partition.keyspace.clone(),
            partition.cluster.clone(),
            partition.leader.clone().unwrap_or_else(|| "none".into()),
            reads,
            writes,
            out,
            into,
            show_size(partition.bytes),
            format!("~{}", show_count(partition.estimated_keys as f64)),
            lag(partition.lag, partition.down),
        ]);
    }
    grid
}

/// Reads, writes, bytes out, bytes in.
fn traffic(traffic: Option<Traffic>) -> [String; 4] {
    let Some(traffic) = traffic else { return [(); 4].map(|()| unknown()) };
    [
        show_count(traffic.reads),
        show_count(traffic.writes),
        show_size(traffic.read_bytes as u64),
        show_size(traffic.written_bytes as u64),
    ]
}

/// What lacks the most entries, and how many are down.
fn lag(lag: Option<u64>, down: usize) -> String {
    let lag = lag.map_or_else(unknown, |lag| show_count(lag as f64));
    if down == 0 { lag } else { format!("{lag} ({down} down)") }
}

fn unknown() -> String {
    "?".into()
}

fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Unspecified => "?",
        NodeState::Starting => "starting",
        NodeState::Empty => "empty",
        NodeState::CatchingUp => "catching up",
        NodeState::Ready => "ready",
        NodeState::Unreachable => "down",
        NodeState::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(reads: f64, writes: f64) -> Option<Traffic> {
        Some(Traffic { reads, writes, read_bytes: 120.0 * reads, written_bytes: 333.0 * writes })
    }

    /// Two clusters: one that serves, of which a node is down, and one with nothing to do.
    fn sample() -> Top {
        let node = |name: &str, traffic: Option<Traffic>, lag| NodeLoad {
            name: name.into(),
            cluster: name[..1].into(),
            state: if traffic.is_some() { NodeState::Ready } else { NodeState::Unreachable },
            leads: 3,
            replicas: 9,
            traffic,
            bytes: if traffic.is_some() { 123_456_789 } else { 0 },
            available: traffic.map(|_| 48 << 30),
            lag,
        };
        let partition = |id, leader: Option<&str>, traffic, lag, down| PartitionLoad {
            id,
            keyspace: if id == 1 { "system".into() } else { "default".into() },
            cluster: "a".into(),
            leader: leader.map(str::to_owned),
            traffic,
            bytes: 12_345_678 * id,
            estimated_keys: 123_456 * id,
            lag,
            down,
        };
        Top {
            database: "1b2c3d4e5f60".into(),
            total: traffic(14_321.0, 2_345.0),
            nodes: vec![
                node("a-1", traffic(9_876.0, 2_345.0), Some(0)),
                node("a-0", traffic(4_445.0, 0.0), Some(1_234_567)),
                node("b-0", traffic(0.0, 0.4), Some(0)),
                node("a-2", None, None),
            ],
            partitions: vec![
                partition(12, Some("a-1"), traffic(9_876.0, 2_345.0), Some(7), 1),
                partition(3, Some("a-0"), traffic(4_445.0, 0.0), Some(0), 0),
                partition(1, None, None, None, 2),
            ],
        }
    }

    #[test]
    fn a_terminal_of_200_columns_shows_everything() {
        insta::assert_snapshot!(render(&sample(), Some((50, 200))));
    }

    #[test]
    fn a_terminal_of_80_columns_shows_what_matters_most() {
        let text = render(&sample(), Some((50, 80)));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn many_nodes_leave_room_for_partitions() {
        let mut top = sample();
        top.nodes.extend(std::iter::repeat_with(sample).take(10).flat_map(|more| more.nodes));
        let text = render(&top, Some((24, 80)));
        let shown: Vec<&str> = text.lines().take(24).collect();
        assert!(shown.iter().any(|line| line.contains("36 nodes more")), "{text}");
        assert!(shown.iter().any(|line| line.contains("9.9k")), "{text}");
    }

    #[test]
    fn after_one_look_nothing_is_said_of_load() {
        let mut top = sample();
        top.total = None;
        assert!(render(&top, None).starts_with("load: two looks tell it; database 1b2c3d4e5f60\n"));
    }
}
