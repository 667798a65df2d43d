//! What hosts do so that replicas can quiesce: they hear each other, and unquiesce those whose
//! leader's node does not speak any more.

use std::time::Duration;

use doug_raft::{LivenessEpoch, Message, ReplicaId, Role, Time, UnquiesceCause};

use super::id;
use super::node::Node;

/// How long a node says nothing before it counts as silent.
pub const SILENCE: Duration = Duration::from_millis(300);

pub fn liveness_of(process: u64) -> LivenessEpoch {
    LivenessEpoch { incarnation: process, epoch: 0 }
}

impl Node {
    /// A quiesce proposal counts only while its sender's process is heard.
    pub(super) fn hear(&mut self, now: Time, from: u64, message: Message) {
        if matches!(message, Message::Quiesce { liveness, .. } if !self.liveness.is_live_with(from, liveness))
        {
            return;
        }
        let Some(raft) = &mut self.raft else { return };
        let leader = raft.leader().and_then(|leader| self.liveness.last_heard(leader.0));
        if let Some(then) = leader {
            raft.leader_heard(then);
        }
        raft.step(now, id(from), message);
    }

    pub(super) fn hear_node(&mut self, now: Time, from: u64, liveness: LivenessEpoch) {
        let another = self.liveness.heard(now, from, liveness);
        let Some(raft) = &mut self.raft else { return };
        if !another || !raft.is_quiesced() {
            return;
        }
        if raft.role() == Role::Leader {
            raft.unquiesce(now, UnquiesceCause::Restart);
        } else if raft.leader() == Some(id(from)) {
            raft.leader_liveness_seen(now, liveness);
            assert!(
                !raft.is_quiesced(),
                "{} is quiesced under a process of {from} that is gone",
                raft.id()
            );
        }
    }

    pub(super) fn tick_quiescence(&mut self, now: Time, after: Duration) {
        let fallen = self.liveness.newly_expired(now);
        let (liveness, Some(raft)) = (&self.liveness, &mut self.raft) else { return };
        let own = raft.id();
        let lives = |voter: ReplicaId| voter == own || liveness.is_live(voter.0);
        if raft.is_quiesced() {
            let lost = match raft.leader() {
                Some(leader) if leader != own => fallen.contains(&leader.0),
                _ => raft.configuration().reached(|voter| u64::from(lives(voter))) == 0,
            };
            if lost {
                raft.unquiesce(now, UnquiesceCause::Silence);
            }
            return;
        }
        let idle = raft.idle_since().is_some_and(|since| now.since(since) >= after);
        if idle && raft.configuration().all_voters().into_iter().all(lives) {
            raft.propose_quiesce(now, liveness_of(self.process));
        }
    }
}
