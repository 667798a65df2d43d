//! The catalog's creation document comes before every change of the catalog's members.

mod support;

use bytes::Bytes;
use doug_node::catalog::{CREATION, creation_write, must_stay};
use doug_proto::v1;
use prost::Message;
use support::Bench;

#[test]
fn the_catalog_keeps_its_members_until_it_holds_the_creation_document() {
    let mut catalog = Bench::new();
    let fault = must_stay(&catalog.partition).expect("it reads").expect("it has no document");
    assert_eq!(fault.code, tonic::Code::Unavailable, "whoever asks tries again: {fault:?}");
    let document = Bytes::from_static(b"the first map");
    let write = creation_write(&catalog.partition, &document).expect("it reads");
    let command = v1::Command::decode(write.expect("it is to be written")).expect("a command");
    catalog.apply_one(command);
    assert_eq!(catalog.get(CREATION), Some(document));
    assert!(must_stay(&catalog.partition).expect("it reads").is_none());
}
