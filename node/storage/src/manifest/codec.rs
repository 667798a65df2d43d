//! Numbers and byte strings as the manifest writes them: little-endian, lengths in front.

use bytes::Bytes;

use crate::{Applied, ReplicaKey};

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_key(out: &mut Vec<u8>, key: ReplicaKey) {
    put_u64(out, key.partition);
    put_u64(out, key.replica);
}

pub(super) fn put_applied(out: &mut Vec<u8>, applied: Applied) {
    put_u64(out, applied.index);
    put_u64(out, applied.term);
}

/// Reads what the functions above wrote; never panics on foreign bytes.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("an edit ends too early")?;
        self.0 = rest;
        Ok(head)
    }

    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], String> {
        let len = usize::try_from(self.u64()?).map_err(|_| "a length overflows")?;
        self.take(len)
    }

    pub fn owned(&mut self) -> Result<Bytes, String> {
        Ok(Bytes::copy_from_slice(self.bytes()?))
    }

    pub fn key(&mut self) -> Result<ReplicaKey, String> {
        Ok(ReplicaKey { partition: self.u64()?, replica: self.u64()? })
    }

    pub fn applied(&mut self) -> Result<Applied, String> {
        Ok(Applied { index: self.u64()?, term: self.u64()? })
    }
}
