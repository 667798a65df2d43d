//! Which keys a page may still return, and which partitions can hold them. Pure.

use bytes::Bytes;
use doug_proto::map::{Keyspace, Partition, PartitionMap};
use doug_proto::routing::{Routing, next_key, prefix_end};

/// The interval that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Inclusive; empty: open.
    pub(super) start: Bytes,
    /// Exclusive; empty: open.
    pub(super) end: Bytes,
    pub(super) reverse: bool,
}

impl Bounds {
    /// What is left after `last`, the last key returned; all of it if that is empty.
    pub(super) fn after(mut self, last: &Bytes) -> Bounds {
        if !last.is_empty() {
            if self.reverse {
                self.end = last.clone();
            } else {
                self.start = next_key(last);
            }
        }
        self
    }

    /// Whether no key can be inside.
    pub(super) fn is_empty(&self) -> bool {
        !self.end.is_empty() && self.start >= self.end
    }
}

/// The partitions of a keyspace of the map that can hold keys of the interval, in the
/// order of the scan.
pub(super) fn partitions<'m>(
    map: &'m PartitionMap,
    keyspace: &Keyspace,
    bounds: &Bounds,
) -> Vec<&'m Partition> {
    let all = map.partitions_in(keyspace.id).iter();
    let mut found: Vec<_> = match &keyspace.routing {
        Routing::Range => all
            .filter(|partition| {
                let begins = bounds.end.is_empty() || partition.start < bounds.end;
                begins && (partition.end.is_empty() || partition.end > bounds.start)
            })
            .collect(),
        Routing::Hash { prefix_delimiter } => match one_prefix(bounds, prefix_delimiter) {
            Some(key) => vec![map.partition_in(keyspace, key)],
            None => all.collect(),
        },
    };
    if bounds.reverse && keyspace.routing == Routing::Range {
        found.reverse();
    }
    found
}

/// If all keys of the interval begin with the same prefix and delimiter, they
/// share a partition: that prefix.
fn one_prefix<'b>(bounds: &'b Bounds, delimiter: &[u8]) -> Option<&'b [u8]> {
    if delimiter.is_empty() || bounds.end.is_empty() {
        return None;
    }
    let at = bounds.start.windows(delimiter.len()).position(|window| window == delimiter)?;
    let prefix = &bounds.start[..at + delimiter.len()];
    let limit = prefix_end(prefix);
    (limit.is_empty() || bounds.end <= limit).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: &'static str, end: &'static str) -> Bounds {
        Bounds { start: start.into(), end: end.into(), reverse: false }
    }

    #[test]
    fn a_page_goes_on_after_the_last_key_in_either_direction() {
        let last = Bytes::from_static(b"m");
        assert_eq!(&bounds("a", "z").after(&last).start[..], b"m\0");
        let reverse = Bounds { reverse: true, ..bounds("a", "z") }.after(&last);
        assert_eq!((&reverse.start[..], &reverse.end[..]), (&b"a"[..], &b"m"[..]));
        assert!(Bounds { reverse: true, ..bounds("a", "z") }.after(&Bytes::from("a")).is_empty());
    }

    #[test]
    fn an_interval_inside_one_delimited_prefix_needs_one_partition() {
        let inside = |start, end| one_prefix(&bounds(start, end), b"/").map(<[u8]>::to_vec);
        assert_eq!(bounds("user7/", "user70").end, "user70");
        assert_eq!(inside("user7/", "user70"), Some(b"user7/".to_vec()));
        assert_eq!(inside("user7/a", "user7/b"), Some(b"user7/".to_vec()));
        assert_eq!(inside("user7/a", "user71"), None, "user70… lies between");
        assert_eq!(inside("user7", "user8"), None, "user70 lies between");
        assert_eq!(inside("user7/", ""), None);
        assert_eq!(one_prefix(&bounds("user7/", "user70"), b""), None);
    }
}
