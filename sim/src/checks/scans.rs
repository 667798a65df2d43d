//! "Scans consistent": a scan shows every key of the partition, in order, all at
//! one revision. One of several partitions, in several pages: each at a revision of its own,
//! the same on every page, and all keys in one order.

use super::Violation;
use crate::history::{Action, Answer, Operation};
use crate::library::Page;
use crate::reference::Reference;
use bytes::Bytes;
use doug_proto::map::PartitionMap;
use doug_proto::token::SessionToken;
use std::collections::BTreeMap;

const NAME: &str = "scans consistent";

/// Keys, values and revisions.
type Entries = Vec<(Bytes, Bytes, u64)>;

pub(super) fn compare(
    operation: &Operation,
    reference: &Reference,
    revision: u64,
    entries: &[(Bytes, Bytes, u64)],
) -> Result<(), Violation> {
    let Action::Scan { reverse, .. } = operation.action else { return Ok(()) };
    let mut expected: Vec<_> = reference.all(revision).collect();
    if reverse {
        expected.reverse();
    }
    let seen = entries.iter().map(|(key, value, at)| (key, value, *at));
    if revision <= reference.last() && seen.eq(expected.iter().copied()) {
        return Ok(());
    }
    let what = format!(
        "partition {}: a scan at {revision} shows {} keys that are not the {} of that revision",
        operation.partition,
        entries.len(),
        expected.len()
    );
    Err(Violation::new(NAME, what))
}

/// What a scan in pages shows of each partition.
///
/// # Errors
/// Its pages do not fit together.
pub(crate) fn parts(
    operation: &Operation,
    pages: &[Page],
    map: &PartitionMap,
) -> Result<Vec<(u64, Answer)>, Violation> {
    let Some(reverse) = operation.action.scans() else { return Ok(Vec::new()) };
    let wrong = |what: String| {
        Err(Violation::new(NAME, format!("a scan of client {}: {what}", operation.client)))
    };
    let mut parts: BTreeMap<u64, (u64, Entries)> = BTreeMap::new();
    for page in pages {
        let token = page.header.as_ref().map(|header| &header.session_token[..]);
        let seen = token.and_then(|token| SessionToken::from_bytes(token).ok());
        for place in seen.into_iter().flat_map(|seen| seen.places) {
            let part = parts.entry(place.partition);
            let first = part.or_insert_with(|| (place.revision, Vec::new())).0;
            if first != place.revision {
                return wrong(format!(
                    "partition {} is read at {first}, and on a later page at {}",
                    place.partition, place.revision
                ));
            }
        }
    }
    let entries = pages.iter().flat_map(|page| &page.entries);
    let mut last: Option<&Bytes> = None;
    for entry in entries {
        let in_order =
            last.is_none_or(|last| if reverse { entry.key < last } else { entry.key > last });
        if !in_order {
            return wrong(format!("{:?} follows {last:?}", entry.key));
        }
        last = Some(&entry.key);
        let partition = map.partition_of(&entry.key).id;
        let Some((_, part)) = parts.get_mut(&partition) else {
            return wrong(format!(
                "{:?} is of partition {partition}, which no page names",
                entry.key
            ));
        };
        part.push((entry.key.clone(), entry.value.clone(), entry.revision));
    }
    let answer =
        |(partition, (revision, entries))| (partition, Answer::Scanned { revision, entries });
    Ok(parts.into_iter().map(answer).collect())
}
