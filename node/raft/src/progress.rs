//! How far a peer has come.

/// How the leader sends to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// One append at a time, to find where the logs agree.
    Probe,
    /// A pipeline of appends.
    Replicate,
    /// Nothing but heartbeats: a snapshot is on its way.
    Snapshot,
}
