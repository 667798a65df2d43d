//! Frees the oldest segment by moving what still lives in it.
//!
//! What lives in a segment is of two kinds. Batches that are committed die once their replica
//! is flushed and its floor raised, which [`LogWriter::pressure`] asks for: they are moved only
//! while they are few. Batches that no majority has, and terms and votes, die of no flush: they
//! are moved however many there are, or one partition without a majority would keep the oldest
//! segment for ever, and the log would fill up behind it for all the others.
//!
//! Moving frees room only while what cannot be freed is less than the log. **Invariant:** the
//! hosts keep the uncommitted batches of a node within [`LogOptions::uncommitted_bytes`], so
//! that they never fill half of the log, and each round of moving leaves the other half free.
//!
//! [`LogOptions::uncommitted_bytes`]: super::LogOptions::uncommitted_bytes

use super::index::{Location, ReplicaLog};
use super::reader::read_record;
use super::state::{Log, Segment, State};
use super::{HardState, LogWriter};
use crate::simulation::{Bug, crash_point, has_bug};
use crate::{ReplicaKey, Result};

/// One living record of the segment to be retired.
enum Survivor {
    Batch { key: ReplicaKey, base: u64, at: Location },
    Hard { key: ReplicaKey, state: HardState, original: u64, commit: u64 },
}

impl Log {
    /// Whether the log uses more than `numerator`/4 of its limit, in bytes or in segments.
    fn uses_quarters(&self, state: &State, numerator: u64) -> bool {
        let limit = self.options.limit_bytes * numerator / 4;
        let most = (limit / self.options.segment_bytes).max(1);
        state.used() > limit || state.segments.len() as u64 > most
    }

    /// The oldest segment if it is worth retiring now.
    fn retirable(&self) -> Option<(u64, Segment)> {
        let state = self.state.lock();
        let (&newest, _) = state.segments.last_key_value()?;
        let (&oldest, segment) =
            state.segments.first_key_value().filter(|(oldest, _)| **oldest != newest)?;
        let living = state.index.living_bytes(oldest);
        let quarter = self.options.segment_bytes / 4;
        let freeable = || living - state.index.unfreeable_bytes(oldest);
        let worth = living == 0
            || self.uses_quarters(&state, 2) && living <= quarter
            || self.uses_quarters(&state, 3)
                && (living <= 2 * quarter
                    || freeable() <= 2 * quarter && self.can_be_moved(&state));
        worth.then(|| (oldest, segment.clone()))
    }

    /// Whether moving what cannot be freed gets anywhere: more than half a log of it would be
    /// copied round and round.
    fn can_be_moved(&self, state: &State) -> bool {
        state.index.uncommitted_bytes() <= self.options.limit_bytes / 2
    }

    pub(super) fn pressure(&self) -> Option<ReplicaKey> {
        let state = self.state.lock();
        if !self.uses_quarters(&state, 2) {
            return None;
        }
        // In the oldest segment there may be nothing that a flush frees.
        state.segments.keys().find_map(|segment| {
            let living = state.index.living(*segment).filter(|(_, living)| living.batches > 0);
            let can_be_freed =
                |key: &ReplicaKey| state.index.get(*key).is_some_and(ReplicaLog::can_be_freed);
            let freeable = living.filter(|(key, _)| can_be_freed(key));
            freeable.max_by_key(|(_, living)| living.batches).map(|(key, _)| key)
        })
    }

    /// Whether the log is past three quarters of its limit, nothing of it can be retired, and
    /// no flush would change that.
    pub(super) fn is_wedged(&self) -> bool {
        let past = self.uses_quarters(&self.state.lock(), 3);
        past && self.retirable().is_none() && self.pressure().is_none()
    }

    fn survivors(&self, segment: u64) -> Vec<Survivor> {
        let state = self.state.lock();
        let mut survivors = Vec::new();
        for (key, _) in state.index.living(segment) {
            let Some(log) = state.index.get(key) else { continue };
            let here = log.entries.iter().filter(|e| e.at.segment == segment);
            survivors.extend(here.map(|e| Survivor::Batch { key, base: e.base, at: e.at }));
            if let Some(hard) = log.hard.filter(|h| h.at.segment == segment) {
                let (state, original, commit) = (hard.state, hard.original, log.commit);
                survivors.push(Survivor::Hard { key, state, original, commit });
            }
        }
        survivors
    }
}

impl LogWriter {
    /// Retires at most one segment, the oldest, if little or nothing lives in it; also keeps a
    /// spare one allocated.
    ///
    /// May [`sync`](Self::sync) what was appended: ask [`durable`](Self::durable) afterwards. Call
    /// it after each sync until it says `false`.
    pub fn maintain(&mut self) -> Result<bool> {
        self.log.check()?;
        let done = self.retire_oldest();
        let done = self.log.fatal(done)?;
        // A full disk is no reason to die before the room is needed.
        if let Err(error) = self.files.prepare_spare(self.log.options.segment_bytes) {
            tracing::warn!(%error, "no room for the log's next segment");
        }
        self.count_spares();
        Ok(done)
    }

    /// The replica that keeps the oldest segment from being retired, once half of the limit is
    /// used.
    ///
    /// The host then flushes that replica's memtable and raises its floor. Of replicas that no
    /// flush helps, because nothing they hold is committed, it names none.
    pub fn pressure(&self) -> Option<ReplicaKey> {
        self.log.pressure()
    }

    /// Whether the log can make no room, whatever the host does. Never true while the hosts
    /// keep to [`LogOptions::uncommitted_bytes`](super::LogOptions::uncommitted_bytes).
    pub fn is_wedged(&self) -> bool {
        self.log.is_wedged()
    }

    fn retire_oldest(&mut self) -> Result<bool> {
        let Some((oldest, segment)) = self.log.retirable() else { return Ok(false) };
        if oldest == self.active.incarnation {
            return Ok(false);
        }
        // Copies must be durable before their originals may be overwritten, and so must
        // the buffered records that made other originals dead.
        self.relocate(oldest, &segment)?;
        crash_point("log retirement: survivors moved");
        {
            let mut state = self.log.state.lock();
            state.segments.remove(&oldest);
            state.index.forget_recorded(oldest);
        }
        self.files.retire(&segment.path)?;
        Ok(true)
    }

    /// Copies what lives in the segment behind the log's end: into the next segments, if need
    /// be, for it may be as much as a segment holds.
    fn relocate(&mut self, oldest: u64, segment: &Segment) -> Result<()> {
        let survivors = self.log.survivors(oldest);
        let mut moved = Vec::new();
        for survivor in survivors {
            match survivor {
                Survivor::Batch { .. } if has_bug(Bug::SegmentFreedEarly) => {}
                Survivor::Hard { .. } if has_bug(Bug::VoteFreedWithSegment) => {}
                Survivor::Hard { key, state, original, commit } => {
                    self.hard_state(key, state, commit, Some(original));
                }
                Survivor::Batch { key, base, at } => {
                    let (envelope, payload) = read_record(segment, at)?;
                    let (original, to) = self.relocate_batch(&envelope, &payload);
                    moved.push((key, base, original, to));
                }
            }
        }
        crash_point("log retirement: survivors copied");
        self.sync()?;
        let mut state = self.log.state.lock();
        for (key, base, original, to) in moved {
            state.index.move_batch(key, base, original, to);
        }
        Ok(())
    }
}
