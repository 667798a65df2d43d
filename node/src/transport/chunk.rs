//! Snapshots between the wire and the storage engine.

use doug_proto::error::Fault;
use doug_proto::v1;
use doug_storage::Applied;
use doug_storage::snapshot::{Chunk, SnapshotInfo, SnapshotTable};

/// The format of snapshots this program sends and understands.
pub const FORMAT_VERSION: u32 = 1;

/// What the header says of the snapshot itself.
///
/// # Errors
/// A format this program does not know, or a level that no tree has.
pub fn info_of(header: &v1::SnapshotHeader) -> Result<SnapshotInfo, Fault> {
    if header.format_version != FORMAT_VERSION {
        let version = header.format_version;
        return Err(Fault::invalid(format!(
            "a snapshot of format version {version} is not understood here, only {FORMAT_VERSION}: \
             upgrade this node"
        )));
    }
    let table = |table: &v1::SnapshotTable| {
        let level = u8::try_from(table.level)
            .map_err(|_| Fault::invalid(format!("no tree has a level {}", table.level)))?;
        Ok(SnapshotTable { identity: table.identity, size: table.size, level })
    };
    Ok(SnapshotInfo {
        applied: Applied { index: header.index, term: header.index_term },
        gc_floor: header.gc_floor,
        state: header.state.clone(),
        tables: header.tables.iter().map(table).collect::<Result<_, Fault>>()?,
    })
}

/// A snapshot's tables as the header lists them.
pub fn tables_of(info: &SnapshotInfo) -> Vec<v1::SnapshotTable> {
    let table = |table: &SnapshotTable| v1::SnapshotTable {
        identity: table.identity,
        size: table.size,
        level: u32::from(table.level),
    };
    info.tables.iter().map(table).collect()
}

/// A chunk as it is sent.
pub fn to_wire(chunk: Chunk) -> v1::SnapshotChunk {
    let Chunk { table, offset, data, checksum } = chunk;
    v1::SnapshotChunk { table, offset, data, checksum }
}

/// A chunk as it arrived.
pub fn from_wire(chunk: v1::SnapshotChunk) -> Chunk {
    let v1::SnapshotChunk { table, offset, data, checksum } = chunk;
    Chunk { table, offset, data, checksum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_snapshot_survives_the_wire() {
        let info = SnapshotInfo {
            applied: Applied { index: 7, term: 2 },
            gc_floor: 3,
            state: Bytes::from_static(b"state"),
            tables: vec![SnapshotTable { identity: u64::MAX, size: 1 << 40, level: 6 }],
        };
        let mut header = v1::SnapshotHeader {
            index: 7,
            index_term: 2,
            state: info.state.clone(),
            gc_floor: 3,
            tables: tables_of(&info),
            format_version: FORMAT_VERSION,
            ..Default::default()
        };
        assert_eq!(info_of(&header).expect("it is understood"), info);
        header.format_version += 1;
        assert!(info_of(&header).expect_err("it is newer").message.contains("upgrade this node"));
    }
}
