//! Which partitions take writes: those whose leader has committed an entry of
//! its own term.

use crate::dereference::Observed;
use doug_client::{PartitionMap, v1};
use std::collections::BTreeMap;

/// Leaders as they were seen last: partition → who, in which term, how long its
/// log was, and whether it had committed all of it.
#[derive(Clone, Debug, Default)]
pub struct Leaders(BTreeMap<u64, Leader>);

#[derive(Clone, Debug)]
struct Leader {
    node: String,
    term: u64,
    last_index: u64,
    proven: bool,
}

/// Partitions of the map that do not take writes, as far as is known.
///
/// A leader's first entry is its no-op. If all of its log is committed, so is
/// that; under load the log is always a little ahead, but what was its end at
/// an earlier look, by the same leader in the same term, lies behind the no-op.
pub fn writable(map: &PartitionMap, observed: &Observed, leaders: &mut Leaders) -> Vec<u64> {
    let mut found: BTreeMap<u64, Leader> = BTreeMap::new();
    for answer in observed.answers.values() {
        let leading = |r: &&v1::ReplicaStatus| r.role() == v1::ReplicaRole::Leader;
        for replica in answer.status.replicas.iter().filter(leading) {
            let known = leaders
                .0
                .get(&replica.partition)
                .filter(|known| known.node == answer.status.id && known.term == replica.term);
            let proven = known
                .is_some_and(|known| known.proven || replica.commit >= known.last_index)
                || (replica.commit > 0 && replica.commit == replica.last_index);
            let leader = Leader {
                node: answer.status.id.clone(),
                term: replica.term,
                last_index: known.map_or(replica.last_index, |known| known.last_index),
                proven,
            };
            // Two may believe that they lead; the later term is right.
            match found.get(&replica.partition) {
                Some(other) if other.term > leader.term => {}
                _ => drop(found.insert(replica.partition, leader)),
            }
        }
    }
    leaders.0 = found;
    let takes_writes = |id: u64| leaders.0.get(&id).is_some_and(|leader| leader.proven);
    map.partitions.iter().map(|partition| partition.id).filter(|id| !takes_writes(*id)).collect()
}
