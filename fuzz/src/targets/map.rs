//! The partition map, on the wire and as a document.

use doug_proto::map::PartitionMap;
use doug_proto::v1;
use prost::Message;

/// The map's wire form, which is also how nodes store it.
pub fn map_wire(data: &[u8]) {
    let Ok(wire) = v1::PartitionMap::decode(data) else { return };
    let Ok(map) = PartitionMap::from_wire(&wire) else { return };
    assert_valid(&map);
    let again = PartitionMap::from_wire(&map.to_wire());
    assert_eq!(again.as_ref(), Ok(&map), "sent and read it is another");
    document_comes_back(&map);
}

/// A map file.
pub fn map_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(map) = PartitionMap::from_json(text) else { return };
    assert_valid(&map);
    document_comes_back(&map);
}

fn assert_valid(map: &PartitionMap) {
    assert_eq!(map.validate(), Ok(()));
    for keyspace in &map.keyspaces {
        for key in [&b""[..], b"a", b"\xff\xff"] {
            let partition = map.partition_in(keyspace, key);
            let point = keyspace.routing.point(key);
            assert!(partition.contains(&point), "a key has no partition");
            assert_eq!(partition.keyspace, keyspace.id);
        }
    }
}

/// A document leaves out what only the groups know, but nothing else.
fn document_comes_back(map: &PartitionMap) {
    let text = map.to_json();
    let read = PartitionMap::from_json(&text).expect("just written");
    assert_eq!(read.to_json(), text, "written and read it is another");
    assert_eq!(
        (read.epoch, &read.keyspaces, &read.clusters),
        (map.epoch, &map.keyspaces, &map.clusters)
    );
}
