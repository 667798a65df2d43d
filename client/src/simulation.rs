//! Where the simulator interferes: bugs put in on purpose, to see that its checkers find them.
//!
//! Without the feature `simulation` none is in, and all of it compiles to nothing.

/// A known bug of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A write without a session is sent again after its stream broke.
    LostWriteRepeated,
    /// At the deadline nobody remembers that an earlier attempt may have been applied.
    UncertaintyForgotten,
    /// The first leader is asked for ever, whoever else is named.
    LeaderForEver,
    /// Every attempt of a write takes a sequence of its own.
    SequencePerAttempt,
    /// Every page of a scan is read at a snapshot of its own.
    SnapshotForgotten,
    /// The caller is told when a node does not hold the partition that the map places there.
    MisroutingTold,
}

#[cfg(feature = "simulation")]
mod hooks {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a bug into everything this thread does from now on.
    pub fn put_in(bug: Option<Bug>) {
        BUG.with(|slot| slot.set(bug));
    }

    pub(super) fn bug() -> Option<Bug> {
        BUG.with(Cell::get)
    }
}

#[cfg(feature = "simulation")]
pub use hooks::put_in;

/// Whether the simulator put this bug in.
#[inline(always)]
pub(crate) fn has_bug(bug: Bug) -> bool {
    #[cfg(feature = "simulation")]
    return hooks::bug() == Some(bug);
    #[cfg(not(feature = "simulation"))]
    {
        let _ = bug;
        false
    }
}
