//! Byte layout of a record: an envelope of fixed size, then the payload.

use crate::ReplicaKey;
use crate::codec::{salted_checksum, u32_at, u64_at};

/// Bytes of an envelope.
pub(super) const ENVELOPE: usize = 88;
/// Records start at multiples of this, so that a search beyond a hole need not try every byte.
pub(super) const ALIGNMENT: usize = 8;
/// Where in a record its incarnation stands, a multiple of the alignment.
pub(super) const INCARNATION: usize = 16;
/// Where its position stands.
pub(super) const LSN: usize = 24;

/// What a record is; the numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Batch = 1,
    HardState = 2,
    /// Carries its durable mark and, if it is of a replica, that replica's commit index.
    Mark = 3,
    Reset = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Batch, Self::HardState, Self::Mark, Self::Reset]
            .into_iter()
            .find(|k| *k as u8 == byte)
    }
}

/// The fields of an envelope.
///
/// A hard state keeps its vote in `base`, and `count` says whether there is one.
/// A reset keeps its index in `base`, and `count` says whether the log was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub kind: Kind,
    pub count: u32,
    pub incarnation: u64,
    pub lsn: u64,
    pub original: u64,
    pub durable: u64,
    pub replica: ReplicaKey,
    pub base: u64,
    pub term: u64,
    pub commit: u64,
    /// Bytes of the payload, without padding.
    pub payload: usize,
}

/// Bytes a record takes with a payload of `payload` bytes.
pub(super) fn padded(payload: usize) -> usize {
    (ENVELOPE + payload).next_multiple_of(ALIGNMENT)
}

impl Envelope {
    /// Bytes of the whole record.
    pub fn size(&self) -> usize {
        padded(self.payload)
    }

    /// Appends the record to `out`.
    pub fn encode(&self, salt: u64, payload: &[u8], out: &mut Vec<u8>) {
        assert_eq!(payload.len(), self.payload, "the envelope states the length of its payload");
        let start = out.len();
        let length = u32::try_from(ENVELOPE + payload.len())
            .expect("a record fits into a segment, far below 4 GiB");
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, 0, 0, 0]);
        out.extend_from_slice(&self.count.to_le_bytes());
        let words = [
            self.incarnation,
            self.lsn,
            self.original,
            self.durable,
            self.replica.partition,
            self.replica.replica,
            self.base,
            self.term,
            self.commit,
        ];
        for word in words {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(payload);
        out.resize(start + self.size(), 0);
        let sum = salted_checksum(salt, &out[start + 4..]);
        out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads the record at the start of `bytes`; on failure says what is wrong.
    pub fn decode(bytes: &[u8], incarnation: u64, salt: u64) -> Result<Self, &'static str> {
        if bytes.len() < ENVELOPE {
            return Err("no room for a record");
        }
        let length = u32_at(bytes, 4) as usize;
        if length < ENVELOPE {
            return Err("no record starts here");
        }
        if u64_at(bytes, INCARNATION) != incarnation {
            return Err("the record is of another incarnation of this segment");
        }
        let size = length.next_multiple_of(ALIGNMENT);
        if size > bytes.len() {
            return Err("the record's length reaches beyond the segment");
        }
        if salted_checksum(salt, &bytes[4..size]) != u32_at(bytes, 0) {
            return Err("the record's checksum does not match");
        }
        let kind = Kind::from_byte(bytes[8]).ok_or("the record is of an unknown kind")?;
        let envelope = Self {
            kind,
            count: u32_at(bytes, 12),
            incarnation,
            lsn: u64_at(bytes, 24),
            original: u64_at(bytes, 32),
            durable: u64_at(bytes, 40),
            replica: ReplicaKey { partition: u64_at(bytes, 48), replica: u64_at(bytes, 56) },
            base: u64_at(bytes, 64),
            term: u64_at(bytes, 72),
            commit: u64_at(bytes, 80),
            payload: length - ENVELOPE,
        };
        if !envelope.is_possible() {
            return Err("the record's numbers contradict each other");
        }
        Ok(envelope)
    }

    /// What everyone who counts on from these numbers relies on.
    fn is_possible(&self) -> bool {
        let after = self.base.checked_add(u64::from(self.count));
        let batch = self.count > 0 && self.base > 0 && after.is_some();
        // Of a copy, the original came first; and no record knows itself to be durable.
        let ordered = (1..=self.lsn).contains(&self.original) && self.durable < self.lsn;
        self.lsn < u64::MAX && ordered && (self.kind != Kind::Batch || batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Envelope, Vec<u8>) {
        let payload = b"thirteen bytes";
        let envelope = Envelope {
            kind: Kind::Batch,
            count: 3,
            incarnation: 7,
            lsn: 40,
            original: 12,
            durable: 38,
            replica: ReplicaKey { partition: 5, replica: 6 },
            base: 100,
            term: 4,
            commit: 99,
            payload: payload.len(),
        };
        let mut bytes = Vec::new();
        envelope.encode(11, payload, &mut bytes);
        (envelope, bytes)
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let (envelope, bytes) = sample();
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        assert_eq!(Envelope::decode(&bytes, 7, 11), Ok(envelope));
        assert_eq!(&bytes[ENVELOPE..ENVELOPE + envelope.payload], b"thirteen bytes");
    }

    #[test]
    fn a_copy_made_before_its_original_is_refused_and_so_is_a_record_that_knows_its_own_future() {
        let (sound, _) = sample();
        let possible = |envelope: &Envelope| {
            let mut bytes = Vec::new();
            envelope.encode(11, b"thirteen bytes", &mut bytes);
            Envelope::decode(&bytes, 7, 11).is_ok()
        };
        assert!(possible(&Envelope { original: 40, durable: 39, ..sound }));
        assert!(!possible(&Envelope { original: 41, ..sound }));
        assert!(!possible(&Envelope { original: 0, ..sound }));
        assert!(!possible(&Envelope { durable: 40, ..sound }));
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let (_, bytes) = sample();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Envelope::decode(&damaged, 7, 11).is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn a_record_is_no_record_of_another_incarnation_or_salt() {
        let (_, bytes) = sample();
        assert!(Envelope::decode(&bytes, 8, 11).is_err());
        assert!(Envelope::decode(&bytes, 7, 12).is_err());
    }

    #[test]
    fn a_batch_of_nothing_or_beyond_all_indexes_is_no_record() {
        let (sound, _) = sample();
        for (base, count) in [(100, 0), (0, 1), (u64::MAX, 1)] {
            let mut bytes = Vec::new();
            Envelope { base, count, ..sound }.encode(11, b"thirteen bytes", &mut bytes);
            assert!(Envelope::decode(&bytes, 7, 11).is_err(), "{count} entries from {base}");
        }
    }
}
