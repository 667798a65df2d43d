//! What to send next.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::{Chunk, Snapshot, chunk_checksum};
use crate::disk::DiskFile;
use crate::{Result, StorageError};

/// Cuts what one receiver lacks into chunks, holding one of them in memory at a time.
pub struct Sending {
    snapshot: Arc<Snapshot>,
    chunk_bytes: usize,
    /// Tables to be sent, and from where on.
    lacking: VecDeque<(u32, u64)>,
    /// The first of them, open.
    file: Option<Arc<dyn DiskFile>>,
}

impl Sending {
    /// Begins with what the receiver says it lacks: tables by their place, and from which
    /// offset on.
    ///
    /// Refused if the receiver names what the snapshot does not have.
    pub fn new(
        snapshot: Arc<Snapshot>,
        lacking: impl IntoIterator<Item = (u32, u64)>,
        chunk_bytes: usize,
    ) -> Result<Self> {
        let lacking: VecDeque<_> = lacking.into_iter().collect();
        let tables = &snapshot.info().tables;
        let known = |(table, offset): &(u32, u64)| {
            tables.get(*table as usize).is_some_and(|table| *offset < table.size)
        };
        if let Some((table, offset)) = lacking.iter().find(|lacking| !known(lacking)) {
            return Err(StorageError::Refused(format!(
                "the receiver asks for table {table} from offset {offset} on, \
                 and the snapshot has no such bytes"
            )));
        }
        Ok(Self { snapshot, chunk_bytes, lacking, file: None })
    }

    /// Bytes still to be sent.
    pub fn remaining(&self) -> u64 {
        let tables = &self.snapshot.info().tables;
        self.lacking.iter().map(|(table, offset)| tables[*table as usize].size - offset).sum()
    }

    /// The next chunk; `None` once the receiver has everything.
    ///
    /// Errors: [`Corruption`](StorageError::Corruption) if it does not read:
    /// [`Store::look_for_damage`](crate::store::Store::look_for_damage) then; I/O.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let Some((number, offset)) = self.lacking.front().copied() else { return Ok(None) };
        let table = self.snapshot.info().tables[number as usize];
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.file.insert(self.snapshot.open(number as usize)?).clone(),
        };
        let len = (table.size - offset).min(self.chunk_bytes as u64);
        let mut data = vec![0; len as usize];
        file.read_exact_at(&mut data, offset).map_err(StorageError::reading(
            "read",
            self.snapshot.path_of(number as usize),
            offset,
        ))?;
        if offset + len == table.size {
            self.lacking.pop_front();
            self.file = None;
        } else {
            self.lacking[0].1 = offset + len;
        }
        let checksum = chunk_checksum(table.identity, offset, &data);
        Ok(Some(Chunk { table: number, offset, data: Bytes::from(data), checksum }))
    }
}
