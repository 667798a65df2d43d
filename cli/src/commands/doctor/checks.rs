//! What is wrong with a database, and what to do: judged from the nodes'
//! answers alone, without any clock.

use super::reach::Reached;
use crate::commands::status::{Node, Partition, Place, Shortage, View};
use doug_proto::clock_offset::clock_off;
use doug_proto::v1::NodeState;

/// Followers lag by what is in flight; more than this is falling behind.
const MUCH_LAG: u64 = 10_000;

/// Something wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// Everything wrong, worst first.
pub fn check(reached: &Reached) -> Vec<Finding> {
    let Reached { view, own_version } = reached;
    let mut findings: Vec<Finding> =
        view.partitions.iter().filter_map(|partition| check_leader(view, partition)).collect();
    findings.extend(view.nodes.iter().filter_map(check_node));
    findings.extend(view.nodes.iter().filter_map(check_volume));
    findings.extend(view.nodes.iter().filter_map(check_clock));
    findings.extend(view.partitions.iter().flat_map(|partition| check_lag(view, partition)));
    findings.extend(view.partitions.iter().flat_map(|partition| check_damage(view, partition)));
    findings.extend(view.partitions.iter().flat_map(|partition| check_tails(view, partition)));
    findings.extend(view.partitions.iter().filter_map(check_change));
    findings.extend(view.shortages.iter().map(check_cluster));
    findings.extend(view.partitions.iter().filter_map(check_voters));
    findings.extend(check_versions(view, own_version));
    findings
}

fn check_leader(view: &View, partition: &Partition) -> Option<Finding> {
    if partition.leader.is_some() {
        return None;
    }
    let down: Vec<&str> = partition
        .members
        .iter()
        .filter(|(_, place)| **place == Place::Down)
        .map(|(id, _)| view.name_of(id))
        .collect();
    let (members, alive) = (partition.members.len(), partition.members.len() - down.len());
    let needed = members / 2 + 1;
    let served = match alive {
        0 => "can be neither written nor read",
        _ => "cannot be written, and read only with `--consistency eventual`",
    };
    let remedy = if alive < needed {
        format!(
            "start at least {} of these nodes: {}; {needed} of {members} must answer",
            needed - alive,
            down.join(", ")
        )
    } else {
        "a majority answers, so an election should end within a second: run this again; if it \
         stays, look into the nodes' logs for their Raft addresses (port 7401) being blocked"
            .to_owned()
    };
    Some(Finding {
        subject: format!("partition {} (cluster {})", partition.id, partition.cluster),
        problem: format!("it has no leader: its keys {served}; {alive} of {members} nodes answer"),
        remedy,
    })
}

fn check_node(node: &Node) -> Option<Finding> {
    let (problem, remedy) = match node.state {
        NodeState::Ready => return None,
        NodeState::Unreachable => (
            format!("it does not answer: {}", node.message),
            "start it again (`doug demo restart NODE` in the demo), or free the network between \
             the endpoint and it; if its volume is lost, put another node in its place with \
             `doug member replace NODE`",
        ),
        NodeState::Empty => (
            "its volume is empty, though the map lists it".to_owned(),
            "if its volume was lost, it must join as a new node: `doug member replace NODE`; if it \
             was started with the wrong --data, stop it and give the right folder",
        ),
        NodeState::Removed => (
            "the database has taken it out for good".to_owned(),
            "stop it: its volume is of no use any more; start a node with an empty volume",
        ),
        NodeState::Starting | NodeState::CatchingUp | NodeState::Unspecified => (
            format!("it is not ready yet: {}", node.message),
            "wait; if it lasts, its log says what it waits for",
        ),
    };
    let subject = format!("node {} ({})", node.name, node.id);
    Some(Finding { subject, problem, remedy: remedy.to_owned() })
}

fn check_volume(node: &Node) -> Option<Finding> {
    let (fullness, left) = node.fullness()?;
    Some(Finding {
        subject: format!("volume of node {} ({})", node.name, node.id),
        problem: format!("it is {fullness}: {left}"),
        remedy: "grow it, add a cluster that takes partitions over, or delete keys: compaction \
                 then makes room"
            .to_owned(),
    })
}

fn check_clock(node: &Node) -> Option<Finding> {
    clock_off(node.clock_offset).map(|off| Finding {
        subject: format!("clock of node {} ({})", node.name, node.id),
        problem: format!("it is {off}"),
        remedy: "set it (NTP): one clock that is off moves nothing, a majority of them moves the \
                 clock of their partitions"
            .to_owned(),
    })
}

fn check_lag<'a>(
    view: &'a View,
    partition: &'a Partition,
) -> impl Iterator<Item = Finding> + use<'a> {
    partition.members.iter().filter_map(|(id, place)| match place {
        Place::Lags(entries) if *entries > MUCH_LAG => Some(Finding {
            subject: format!("partition {} on node {}", partition.id, view.name_of(id)),
            problem: format!("it lags by {entries} entries"),
            remedy: "look at that node's disk and CPU, and its log; a node just restarted \
                     catches up by itself"
                .into(),
        }),
        _ => None,
    })
}

