//! Snapshots: the stream that brings one, and the files that a broken one leaves.

use super::tables::context;
use crate::{files, reseal};
use bytes::{Buf, Bytes};
use doug_node::apply::{Machine, ReplicaData};
use doug_node::chunk::{from_wire, info_of};
use doug_node::replicas::restore;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{KeyspaceId, Member, Partition as Descriptor};
use doug_proto::routing::Routing;
use doug_proto::v1::{self, snapshot_request::Content};
use doug_sim_disk::{Crash, SimDisk};
use doug_storage::manifest::{Identity, ManifestOptions, MapEntries};
use doug_storage::snapshot::{Incoming, Sending, SnapshotInfo, SnapshotTable, chunk_checksum};
use doug_storage::store::{NewReplica, Opened, Store, StoreOptions};
use doug_storage::{Applied, ReplicaKey, StorageError};
use prost::Message;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const REPLICA: ReplicaKey = ReplicaKey { partition: 1, replica: 1 };
const IDENTITY: Identity = Identity { node: 1, database: Some(0xdb) };

/// Messages of a stream, each with its length in front: the header, then chunks. An empty
/// message cuts the receiver's power; it starts again, and the stream begins anew.
pub fn snapshot_stream(data: &[u8]) {
    let Some((header, messages)) = split(data) else { return };
    let Ok(info) = info_of(&header) else { return };
    Receiver::new().receive(&info, &messages);
    Receiver::new().receive(&info, &sealed(&info, messages));
}

fn split(mut data: &[u8]) -> Option<(v1::SnapshotHeader, Vec<Option<v1::SnapshotChunk>>)> {
    let mut next = || {
        let found =
            data.has_remaining().then(|| v1::SnapshotRequest::decode_length_delimited(&mut data));
        found.and_then(Result::ok)
    };
    let Some(Content::Header(header)) = next()?.content else { return None };
    let mut messages = Vec::new();
    while let Some(request) = next() {
        match request.content {
            Some(Content::Chunk(chunk)) => messages.push(Some(chunk)),
            None => messages.push(None),
            Some(Content::Header(_)) => break,
        }
    }
    Some((header, messages))
}

/// The same with the checksum of every chunk made right.
fn sealed(
    info: &SnapshotInfo,
    mut messages: Vec<Option<v1::SnapshotChunk>>,
) -> Vec<Option<v1::SnapshotChunk>> {
    for chunk in messages.iter_mut().flatten() {
        if let Some(table) = info.tables.get(chunk.table as usize) {
            chunk.checksum = chunk_checksum(table.identity, chunk.offset, &chunk.data);
        }
    }
    messages
}

/// A node with one empty replica.
struct Receiver {
    disk: SimDisk,
    store: Arc<Store>,
    partition: ReplicaData,
}

impl Receiver {
    fn new() -> Self {
        let disk = SimDisk::new(1);
        let Opened { store, .. } = open(&disk).expect("an empty volume");
        let partition = create(&store);
        Self { disk, store, partition }
    }

    /// Power is lost, and the node starts again.
    fn restart(self) -> Self {
        let Self { disk, store, partition } = self;
        drop((store, partition));
        disk.crash(Crash::LoseUnsynced);
        let mut opened = open(&disk).expect("whatever came, a node starts again");
        let found = opened.replicas.pop().expect("its replica was durable");
        let restored = restore(found, &opened.reader, &mut u64::MAX.clone(), 1);
        let (partition, _) = restored.expect("its replica was sound");
        Self { disk, store: opened.store, partition }
    }

    fn receive(mut self, info: &SnapshotInfo, messages: &[Option<v1::SnapshotChunk>]) {
        let begin = |receiver: &Self| receiver.store.receive_snapshot(REPLICA, info.clone()).ok();
        let Some(mut incoming) = begin(&self) else { return };
        for message in messages {
            match message {
                Some(chunk) => accept(&mut incoming, chunk),
                None => {
                    let lacked = incoming.remaining();
                    drop(incoming);
                    self = self.restart();
                    incoming = begin(&self).expect("it was accepted before");
                    assert!(incoming.remaining() >= lacked, "power loss brought bytes");
                }
            }
        }
        self.install(incoming);
    }

    fn install(self, incoming: Incoming) {
        let adopted = self.store.adopt_snapshot(&incoming);
        assert!(incoming.remaining() == 0 || adopted.is_err(), "adopted though bytes lack");
        let Ok(tables) = adopted else { return };
        let SnapshotInfo { applied, state, .. } = incoming.info().clone();
        let before = self.partition.checkpoint().state;
        let installed =
            self.partition.install_snapshot(&self.store, tables, applied, state.clone());
        let here = self.partition.applied();
        match installed {
            Ok(now) => assert_eq!(now, here, "it says another position than it has"),
            Err(_) => {
                assert_eq!(self.partition.checkpoint().state, before, "refused, and yet changed")
            }
        }
        let after = self.restart().partition;
        assert_eq!(after.applied(), here, "what was installed is not durable");
        assert_eq!(after.descriptor().id, REPLICA.partition, "it holds another partition");
    }
}

