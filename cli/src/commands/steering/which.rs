//! Partitions and nodes as the command line names them.

use crate::exit::usage;
use doug_client::PartitionMap;
use doug_proto::ids::NodeId;
use doug_proto::map::Node;
use std::ops::RangeInclusive;

/// Which partitions are meant.
#[derive(clap::Args, Clone, Debug)]
pub struct Which {
    /// Partitions: 3, or several: 1,2,5-7
    #[arg(
        value_name = "PARTITIONS",
        required_unless_present = "all",
        value_delimiter = ',',
        value_parser = span
    )]
    partitions: Vec<RangeInclusive<u64>>,
    /// Every partition
    #[arg(long, conflicts_with = "partitions")]
    all: bool,
}

impl Which {
    /// Their ids, each once, in order.
    pub fn ids(&self, map: &PartitionMap) -> anyhow::Result<Vec<u64>> {
        let mut known: Vec<u64> = map.partitions.iter().map(|partition| partition.id).collect();
        known.sort_unstable();
        if self.all {
            return Ok(known);
        }
        let ends = self.partitions.iter().flat_map(|span| [*span.start(), *span.end()]);
        if let Some(unknown) = ends.into_iter().find(|id| !known.contains(id)) {
            let (least, most) = (known.first().unwrap_or(&0), known.last().unwrap_or(&0));
            return Err(usage(format!(
                "there is no partition {unknown}: there are {least} to {most}"
            )));
        }
        known.retain(|id| self.partitions.iter().any(|span| span.contains(id)));
        Ok(known)
    }
}

fn span(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("{text:?} names no partitions: write 3, or 5-7, or 1,2,5-7");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    match text.split_once('-') {
        None => number(text).map(|id| id..=id),
        Some((first, last)) => {
            let span = number(first)?..=number(last)?;
            if span.is_empty() { Err(wrong()) } else { Ok(span) }
        }
    }
}

/// The node with this name or id. Where a lost node and its successor have one name,
/// `lost` says which of them is meant.
pub fn named<'a>(
    map: &'a PartitionMap,
    text: &str,
    lost: impl Fn(NodeId) -> bool,
) -> anyhow::Result<&'a Node> {
    if let Some(node) = text.parse().ok().and_then(|id| map.node(id)) {
        return Ok(node);
    }
    let found: Vec<&Node> = map.present().filter(|node| node.name == text).collect();
    match found[..] {
        [node] => return Ok(node),
        [] => {}
        _ => {
            let mut meant = found.iter().filter(|node| lost(node.id));
            if let (Some(node), None) = (meant.next(), meant.next()) {
                return Ok(node);
            }
            let ids: Vec<String> = found.iter().map(|node| node.id.to_string()).collect();
            return Err(usage(format!(
                "several nodes have the name {text}: give the id of one of them, {}",
                ids.join(" or ")
            )));
        }
    }
    let mut names: Vec<&str> = map.present().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    Err(usage(format!("there is no node {text}: there are {}", names.join(", "))))
}

/// The names of nodes, or their ids where they have none.
pub fn names_of(map: &PartitionMap, nodes: impl IntoIterator<Item = NodeId>) -> Vec<String> {
    let name = |id: NodeId| match map.node(id) {
        Some(node) if !node.name.is_empty() => node.name.clone(),
        _ => id.to_string(),
    };
    nodes.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::destination::tests::map;
    use super::*;

    fn ids(texts: &[&str]) -> Result<Vec<u64>, String> {
        let partitions = texts.iter().map(|text| span(text)).collect::<Result<_, _>>()?;
        let which = Which { partitions, all: false };
        which.ids(&map()).map_err(|error| error.to_string())
    }

    #[test]
    fn partitions_are_named_one_by_one_and_as_spans_and_each_comes_once() {
        assert_eq!(ids(&["3", "1-2", "2"]), Ok(vec![1, 2, 3]));
    }

    #[test]
    fn what_names_no_partition_is_refused() {
        assert!(ids(&["9"]).unwrap_err().contains("there are 1 to 4"));
        assert!(ids(&["7-5"]).unwrap_err().contains("5-7"));
        assert!(ids(&["x"]).unwrap_err().contains("names no partitions"));
    }

    #[test]
    fn of_two_nodes_with_one_name_the_lost_one_is_meant() {
        let mut map = map();
        let twin = Node { id: NodeId::from_bits(0xff), ..map.nodes[0].clone() };
        map.nodes.push(twin);
        let old = map.nodes[0].id;
        assert_eq!(named(&map, "a-0", |id| id == old).unwrap().id, old);
        let error = named(&map, "a-0", |_| false).unwrap_err().to_string();
        assert!(error.contains("0000000000ff"), "{error}");
        assert_eq!(named(&map, "0000000000ff", |_| false).unwrap().id, NodeId::from_bits(0xff));
    }
}
