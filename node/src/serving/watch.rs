//! What a watch is told: from the changes kept in memory, or from memtables and tables.

use super::answers::{ReadFailure, Served};
use super::moment::Moment;
use super::watches::Interval;
use crate::apply::{Change, Place, RecentMemory, ReplicaData, Told};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::{self, at::At};
use doug_raft::{Stamp, Time};
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::tree::{ReadError, ScanRange};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What the watches of a node share.
#[derive(Debug)]
pub struct WatchRoom {
    /// For changes kept in memory.
    recent: Arc<RecentMemory>,
    /// An answer ends when it holds so much.
    answer_bytes: usize,
    /// Held by the one that reads tables: such a look takes as long as a scan of the range, and may
    /// not keep all threads that read.
    catching_up: Mutex<()>,
}

impl WatchRoom {
    /// Room for so many bytes of changes, and in each answer.
    pub fn new(recent: u64, answer_bytes: usize) -> Self {
        let recent = Arc::new(RecentMemory::new(recent));
        Self { recent, answer_bytes, catching_up: Mutex::new(()) }
    }

    /// Bytes of the changes that are kept.
    pub fn recent_bytes(&self) -> u64 {
        self.recent.used()
    }
}

/// A watch under way.
#[derive(Clone, Debug)]
pub struct Watching {
    /// What is asked. Where it goes on moves on with what has been looked at.
    pub request: v1::WatchRequest,
    /// Until when it waits, once it does.
    pub until: Option<Time>,
}

impl Watching {
    /// One that has not waited yet.
    pub fn new(request: v1::WatchRequest) -> Self {
        Self { request, until: None }
    }
}

/// What there is to tell; none if it is to wait, until [`Watching::until`].
///
/// # Errors
/// A moment before the floor, or one that the replica cannot read.
pub fn tell(
    replica: &ReplicaData,
    watching: &mut Watching,
    served: Served,
    room: &WatchRoom,
    now: Time,
) -> Result<Option<v1::WatchResponse>, ReadFailure> {
    replica.keep_changes(&room.recent);
    let request = &watching.request;
    let after = match request.after.as_ref().and_then(|after| after.at) {
        None => {
            let revision = replica.reader().view().revision();
            let header = Some(served.header(revision, replica.stamp()));
            return Ok(Some(v1::WatchResponse { header, ..Default::default() }));
        }
        Some(At::Revision(revision)) => place(revision, &request.after_key),
        Some(At::Stamp(_)) => Place::at(Moment::of(replica, request.after.as_ref())?.revision),
    };
    let from = if has_bug(Bug::ChangeToldTwice) {
        Place::at(after.revision.saturating_sub(1))
    } else {
        after
    };
    let told = changes(replica, from, request, room)?;
    let Place { revision, key } = told.through;
    let told_key = key.unwrap_or_default();
    if told.changes.is_empty() {
        let most = limits::WATCH_WAIT_MILLISECONDS;
        let wait = Duration::from_millis(request.wait_milliseconds.min(most).into());
        let until = *watching.until.get_or_insert(now.after(wait));
        if now < until {
            watching.request.after = Some(v1::At { at: Some(At::Revision(revision)) });
            watching.request.after_key = told_key;
            return Ok(None);
        }
    }
    let values = request.values;
    let events = told.changes.into_iter().map(|change| event(change, values)).collect();
    let header = Some(served.header(revision, replica.stamp()));
    Ok(Some(v1::WatchResponse { header, events, told_key }))
}

/// Whether something has changed since that a watch that was about to wait is to be told.
pub fn is_behind(replica: &ReplicaData, watching: &Watching) -> bool {
    let request = &watching.request;
    let Some(At::Revision(after)) = request.after.as_ref().and_then(|after| after.at) else {
        return true;
    };
    let after = place(after, &request.after_key);
    let told = replica.recent().after(&after, &Interval::of(request), 1);
    told.is_none_or(|told| !told.changes.is_empty())
}

fn place(revision: u64, key: &Bytes) -> Place {
    Place { revision, key: (!key.is_empty()).then(|| key.clone()) }
}

fn event(change: Change, values: bool) -> v1::WatchEvent {
    let Change { revision, stamp, key, value } = change;
    let deleted = value.is_none();
    let value = value.filter(|_| values).unwrap_or_default();
    v1::WatchEvent { revision, stamp, key, deleted, value }
}

fn changes(
    replica: &ReplicaData,
    after: Place,
    request: &v1::WatchRequest,
    room: &WatchRoom,
) -> Result<Told, ReadFailure> {
    let recent = replica.recent().after(&after, &Interval::of(request), room.answer_bytes);
    if let Some(told) = recent {
        return Ok(told);
    }
    // Up to the end of a batch. Whatever is applied is in every view taken from now on.
    let through = match replica.recent().span() {
        Some((_, through)) => through,
        None => replica.applied().index,
    };
    if after.whole() >= through {
        return Ok(Told { changes: Vec::new(), through: after });
    }
    let Some(_one_at_a_time) = room.catching_up.try_lock() else {
        return Err(Fault::exhausted(
            "another watch is catching up from tables on this node: try again later",
        )
        .into());
    };
    from_tables(replica, (after, through), request, room.answer_bytes)
}