fn accept(incoming: &mut Incoming, chunk: &v1::SnapshotChunk) {
    let before = incoming.remaining();
    match incoming.accept(&from_wire(chunk.clone())) {
        Ok(()) => assert_eq!(incoming.remaining(), before - chunk.data.len() as u64),
        Err(StorageError::Refused(_)) => assert_eq!(incoming.remaining(), before),
        // The table begins anew.
        Err(StorageError::ArrivedDamaged { .. }) => assert!(incoming.remaining() >= before),
        Err(other) => panic!("no bytes from a peer are a fault of this disk: {other}"),
    }
}

fn open(disk: &SimDisk) -> Result<Opened, StorageError> {
    let options = StoreOptions {
        log: super::log::options(),
        manifest: ManifestOptions { rewrite_bytes: 4 << 10, salt: 9 },
        tree: context(disk).options,
        cache_bytes: 1 << 20,
        lookup_bytes: 16 << 10,
        open_tables: 8,
        salt: 5,
    };
    Store::open(Arc::new(disk.clone()), Path::new("/data"), options)
}

/// The machine of a partition that nobody has written to.
pub fn machine() -> Machine {
    let descriptor = Descriptor {
        id: REPLICA.partition,
        keyspace: KeyspaceId::DEFAULT,
        start: Bytes::new(),
        end: Bytes::new(),
        generation: 1,
        cluster: "a".to_owned(),
        voters: vec![Member { node: NodeId::from_bits(1), replica: 1 }],
        learners: Vec::new(),
        parents: Vec::new(),
        outgoing: Vec::new(),
        next_replica: 0,
        goal: None,
        recoveries: Vec::new(),
    };
    Machine::new(DatabaseId::from_bits(0xdb), Routing::Range, descriptor)
}

fn create(store: &Store) -> ReplicaData {
    let machine = machine();
    let new = NewReplica { key: REPLICA, applied: Applied::default(), state: machine.encode() };
    let trees = store.join_database(IDENTITY, Bytes::new(), MapEntries::new(), &[new]);
    let tree = trees.expect("the disk works").pop().expect("one replica, one tree");
    ReplicaData::new(REPLICA, tree, machine, Applied::default())
}

/// What names the table of which the files below are parts.
pub const TABLE: u64 = 0x1234_5678_9abc_def0;

/// What a node that died left of a snapshot received and of one kept: three files, each with
/// its length in two bytes in front: bytes of a table, their sums, a description.
pub fn snapshot_files(data: &[u8]) {
    let mut rest = data;
    let mut next = || {
        let length = (rest.len() >= 2).then(|| usize::from(rest.get_u16_le()))?;
        let (file, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(file.to_vec())
    };
    let (Some(part), Some(sums), Some(description)) = (next(), next(), next()) else { return };
    goes_on(&part, &sums, &description);
    let (mut sums, mut description) = (sums, description);
    reseal::sums(&mut sums, TABLE, &part);
    reseal::description(&mut description);
    goes_on(&part, &sums, &description);
}

/// A node starts with them, sends what it kept and receives what lacks.
fn goes_on(part: &[u8], sums: &[u8], description: &[u8]) {
    let disk = SimDisk::new(1);
    let Opened { store, .. } = open(&disk).expect("an empty volume");
    let _ = create(&store);
    drop(store);
    let id = reseal::description_id(description);
    let name = |folder: &str, rest: String| PathBuf::from(format!("/data/{folder}/1-1-{rest}"));
    files::add(
        &disk,
        [
            (name("incoming", format!("{TABLE:016x}.part")), part.to_vec()),
            (name("incoming", format!("{TABLE:016x}.sums")), sums.to_vec()),
            (name("outgoing", format!("{id:016x}.snapshot")), description.to_vec()),
            (name("outgoing", format!("{id:016x}-{TABLE:016x}.sst")), part.to_vec()),
        ],
    );
    let Opened { store, .. } = open(&disk).expect("leftovers stop no node");
    send(&store);
    let size = part.len() as u64 + 1;
    let info = SnapshotInfo {
        applied: Applied { index: 64, term: 1 },
        gc_floor: 0,
        state: machine().encode(),
        tables: vec![SnapshotTable { identity: TABLE, size, level: 0 }],
    };
    let incoming = store.receive_snapshot(REPLICA, info).expect("nobody else receives");
    let sound = reseal::sound(part, sums, TABLE);
    assert_eq!(size - incoming.remaining(), sound, "it goes on from elsewhere than what is sound");
}

fn send(store: &Store) {
    let Some(snapshot) = store.find_snapshot(REPLICA, 0) else { return };
    let tables = (0..).zip(&snapshot.info().tables);
    let all: Vec<(u32, u64)> =
        tables.filter(|(_, table)| table.size > 0).map(|(number, _)| (number, 0)).collect();
    let mut sending = Sending::new(snapshot.clone(), all, 300).expect("all of it is there");
    let mut sent = 0;
    while let Some(chunk) = sending.next_chunk().expect("it was whole when it was found") {
        sent += chunk.data.len() as u64;
    }
    assert_eq!(sent, snapshot.info().bytes());
    let _ = snapshot.verify();
}