/// The node asks for a successor by itself, so this passes while a majority is there.
fn check_damage<'a>(
    view: &'a View,
    partition: &'a Partition,
) -> impl Iterator<Item = Finding> + use<'a> {
    partition.damaged.iter().map(|(id, why)| Finding {
        subject: format!("partition {} on node {}", partition.id, view.name_of(id)),
        problem: format!("its files are damaged, so it stays out of its group: {why}"),
        remedy:
            "it is rebuilt from its peers by itself, under a new id; if this stays for minutes, \
                 the node's log says what that waits for. If it recurs, replace the disk: `doug \
                 member replace NODE`"
                .into(),
    })
}

/// A leader repairs it as soon as it reaches the replica.
fn check_tails<'a>(
    view: &'a View,
    partition: &'a Partition,
) -> impl Iterator<Item = Finding> + use<'a> {
    partition.ambiguous_tails.iter().map(|id| Finding {
        subject: format!("partition {} on node {}", partition.id, view.name_of(id)),
        problem: "its log was cut where a record had been begun, so it may have lost what it had \
                  acknowledged; until a leader has repaired it, its votes count less"
            .into(),
        remedy: "start the partition's other nodes: none of them may be lost before it is repaired"
            .into(),
    })
}

/// A change that goes on is nothing wrong.
fn check_change(partition: &Partition) -> Option<Finding> {
    let change = partition.change.as_ref()?;
    if change.waits_for.is_empty() {
        return None;
    }
    let (id, nodes) = (partition.id, change.waits_for.join(", "));
    Some(Finding {
        subject: format!("partition {id} (cluster {})", partition.cluster),
        problem: format!("it is on its way {}, which waits for {nodes}", change.goal),
        remedy: format!(
            "start {nodes}; or put another node in its place with `doug member replace NODE`; or \
             give the change up with `doug partition cancel {id}`"
        ),
    })
}

fn check_cluster(short: &Shortage) -> Finding {
    let Shortage { cluster, nodes, declared } = short;
    Finding {
        subject: format!("cluster {cluster}"),
        problem: format!("it is to have {declared} nodes, and {nodes} are members"),
        remedy: format!(
            "start others with `doug node --cluster {cluster}`, and make them members: `doug \
             member add HOST:PORT`; no partition can be moved to it before"
        ),
    }
}

/// A partition that survives the loss of fewer nodes than its cluster promises.
fn check_voters(partition: &Partition) -> Option<Finding> {
    if partition.lacks() == 0 {
        return None;
    }
    let Partition { id, cluster, voters, .. } = partition;
    let wanted = voters + partition.lacks();
    let survives = |voters: usize| voters.saturating_sub(1) / 2;
    Some(Finding {
        subject: format!("partition {id} (cluster {cluster})"),
        problem: format!(
            "it has {voters} voters, and its cluster is to have {wanted} nodes: it survives the \
             loss of {}, not of {}",
            survives(*voters),
            survives(wanted)
        ),
        remedy: format!("give it the missing ones: `doug partition move {id} --to {cluster}`"),
    })
}

