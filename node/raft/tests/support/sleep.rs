//! What hosts do so that replicas can sleep: they hear each other, and wake those whose leader's node does not speak any more.

use doug_raft::{Message, ReplicaId, Role, Time, Vouch, WakeCause};

use super::cluster::Node;
use super::{MILLISECOND, id};

/// How long a node says nothing before it counts as silent.
pub const SILENCE: u64 = 300 * MILLISECOND;

pub fn vouch(process: u64) -> Vouch {
    Vouch { incarnation: process, epoch: 0 }
}

impl Node {
    /// A wish to sleep counts only while its sender's process is heard.
    pub(super) fn hear(&mut self, now: Time, from: u64, message: Message) {
        if matches!(message, Message::Sleep { vouch, .. } if !self.neighbours.vouches(from, vouch))
        {
            return;
        }
        let Some(raft) = &mut self.raft else { return };
        let leader = raft.leader().and_then(|leader| self.neighbours.last_heard(leader.0));
        if let Some(then) = leader {
            raft.leader_heard(then);
        }
        raft.step(now, id(from), message);
    }

    pub(super) fn hear_node(&mut self, now: Time, from: u64, vouch: Vouch) {
        let another = self.neighbours.heard(now, from, vouch);
        let Some(raft) = &mut self.raft else { return };
        if !another || !raft.is_asleep() {
            return;
        }
        if raft.role() == Role::Leader {
            raft.wake(now, WakeCause::Restart);
        } else if raft.leader() == Some(id(from)) {
            raft.vouched(now, vouch);
            assert!(
                !raft.is_asleep(),
                "{} sleeps under a process of {from} that is gone",
                raft.id()
            );
        }
    }

    pub(super) fn look_after_sleep(&mut self, now: Time, after: u64) {
        let fallen = self.neighbours.fallen_silent(now);
        let (neighbours, Some(raft)) = (&self.neighbours, &mut self.raft) else { return };
        let own = raft.id();
        let lives = |voter: ReplicaId| voter == own || neighbours.lives(voter.0);
        if raft.is_asleep() {
            let lost = match raft.leader() {
                Some(leader) if leader != own => fallen.contains(&leader.0),
                _ => raft.configuration().reached(|voter| u64::from(lives(voter))) == 0,
            };
            if lost {
                raft.wake(now, WakeCause::Silence);
            }
            return;
        }
        let idle = raft.idle_since().is_some_and(|since| now.since(since) >= after);
        if idle && raft.configuration().all_voters().into_iter().all(lives) {
            raft.propose_sleep(now, vouch(self.process));
        }
    }
}
