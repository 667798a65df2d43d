//! Frees the oldest segment by moving the little that still lives in it.

use super::index::Location;
use super::reader::read_record;
use super::shared::{Segment, Shared, State};
use super::{HardState, LogWriter};
use crate::simulation::{Bug, crash_point, has_bug};
use crate::{ReplicaKey, Result};

/// One living record of the segment to be retired.
enum Survivor {
    Batch { key: ReplicaKey, base: u64, at: Location },
    Hard { key: ReplicaKey, state: HardState, original: u64, commit: u64 },
}

impl Shared {
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
        let worth = living == 0
            || self.uses_quarters(&state, 2) && living <= quarter
            || self.uses_quarters(&state, 3) && living <= 2 * quarter;
        worth.then(|| (oldest, segment.clone()))
    }

    pub(super) fn pressure(&self) -> Option<ReplicaKey> {
        let state = self.state.lock();
        if !self.uses_quarters(&state, 2) {
            return None;
        }
        let (&oldest, _) = state.segments.first_key_value()?;
        let pins = state.index.living(oldest).filter(|(_, living)| living.batches > 0);
        pins.max_by_key(|(_, living)| living.batches).map(|(key, _)| key)
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
    /// Retires at most one segment, the oldest, if little or nothing lives in it; also keeps a spare one allocated.
    ///
    /// May [`sync`](Self::sync) what was appended: ask [`durable`](Self::durable) afterwards. Call it after each sync until it says `false`.
    pub fn maintain(&mut self) -> Result<bool> {
        self.shared.check()?;
        let done = self.retire_oldest();
        let done = self.shared.fatal(done)?;
        // A full disk is no reason to die before the room is needed.
        if let Err(error) = self.files.prepare_spare(self.shared.options.segment_bytes) {
            tracing::warn!(%error, "no room for the log's next segment");
        }
        Ok(done)
    }

    /// The replica that keeps the oldest segment from being retired, once half of the limit is used.
    ///
    /// The host then flushes that replica's memtable and raises its floor.
    pub fn pressure(&self) -> Option<ReplicaKey> {
        self.shared.pressure()
    }

    fn retire_oldest(&mut self) -> Result<bool> {
        let Some((oldest, segment)) = self.shared.retirable() else { return Ok(false) };
        if oldest == self.active.incarnation {
            return Ok(false);
        }
        // Copies must be durable before their originals may be overwritten, and so must
        // the buffered records that made other originals dead.
        self.relocate(oldest, &segment)?;
        crash_point("log retirement: survivors moved");
        {
            let mut state = self.shared.state.lock();
            state.segments.remove(&oldest);
            state.index.forget_recorded(oldest);
        }
        self.files.retire(&segment.path)?;
        Ok(true)
    }

    fn relocate(&mut self, oldest: u64, segment: &Segment) -> Result<()> {
        let survivors = self.shared.survivors(oldest);
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
        let mut state = self.shared.state.lock();
        for (key, base, original, to) in moved {
            state.index.move_batch(key, base, original, to);
        }
        Ok(())
    }
}
