//! Where the simulator looks in and interferes: named crash points, and bugs put in on purpose.
//!
//! Without the feature `simulation` all of it is empty and compiles to nothing.

/// A known bug that the simulator puts in, to see that its checkers find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A flush publishes its applied index in one manifest edit and its tables in another.
    AppliedNotAtomic,
    /// After a restart the log goes on behind the torn tail, instead of sealing it.
    AppendAfterTornTail,
    /// A failed fsync of the log is tried again, and believed.
    FsyncRetried,
    /// The outcomes of a session's writes are not looked up.
    RetryAppliedTwice,
    /// A bloom filter denies keys that its table holds.
    BloomFalseNegative,
    /// Tombstones go although older versions lie beneath.
    TombstoneDroppedEarly,
    /// A segment of the log is freed with batches that still live in it.
    SegmentFreedEarly,
    /// A segment of the log is freed with terms and votes that still live in it.
    VoteFreedWithSegment,
    /// Terms and votes are told of before damage to them would be noticed.
    VoteWithoutProof,
    /// Blocks of tables are read without a look at their checksums.
    ChecksumIgnored,
    /// Edits of the manifest are not synced.
    ManifestNotSynced,
    /// Tables that nobody needs any more are not deleted.
    TableForgotten,
    /// A compaction deletes its inputs before the manifest knows.
    TableDeletedEarly,
    /// Room on the volume that is promised to one is promised to the next as well.
    ReservationIgnored,
    /// A snapshot is taken in without its sessions.
    SnapshotWithoutSessions,
    /// A flush writes the state of no session.
    SessionLostByFlush,
    /// A flush writes the state of sessions as they are when it begins, not as they were at
    /// the position that it publishes.
    SessionFrozenLate,
    /// Of the list of a transaction whose conditions do not hold, half is carried out.
    ElseHalfApplied,
    /// A retried transaction is answered as the first time, and increments once more.
    IncrementedByRetry,
    /// A leader raises the floor one revision too far.
    FloorOffByOne,
    /// A replica raises the floor of its tables by itself.
    FloorMovedLocally,
    /// A replica takes a time for closed because others have closed it.
    ClosedByOthers,
    /// Recent changes that were let go of count as known.
    EvictedChangeForgotten,
    /// An answer to a watch that was cut says that it tells all there is.
    ProgressOvertakes,
    /// A watch is told the revision that it goes on from once more.
    ChangeToldTwice,
    /// Recent changes are kept over a snapshot that took their replica further.
    ChangesKeptOverSnapshot,
    /// An entry of the index of expiries ends its key whatever was written to it since.
    ExpiryIgnoresOverwrite,
    /// A replica that starts does not look for keys that are to expire.
    ExpiryForgottenByStart,
    /// Keys expire by the stamp of a batch, which a client's token may have pushed, and not by its
    /// clock.
    ExpiryByStamp,
    /// A quiesced partition does not unquiesce for a key that is due.
    ExpirySleptThrough,
}

#[cfg(feature = "simulation")]
mod hooks {
    use super::Bug;
    use std::cell::{Cell, RefCell};

    type Observer = Box<dyn FnMut(&'static str)>;

    thread_local! {
        static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Tells `observer` of every crash point that this thread reaches from now on.
    pub fn observe(observer: Option<Observer>) {
        OBSERVER.with(|slot| *slot.borrow_mut() = observer);
    }

    /// Puts a bug into everything this thread does from now on.
    pub fn put_in(bug: Option<Bug>) {
        BUG.with(|slot| slot.set(bug));
    }

    pub(super) fn reach(name: &'static str) {
        OBSERVER.with(|slot| {
            if let Some(observer) = slot.borrow_mut().as_mut() {
                observer(name);
            }
        });
    }

    pub(super) fn bug() -> Option<Bug> {
        BUG.with(Cell::get)
    }
}

#[cfg(feature = "simulation")]
pub use hooks::{observe, put_in};

/// A moment at which the simulator may cut the power: what was done before it is done, and
/// no later operation of the disk succeeds.
#[inline(always)]
pub fn crash_point(name: &'static str) {
    #[cfg(feature = "simulation")]
    hooks::reach(name);
    #[cfg(not(feature = "simulation"))]
    let _ = name;
}

/// Whether the simulator put this bug in.
#[inline(always)]
pub fn has_bug(bug: Bug) -> bool {
    #[cfg(feature = "simulation")]
    return hooks::bug() == Some(bug);
    #[cfg(not(feature = "simulation"))]
    {
        let _ = bug;
        false
    }
}