/// One version everywhere is the rule; two during an upgrade are not wrong, but
/// whoever looks for a cause wants to know.
fn check_versions(view: &View, own: &str) -> Option<Finding> {
    let mut versions: Vec<(&str, String)> = view
        .nodes
        .iter()
        .filter(|node| !node.version.is_empty())
        .map(|node| (node.version.as_str(), node.name.clone()))
        .collect();
    versions.push((&view.version, "the endpoint".into()));
    versions.push((own, "this program".into()));
    let differing: Vec<String> = versions
        .iter()
        .filter(|(version, _)| *version != view.version)
        .map(|(version, name)| format!("{name} has {version}"))
        .collect();
    if differing.is_empty() {
        return None;
    }
    Some(Finding {
        subject: "versions".into(),
        problem: format!("the endpoint has {}, but {}", view.version, differing.join(", ")),
        remedy: "finish the upgrade, or use the program of the database's version".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::Change;
    use crate::commands::status::tests::{changing, sample, short};
    use doug_proto::v1;

    fn subjects(view: View) -> Vec<String> {
        let own_version = "0.1.0".into();
        check(&Reached { view, own_version }).into_iter().map(|f| f.subject).collect()
    }

    fn healthy() -> View {
        let mut view = sample();
        for node in &mut view.nodes {
            node.state = NodeState::Ready;
            node.version = "0.1.0".into();
        }
        view
    }

    #[test]
    fn a_healthy_database_has_no_findings() {
        assert_eq!(subjects(healthy()), [""; 0]);
    }

    #[test]
    fn a_node_that_is_down_is_named() {
        let mut view = healthy();
        view.nodes[2].state = NodeState::Unreachable;
        assert_eq!(subjects(view), ["node a-2 (000000000002)"]);
    }

    #[test]
    fn a_partition_without_quorum_says_which_nodes_to_start() {
        let mut view = healthy();
        let partition = &mut view.partitions[0];
        partition.leader = None;
        partition.members = ["000000000000", "000000000001", "000000000002"]
            .into_iter()
            .zip([Place::Unknown, Place::Down, Place::Down])
            .map(|(id, place)| (id.to_owned(), place))
            .collect();
        let finding = check_leader(&view, &view.partitions[0]).unwrap();
        assert!(finding.problem.contains("1 of 3 nodes answer"), "{finding:?}");
        assert!(finding.problem.contains("read only with `--consistency eventual`"));
        assert!(finding.remedy.contains("at least 1 of these nodes: a-1, a-2"), "{finding:?}");
    }

    #[test]
    fn a_follower_far_behind_is_named_with_its_partition() {
        let mut view = healthy();
        view.partitions[1].members.insert("000000000002".into(), Place::Lags(MUCH_LAG + 1));
        assert_eq!(subjects(view), ["partition 2 on node a-2"]);
    }

    #[test]
    fn a_clock_more_than_a_second_off_is_named() {
        let mut view = healthy();
        view.nodes[0].clock_offset = 1_000;
        view.nodes[1].clock_offset = -3_600_000;
        let finding = check_clock(&view.nodes[1]).unwrap();
        assert_eq!(finding.problem, "it is 3600000 ms behind those of the nodes it hears");
        assert_eq!(subjects(view), ["clock of node a-1 (000000000001)"]);
    }

    #[test]
    fn a_volume_that_is_nearly_full_is_named_with_what_is_left() {
        let mut view = healthy();
        let (total_bytes, available_bytes) = (100 << 20, 14 << 20);
        let volume = v1::VolumeStatus { total_bytes, available_bytes, ..Default::default() };
        view.nodes[1].volume = Some(volume);
        let problem = &check_volume(&view.nodes[1]).unwrap().problem;
        assert_eq!(problem, "it is nearly full: 14 of 100 MiB are left for data");
        assert_eq!(subjects(view), ["volume of node a-1 (000000000001)"]);
    }

    #[test]
    fn a_partition_none_of_whose_nodes_answers_cannot_even_be_read() {
        let mut view = healthy();
        let partition = &mut view.partitions[0];
        partition.leader = None;
        partition.members.values_mut().for_each(|place| *place = Place::Down);
        let finding = check_leader(&view, &view.partitions[0]).unwrap();
        assert!(finding.problem.contains("neither written nor read"), "{finding:?}");
    }

    #[test]
    fn a_volume_that_is_full_is_not_called_nearly_full() {
        let mut view = healthy();
        let volume = v1::VolumeStatus { refuses_writes: true, ..Default::default() };
        view.nodes[1].volume = Some(volume);
        let found = check_volume(&view.nodes[1]).unwrap();
        assert!(found.problem.starts_with("it is full: "), "{found:?}");
    }

    #[test]
    fn a_damaged_replica_and_a_change_that_waits_for_a_node_are_named() {
        let mut view = changing();
        for node in &mut view.nodes {
            node.state = NodeState::Ready;
            node.version = "0.1.0".into();
        }
        let found = ["partition 1 on node a-1", "partition 2 (cluster a)"];
        assert_eq!(subjects(view), found);
    }

    #[test]
    fn a_replica_that_may_have_lost_what_it_acknowledged_is_named() {
        let mut view = sample();
        for node in &mut view.nodes {
            node.state = NodeState::Ready;
            node.version = view.version.clone();
        }
        view.partitions[0].ambiguous_tails = vec![view.nodes[0].id.clone()];
        let partition = view.partitions[0].id;
        let named = format!("partition {partition} on node {}", view.nodes[0].name);
        let found = subjects(view);
        assert_eq!(found.iter().filter(|subject| **subject == named).count(), 1, "{found:?}");
    }

    #[test]
    fn clusters_and_partitions_below_the_declared_number_are_named() {
        let mut view = short();
        for node in &mut view.nodes {
            node.state = NodeState::Ready;
        }
        view.partitions[1].change = None;
        let own_version = view.version.clone();
        let found = check(&Reached { view, own_version });
        let subjects: Vec<_> = found.iter().map(|finding| finding.subject.as_str()).collect();
        assert_eq!(subjects, ["cluster a", "partition 1 (cluster a)"]);
        assert!(found[1].problem.contains("survives the loss of 1, not of 2"), "{found:?}");
        assert!(found[1].remedy.contains("doug partition move 1 --to a"), "{found:?}");
    }

    #[test]
    fn a_change_that_goes_on_is_nothing_wrong() {
        let mut view = healthy();
        let (goal, phase) = ("to cluster b: b-0".to_owned(), "joint".to_owned());
        view.partitions[0].change = Some(Change { goal, phase, waits_for: Vec::new() });
        assert_eq!(subjects(view), [""; 0]);
    }

    #[test]
    fn differing_versions_are_named() {
        let mut view = healthy();
        view.nodes[1].version = "0.2.0".into();
        assert_eq!(subjects(view), ["versions"]);
    }
}
