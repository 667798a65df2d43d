//! Keys that one operation names must lie in one partition: which that is, and what to do
//! where they do not.

use crate::error::Fault;
use crate::map::{Keyspace, Partition, PartitionMap};
use crate::quote;
use crate::routing::Routing;
use crate::transaction::Touched;

/// The partition of a key or of a whole range in a keyspace of the map.
///
/// # Errors
/// `INVALID_ARGUMENT`: the range lies in several.
pub fn partition_of<'m>(
    map: &'m PartitionMap,
    keyspace: &Keyspace,
    touched: Touched<'_>,
) -> Result<&'m Partition, Fault> {
    let partition = map.partition_in(keyspace, touched.first());
    match touched {
        Touched::Range(range) if !partition.contains_range(&keyspace.routing, range) => {
            let end =
                if range.end.is_empty() { "the last".to_owned() } else { quote::bytes(&range.end) };
            Err(Fault::invalid(format!(
                "the keys from {} to {end} lie in several partitions, and a transaction touches \
                 one. {}",
                quote::bytes(&range.start),
                remedy(&keyspace.routing, &range.start, &range.end),
            )))
        }
        _ => Ok(partition),
    }
}

/// Two keys of one operation lie in different partitions, given by their ids.
pub fn apart(keyspace: &Keyspace, one: (Touched<'_>, u64), other: (Touched<'_>, u64)) -> Fault {
    let (key, partition) = (one.0.first(), one.1);
    let (elsewhere, there) = (other.0.first(), other.1);
    Fault::invalid(format!(
        "key {} lies in partition {partition} and key {} in partition {there}: all keys of one \
         write or transaction must lie in one partition. {}",
        quote::bytes(key),
        quote::bytes(elsewhere),
        remedy(&keyspace.routing, key, elsewhere),
    ))
}

/// What would bring both keys together.
fn remedy(routing: &Routing, key: &[u8], other: &[u8]) -> String {
    match routing {
        Routing::Range => "The keyspace is split by ranges of keys: what belongs together must \
                           stand between two of its split keys"
            .to_owned(),
        Routing::Hash { prefix_delimiter } if !prefix_delimiter.is_empty() => {
            let delimiter = quote::bytes(prefix_delimiter);
            format!(
                "The keyspace keeps keys together that begin alike up to its prefix delimiter, \
                 {delimiter}: give both the same beginning, with {delimiter} after it"
            )
        }
        Routing::Hash { .. } => match delimiter_between(key, other) {
            Some(end) => format!(
                "In a keyspace with the prefix delimiter {} they would lie together, for both \
                 begin with {}",
                quote::bytes(&key[end - 1..end]),
                quote::bytes(&key[..end]),
            ),
            None => "In a keyspace with a prefix delimiter, say \"/\", keys lie together that \
                     begin alike up to it: give both the same beginning, with the delimiter \
                     after it"
                .to_owned(),
        },
    }
}

/// Where the first byte ends, in what both keys begin with, that could be a delimiter: neither
/// letter, digit nor part of a character.
fn delimiter_between(key: &[u8], other: &[u8]) -> Option<usize> {
    let common = key.iter().zip(other).take_while(|(a, b)| a == b).count();
    let place = key[..common].iter().position(|byte| byte.is_ascii_punctuation())?;
    Some(place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::testing::sample_with_catalog;
    use crate::v1::KeyRange;
    use bytes::Bytes;

    fn keyspace(routing: Routing) -> Keyspace {
        Keyspace::default_with(routing)
    }

    fn hash(delimiter: &'static [u8]) -> Keyspace {
        keyspace(Routing::Hash { prefix_delimiter: Bytes::from_static(delimiter) })
    }

    fn told(keyspace: &Keyspace, one: &'static str, other: &'static str) -> String {
        let (one, other) = (Bytes::from(one), Bytes::from(other));
        apart(keyspace, (Touched::Key(&one), 2), (Touched::Key(&other), 3)).message
    }

    #[test]
    fn keys_apart_are_named_with_the_delimiter_that_would_bring_them_together() {
        let message = told(&hash(b""), "user7/name", "user7/mail");
        for part in ["\"user7/name\" lies in partition 2", "\"user7/mail\" in partition 3"] {
            assert!(message.contains(part), "{message}");
        }
        assert!(message.contains("the prefix delimiter \"/\" they would"), "{message}");
        assert!(message.ends_with("begin with \"user7/\""), "{message}");
        let message = told(&hash(b""), "apple", "pear");
        assert!(message.contains("say \"/\""), "{message}");
        let message = told(&hash(b":"), "user7/name", "user7/mail");
        assert!(message.contains("its prefix delimiter, \":\""), "{message}");
        assert!(told(&keyspace(Routing::Range), "a", "z").contains("split keys"));
    }

    #[test]
    fn a_range_lies_in_the_partition_of_its_first_key_or_in_several() {
        let map = sample_with_catalog(2);
        let named = map.keyspace_named("default").unwrap();
        let range = |start: &'static str, end: &'static str| KeyRange {
            start: start.into(),
            end: end.into(),
        };
        let all = range("", "");
        let fault = partition_of(&map, named, Touched::Range(&all)).unwrap_err();
        assert!(fault.is_not_executed() && fault.message.contains("to the last"), "{fault}");
        let system = map.keyspace_named("system").unwrap();
        let found = partition_of(&map, system, Touched::Range(&all)).unwrap();
        assert_eq!(found.id, Keyspace::SYSTEM_PARTITION);
    }

    #[test]
    fn a_range_of_a_keyspace_split_by_keys_may_end_where_its_partition_does() {
        let mut partition = sample_with_catalog(1).partitions.pop().unwrap();
        (partition.start, partition.end) = (Bytes::from_static(b"d"), Bytes::from_static(b"m"));
        let within = |start: &'static str, end: &'static str| {
            let range = KeyRange { start: start.into(), end: end.into() };
            partition.contains_range(&Routing::Range, &range)
        };
        assert!(within("d", "m") && within("e", "f"));
        assert!(!within("c", "e") && !within("d", "n") && !within("d", ""));
    }
}
