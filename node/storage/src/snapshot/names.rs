//! Names of the files of snapshots. No directories of their own: a name says whose it is.

use crate::ReplicaKey;

/// What every name of a replica's files begins with.
pub(super) fn prefix(replica: ReplicaKey) -> String {
    format!("{:x}-{:x}-", replica.partition, replica.replica)
}

/// The replica in a name.
pub(crate) fn replica_in(name: &str) -> Option<ReplicaKey> {
    replica_of(name).map(|(replica, _)| replica)
}

/// The replica in a name, and what follows.
pub(super) fn replica_of(name: &str) -> Option<(ReplicaKey, &str)> {
    let mut parts = name.splitn(3, '-');
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    let replica = ReplicaKey { partition: number()?, replica: number()? };
    Some((replica, parts.next()?))
}

/// The identity in what follows the prefix of a received file: `<16 hex digits>.<kind>`.
pub(super) fn identity_of(rest: &str) -> Option<u64> {
    let digits = rest.split('.').next().filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}
