//! Committed commands, applied to a partition's state machine.

use super::tables::context;
use bytes::Bytes;
use doug_node::apply::Machine;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{KeyspaceId, Member, Partition};
use doug_proto::routing::Routing;
use doug_proto::v1;
use doug_raft::{Batch, BatchKind, BatchTime, PartitionId, Stamp};
use doug_sim_disk::SimDisk;
use doug_storage::tree::{Tree, TreeImage};

/// Commands, each with its length in two bytes in front. Two replicas apply the
/// same ones, as one batch and as many.
pub fn commands(data: &[u8]) {
    let commands = split(data);
    if commands.is_empty() {
        return;
    }
    let together = apply(std::slice::from_ref(&commands));
    let singly: Vec<Vec<Bytes>> = commands.into_iter().map(|command| vec![command]).collect();
    assert_eq!(apply(&singly), together, "two replicas differ");
}

/// The state block and the sessions.
type State = (Bytes, Vec<v1::SessionState>);

/// What the state machine said of each command until it stopped, and its state.
fn apply(batches: &[Vec<Bytes>]) -> (Vec<v1::Outcome>, Option<State>) {
    let disk = SimDisk::new(1);
    let mut tree = Tree::open(context(&disk), &TreeImage::default(), 0).expect("an empty tree");
    let mut machine = Machine::new(DatabaseId::from_bits(0xdb), Routing::Range, descriptor());
    let (mut outcomes, mut base) = (Vec::new(), 1);
    for commands in batches {
        // Of its last command, so that the last batch is as late however many there are.
        let stamp = Stamp(base + commands.len() as u64 - 1);
        let time = BatchTime { stamp, ..BatchTime::default() };
        let batch = Batch::encode(PartitionId(1), BatchKind::Commands, 1, base, time, commands);
        base = batch.last() + 1;
        let mut applied = Vec::new();
        match machine.apply(&mut tree, &batch, &mut applied, None) {
            Ok(()) => outcomes.extend(applied),
            // The replica stops: how far it came within the batch nobody sees.
            Err(_) => return (Vec::new(), None),
        }
    }
    (outcomes, Some((machine.encode(), machine.sessions().states())))
}

/// Keys from "a" on belong to others.
fn descriptor() -> Partition {
    Partition {
        id: 1,
        keyspace: KeyspaceId::DEFAULT,
        start: Bytes::new(),
        end: Bytes::from_static(b"a"),
        generation: 1,
        cluster: "a".to_owned(),
        voters: vec![Member { node: NodeId::from_bits(1), replica: 1 }],
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    }
}

fn split(mut data: &[u8]) -> Vec<Bytes> {
    let mut commands = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (command, rest) = rest.split_at(length);
        commands.push(Bytes::copy_from_slice(command));
        data = rest;
    }
    commands
}
