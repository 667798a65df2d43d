//! The state block of a partition.

use doug_node::apply::Machine;

/// As it stands in the manifest and in a snapshot.
pub fn state_block(data: &[u8]) {
    let Ok(machine) = Machine::decode(data) else { return };
    let encoded = machine.encode();
    let again = Machine::decode(&encoded).expect("just encoded");
    assert_eq!(again, machine, "encoded and read it is another");
    assert_eq!(again.encode(), encoded, "one state has two encodings");
}
