//! Snapshots as a leader sends them and as a receiver leaves them.

use super::storage::table;
use super::{Seed, seed};
use crate::reseal;
use crate::targets::snapshots::{TABLE, machine};
use doug_node::chunk::FORMAT_VERSION;
use doug_proto::v1::{self, snapshot_request::Content};
use doug_storage::snapshot::chunk_checksum;
use prost::Message;

const CHUNK: usize = 300;

pub fn seeds() -> Vec<Seed> {
    vec![
        seed("snapshot_stream", "a-table-and-a-power-loss", stream()),
        seed("snapshot_files", "half-received-and-one-kept", left_behind()),
    ]
}

fn identity_of(table: &[u8]) -> u64 {
    let footer = table.len() - 96;
    u64::from_le_bytes(table[footer..footer + 8].try_into().expect("eight bytes"))
}

/// A chunk, a power loss, and all chunks: what was not synced is sent again.
fn stream() -> Vec<u8> {
    let table = table(64);
    let identity = identity_of(&table);
    let header = v1::SnapshotHeader {
        index: 64,
        index_term: 1,
        state: machine().encode(),
        format_version: FORMAT_VERSION,
        tables: vec![v1::SnapshotTable { identity, size: table.len() as u64, level: 0 }],
        ..Default::default()
    };
    let chunks = table.chunks(CHUNK).enumerate();
    let chunks = chunks.map(|(place, data)| Content::Chunk(chunk(identity, place, data)));
    let first = Content::Chunk(chunk(identity, 0, &table[..CHUNK]));
    let messages = [Some(Content::Header(header)), Some(first), None].into_iter();
    let messages = messages.chain(chunks.map(Some));
    let messages = messages.map(|content| v1::SnapshotRequest { content });
    messages.flat_map(|message| message.encode_length_delimited_to_vec()).collect()
}

fn chunk(identity: u64, place: usize, data: &[u8]) -> v1::SnapshotChunk {
    let offset = (place * CHUNK) as u64;
    let checksum = chunk_checksum(identity, offset, data);
    v1::SnapshotChunk { table: 0, offset, data: data.to_vec().into(), checksum }
}

/// The description's layout is that of docs/formats.md.
fn left_behind() -> Vec<u8> {
    let part = table(64);
    let mut sums = Vec::new();
    for data in part.chunks(CHUNK).take(2) {
        sums.extend_from_slice(&(data.len() as u32).to_le_bytes());
        sums.extend_from_slice(&[0; 4]);
    }
    reseal::sums(&mut sums, TABLE, &part);
    let mut description = b"DOUGSNAP".to_vec();
    description.extend_from_slice(&[0; 8]);
    // Version; index, term and floor; no state block; one table.
    description.extend_from_slice(&[1, 64, 1, 0, 0, 1]);
    description.extend_from_slice(&TABLE.to_le_bytes());
    let size = part.len();
    assert!((128..1 << 14).contains(&size), "its length takes two bytes");
    description.extend_from_slice(&[size as u8 | 0x80, (size >> 7) as u8, 0]);
    reseal::description(&mut description);
    let with_length = |file: &[u8]| [&(file.len() as u16).to_le_bytes()[..], file].concat();
    [with_length(&part), with_length(&sums), with_length(&description)].concat()
}
