//! The batch format.

use bytes::Bytes;
use doug_raft::{
    Batch, BatchError, BatchKind, BatchTime, Clock, FORMAT_VERSION, HEADER_BYTES, Stamp,
};
use proptest::prelude::*;

use crate::support::{PARTITION, command, commands, noop};

fn reseal(mut bytes: Vec<u8>) -> Bytes {
    let checksum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

#[test]
fn the_layout_never_changes() {
    let list = [command("put"), command("")];
    let time = BatchTime { clock: Clock(0x0304), stamp: Stamp(0x0304_0005) };
    let batch = Batch::encode(PARTITION, BatchKind::Commands, 3, 0x0102, time, &list);
    let lines: Vec<String> = batch.encoded.chunks(8).map(|chunk| format!("{chunk:02x?}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_noop_takes_one_index_and_holds_nothing() {
    let batch = noop(3, 9);
    assert_eq!(
        (batch.count, batch.last(), batch.commands().len(), batch.size()),
        (1, 9, 0, HEADER_BYTES as u64)
    );
    assert_eq!(Batch::decode(batch.encoded.clone()), Ok(batch));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = commands(3, 9, "abc").encoded;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Batch::decode(bytes.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_noticed_and_so_is_what_follows() {
    let good = commands(3, 9, "abc").encoded;
    for length in 0..good.len() {
        let error = Batch::decode(good.slice(..length)).expect_err("it was cut");
        assert!(matches!(error, BatchError::Length { .. }), "{length} bytes: {error}");
    }
    let mut longer = good.to_vec();
    longer.push(0);
    assert!(matches!(Batch::decode(longer.into()), Err(BatchError::Length { .. })));
}

#[test]
fn a_newer_format_is_named_before_anything_else_in_it_is_judged() {
    let mut bytes = commands(3, 9, "abc").encoded.to_vec();
    bytes[8] = 2;
    bytes[10..].fill(0xff);
    let error = Batch::decode(reseal(bytes)).expect_err("it is newer");
    assert_eq!(error, BatchError::NewerFormat { found: 2, supported: FORMAT_VERSION });
    assert_eq!(
        error.to_string(),
        "a batch has format version 2, this program reads up to 1: run a newer doug on this node"
    );
}

#[test]
fn nonsense_under_a_good_checksum_is_refused() {
    let cases: [(usize, &[u8]); 7] = [
        (10, &[9]),
        (11, &[1]),
        (12, &[0, 0, 0, 0]),
        (12, &[4, 0, 0, 0]),
        (32, &[0xff; 8]),
        (40, &[1, 0, 0, 0, 0, 0, 0, 0]),
        (56, &[0xff; 4]),
    ];
    for (at, patch) in cases {
        let mut bytes = commands(3, 9, "abc").encoded.to_vec();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        let error = Batch::decode(reseal(bytes)).expect_err("it makes no sense");
        assert!(matches!(error, BatchError::Malformed(_)), "at {at}: {error}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        term in 1..u64::MAX,
        base in 1..u64::MAX / 2,
        clock in 0..u64::MAX >> 16,
        counter in 0..u64::MAX >> 32,
        list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..20),
    ) {
        let list: Vec<Bytes> = list.into_iter().map(Bytes::from).collect();
        let stamp = Stamp(Stamp::first_of(Clock(clock)).0.saturating_add(counter));
        let time = BatchTime { clock: Clock(clock), stamp };
        let batch = Batch::encode(PARTITION, BatchKind::Commands, term, base, time, &list);
        let decoded = Batch::decode(batch.encoded.clone()).expect("it was just encoded");
        prop_assert_eq!(decoded.commands().collect::<Vec<_>>(), list);
        prop_assert_eq!(decoded, batch);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        seal: bool,
    ) {
        if seal && bytes.len() >= HEADER_BYTES {
            let length = bytes.len() as u32;
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            (bytes[8], bytes[9], bytes[11]) = (1, 0, 0);
            bytes[10] = 1 + bytes[10] % 3;
            bytes[13..16].fill(0);
            bytes = reseal(bytes).to_vec();
        }
        if let Ok(batch) = Batch::decode(bytes.into()) {
            prop_assert_eq!(batch.commands().count(), batch.commands().len());
        }
    }
}
