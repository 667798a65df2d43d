//! The batch of log and wire, and the one command whose meaning consensus knows.

use crate::reseal;
use bytes::Bytes;
use doug_raft::{Batch, Membership};

/// One batch.
pub fn batch(data: &[u8]) {
    decode(data.to_vec());
    let mut resealed = data.to_vec();
    reseal::batch(&mut resealed);
    decode(resealed);
}

fn decode(bytes: Vec<u8>) {
    let Ok(batch) = Batch::decode(Bytes::from(bytes)) else { return };
    let commands: Vec<Bytes> = batch.commands().collect();
    assert!(batch.last() >= batch.base);
    let Batch { partition, kind, term, base, time, .. } = batch;
    let again = Batch::encode(partition, kind, term, base, time, &commands);
    assert_eq!(again, batch, "one batch has two encodings");
}

/// The command of a configuration batch.
pub fn membership(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(membership) = Membership::decode(&bytes) {
        assert_eq!(membership.encode(), bytes, "one membership has two encodings");
    }
}
