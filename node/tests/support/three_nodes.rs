//! Partitions that three nodes share, and hosts that are driven together.
#![allow(dead_code)] // each test file uses its part

use bytes::Bytes;
use doug_node::host::{Effects, Host};
use doug_proto::ids::NodeId;
use doug_proto::map::{KeyspaceId, Member, Partition};
use doug_raft::Time;
use std::time::Duration;

pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
/// A deadline that never comes.
pub const NEVER: Time = Time(u64::MAX - 1);

/// The id of a node, counted from 0.
pub fn node(number: usize) -> NodeId {
    NodeId::from_bits(number as u64 + 1)
}

/// A partition with a voter on each of the three; the first voters of consecutive partitions
/// are on consecutive nodes.
pub fn descriptor(partition: u64) -> Partition {
    let first = partition as usize - 1;
    Partition {
        id: partition,
        keyspace: KeyspaceId::DEFAULT,
        start: Bytes::new(),
        end: Bytes::new(),
        generation: 1,
        cluster: "a".into(),
        voters: (0..3)
            .map(|i| (first + i) % 3)
            .map(|i| Member { node: node(i), replica: i as u64 + 1 })
            .collect(),
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    }
}

/// What each host asks for now; `None` once none asks for anything.
pub fn take_effects(hosts: &mut [Host], now: Time) -> Option<Vec<Effects>> {
    let effects: Vec<_> = hosts.iter_mut().map(|host| host.take_effects(now)).collect();
    effects.iter().any(|effects| !effects.is_empty()).then_some(effects)
}
