//! Feature levels of the partitions led from here: what each node's program supports,
//! and when a level is raised ([`crate::levels`] decides).

#[cfg(feature = "simulation")]
use super::LevelBug;
use super::quiesce::PeerLiveness;
use super::replica::Replica;
use super::{AGAIN, Host, HostConfig};
use crate::levels::common_level;
use crate::work::encode_command;
use doug_proto::ids::NodeId;
use doug_proto::map::Partition;
use doug_proto::v1::{self, command};
use doug_raft::{PeerStatus, Time};
use std::collections::BTreeMap;

/// What the programs of the nodes support.
#[derive(Debug)]
pub(super) struct Programs {
    own: NodeId,
    /// This program's level.
    pub(super) supports: u32,
    /// What others have said, each about the process that runs now.
    said: BTreeMap<NodeId, u32>,
    /// When those were last asked that take part in a change and have not said.
    pub(super) asked: Time,
    #[cfg(feature = "simulation")]
    bug: Option<LevelBug>,
}

impl Programs {
    pub(super) fn new(config: &HostConfig) -> Self {
        Self {
            own: config.node,
            supports: config.supports,
            said: BTreeMap::new(),
            asked: Time(0),
            #[cfg(feature = "simulation")]
            bug: config.level_bug,
        }
    }

    /// The level that a node supports, if that is known.
    pub(super) fn of(&self, node: NodeId) -> Option<u32> {
        if node == self.own { Some(self.supports) } else { self.said.get(&node).copied() }
    }

    /// What the programs of the other members of a partition led from here support, and of those
    /// just left out that are still sent its log; `None` of one that is not heard or has not said.
    fn of_peers(&self, replica: &Replica, liveness: &PeerLiveness) -> Vec<Option<u32>> {
        let partition = replica.key.partition;
        let known = |peer: &PeerStatus| {
            let node = replica.node_of(peer.id)?;
            // Of whoever led before nothing is known: what a peer said of its program it may have
            // said of a process that has ended since. So it counts only if it has spoken to this
            // leader. A replica that is fenced or not made yet is silent on a node that is well.
            let is_heard = peer.recently_spoke || liveness.is_live(node, partition);
            Some(self.of(node).filter(|_| is_heard))
        };
        replica.raft.peers().iter().filter_map(known).collect()
    }

    /// The first node that `next` takes in and that is not known to support `level`.
    pub(super) fn unready(
        &self,
        descriptor: &Partition,
        next: impl IntoIterator<Item = NodeId>,
        level: u32,
    ) -> Option<NodeId> {
        #[cfg(feature = "simulation")]
        if self.bug == Some(LevelBug::OldProgramTakenIn) {
            return None;
        }
        let held = |node: &NodeId| descriptor.members().any(|member| member.node == *node);
        next.into_iter().find(|node| !held(node) && self.of(*node).is_none_or(|has| has < level))
    }
}

/// The level that whatever stands in the log or follows in it may need; `None` as long
/// as that is not known, for entries of earlier leaders are not applied yet.
pub(super) fn level_of_log(replica: &Replica) -> Option<u32> {
    // Otherwise this, which is asked for its own sake, would hide the bug.
    #[cfg(feature = "simulation")]
    if replica.raft.mutant() == Some(doug_raft::Mutant::ChangeBeforeOwnTermCommit) {
        return Some(replica.feature_level);
    }
    let term = replica.raft.term();
    (replica.raft.term_at(replica.applied) == Some(term)).then(|| {
        let raised = replica.raised.filter(|(then, _)| *then == term);
        raised.map_or(0, |(_, level)| level).max(replica.feature_level)
    })
}

impl Host {
    pub(super) fn supports(&mut self, now: Time, node: NodeId, level: u32) {
        if self.programs.said.insert(node, level) != Some(level) {
            self.unquiesce_to_raise_level(now, node);
        }
    }

    /// A node's process is gone: the next may be of another version.
    pub(super) fn forget_program(&mut self, node: NodeId) {
        self.programs.said.remove(&node);
    }
}

/// Raises the partition's feature level, as far as the programs of its members let it.
/// Whether anything happened.
pub(super) fn raise_level(
    now: Time,
    replica: &mut Replica,
    programs: &Programs,
    liveness: &PeerLiveness,
) -> bool {
    if replica.feature_level >= programs.supports || now.since(replica.nudged) < AGAIN {
        return false;
    }
    let level = common_level(programs.supports, programs.of_peers(replica, liveness));
    #[cfg(feature = "simulation")]
    let level = match programs.bug {
        Some(LevelBug::RaisedEarly) => programs.supports,
        _ => level,
    };
    if level <= replica.feature_level {
        return false;
    }
    replica.nudged = now;
    let raise = v1::RaiseFeatureLevelCommand { level };
    let command = v1::Command { command: Some(command::Command::RaiseFeatureLevel(raise)) };
    let proposed = replica.raft.propose(now, &[encode_command(&command)]);
    if let Ok(at) = proposed {
        replica.raised = Some((at.term, level));
    }
    proposed.is_ok()
}
