//! Known bugs of hosts, for the simulator to put in. Nothing that ships can.

/// A bug of feature levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelBug {
    /// A level is raised as soon as its leader supports it.
    RaisedEarly,
    /// What a node's program supports is not asked before it is taken in.
    OldProgramTakenIn,
}

/// A bug of groups that begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryBug {
    /// What returning replicas of the lost group say is believed.
    LostGroupHeard,
}
