//! How data blocks are compressed.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

/// How the data blocks of a table are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Stored as they are.
    None,
    /// LZ4 block format; a block that hardly shrinks is stored as it is.
    #[default]
    Lz4,
}

/// Compresses one block after the other, in the same memory.
pub(crate) struct Compressor {
    compression: Compression,
    table: CompressTable,
    out: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { compression, table: CompressTable::default(), out: Vec::new() }
    }

    /// The block compressed, if that pays.
    pub(crate) fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        if self.compression == Compression::None {
            return None;
        }
        let most = get_maximum_output_size(payload.len());
        if self.out.len() < most {
            self.out.resize(most, 0);
        }
        let written = compress_into_with_table(payload, &mut self.out, &mut self.table);
        let written = written.expect("there is room for the worst case");
        // Below an eighth saved, reading it back costs more than it saves.
        let pays = written + 4 < payload.len() - payload.len() / 8;
        pays.then(|| &self.out[..written])
    }
}