/// The changes of a range in order, about so many bytes of them, from wherever they are: one pass
/// over the range, which keeps the oldest that it meets.
fn from_tables(
    replica: &ReplicaData,
    (place, through): (Place, u64),
    request: &v1::WatchRequest,
    answer_bytes: usize,
) -> Result<Told, ReadFailure> {
    let view = replica.reader().view();
    // After the view, so that nothing of it is collected beyond this floor.
    let floor = replica.history().floor;
    let (partition, after) = (replica.key().partition, place.whole());
    if after < floor.revision {
        return Err(Fault::compacted(partition, floor.to_wire()).into());
    }
    let range = ScanRange {
        start: request.start.clone(),
        end: (!request.end.is_empty()).then(|| request.end.clone()),
        reverse: false,
    };
    let written = match view.changes(&range, after, through) {
        Ok(written) => written,
        // A node whose volume is nearly full gives history up.
        Err(ReadError::RevisionGone { floor, .. }) => {
            let floor = v1::HistoryFloor { revision: floor, stamp: 0 };
            return Err(Fault::compacted(partition, floor).into());
        }
        Err(error) => return Err(error.into()),
    };
    let mut oldest = Oldest::new(answer_bytes);
    for written in written {
        let written = written?;
        if place.is_before(written.revision, &written.key) {
            let value = written.value.map(|v| if request.values { v } else { Bytes::new() });
            oldest.take(written.revision, written.key, value);
        }
    }
    let through = oldest.through(through);
    let batches = view.batches_after(after)?;
    let stamp = |revision: u64| {
        let at = batches.partition_point(|batch| batch.last < revision);
        Stamp(batches.get(at).expect("the lists of batches are whole above the floor").stamp)
    };
    let change = |((revision, key), value)| {
        let stamp = stamp(revision).0;
        Change { revision, stamp, key, value }
    };
    Ok(Told { changes: oldest.found.into_iter().map(change).collect(), through })
}

/// The oldest changes of those met so far, about so many bytes of them.
struct Oldest {
    most: usize,
    found: BTreeMap<(u64, Bytes), Option<Bytes>>,
    bytes: usize,
    /// The first that has no room.
    cut: Option<(u64, Bytes)>,
}

impl Oldest {
    fn new(most: usize) -> Self {
        Self { most, found: BTreeMap::new(), bytes: 0, cut: None }
    }

    fn take(&mut self, revision: u64, key: Bytes, value: Option<Bytes>) {
        let place = (revision, key);
        if self.cut.as_ref().is_some_and(|cut| place >= *cut) {
            return;
        }
        self.bytes += size(&place.1, value.as_ref());
        self.found.insert(place, value);
        while self.bytes > self.most && self.found.len() > 1 {
            let Some((place, value)) = self.found.pop_last() else { return };
            self.bytes -= size(&place.1, value.as_ref());
            self.cut = Some(place);
        }
    }

    /// Up to where they are all, of those up to `through`.
    fn through(&self, through: u64) -> Place {
        match (self.found.last_key_value(), &self.cut) {
            (Some(((last, key), _)), Some((cut, _))) => {
                Place { revision: *last, key: (last == cut).then(|| key.clone()) }
            }
            _ => Place::at(through),
        }
    }
}

fn size(key: &Bytes, value: Option<&Bytes>) -> usize {
    64 + key.len() + value.map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oldest(changes: &[(&'static str, u64)]) -> Oldest {
        let mut oldest = Oldest::new(300);
        let value = || Some(Bytes::from(vec![0; 80]));
        changes.iter().for_each(|(key, revision)| oldest.take(*revision, (*key).into(), value()));
        oldest
    }

    fn found(oldest: &Oldest) -> Vec<(u64, &[u8])> {
        oldest.found.keys().map(|(revision, key)| (*revision, &key[..])).collect()
    }

    #[test]
    fn the_oldest_are_kept_whatever_order_they_are_met_in() {
        let kept = oldest(&[("a", 9), ("a", 4), ("b", 7), ("c", 3), ("e", 12)]);
        assert_eq!(found(&kept), [(3, &b"c"[..]), (4, b"a")]);
        assert_eq!(kept.through(20), Place::at(4));
        assert_eq!(oldest(&[("a", 9)]).through(20), Place::at(20));
    }

    #[test]
    fn a_command_that_has_no_room_is_told_in_part_and_where_that_ends() {
        let kept = oldest(&[("a", 5), ("b", 5), ("c", 5), ("d", 2)]);
        assert_eq!(found(&kept), [(2, &b"d"[..]), (5, b"a")]);
        assert_eq!(kept.through(20), Place { revision: 5, key: Some("a".into()) });
    }
}
