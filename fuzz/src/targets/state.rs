//! The state of a partition: its state block, and a session in its tables.

use super::snapshots::{REPLICA, machine};
use super::tables::context;
use bytes::Bytes;
use doug_node::apply::Machine;
use doug_proto::v1::SessionState;
use doug_sim_disk::SimDisk;
use doug_storage::tree::{KeyClass, Op, Tree, TreeImage};
use prost::Message;

/// As it stands in the manifest and in a snapshot; the same bytes as a session's.
pub fn state_block(data: &[u8]) {
    session(data);
    let Ok(machine) = Machine::decode(data) else { return };
    let encoded = machine.encode();
    let again = Machine::decode(&encoded).expect("just encoded");
    assert_eq!(again, machine, "encoded and read it is another");
    assert_eq!(again.encode(), encoded, "one state has two encodings");
}

/// A system key whose value the bytes are: a session that reads comes back as it was.
fn session(data: &[u8]) {
    let id = SessionState::decode(data).map_or(0, |state| state.id);
    let key = [&[1][..], &REPLICA.partition.to_be_bytes(), &id.to_be_bytes()].concat();
    let Some(state) = read(key.clone(), data.to_vec().into()) else { return };
    let value = Bytes::from(state.encode_to_vec());
    assert_eq!(read(key, value), Some(state), "written and read it is another");
}

fn read(key: Vec<u8>, value: Bytes) -> Option<SessionState> {
    let disk = SimDisk::new(1);
    let mut tree = Tree::open(context(&disk), &TreeImage::default(), 0).expect("an empty tree");
    tree.apply(1, &[Op::put(KeyClass::System, key, value)]);
    let machine = Machine::restore(&machine().encode(), &tree.view()).ok()?;
    machine.sessions().states().pop()
}
