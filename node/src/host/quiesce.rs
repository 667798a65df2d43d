//! Quiesced partitions: which replicas need no tick, which nodes are live, and what unquiesces
//! (docs/consensus.md, "Quiesced partitions").

use super::Host;
use super::members::preferred;
use super::replica::Replica;
use doug_proto::ids::NodeId;
use doug_proto::v1;
use doug_raft::{
    Configuration, LivenessEpoch, Message, NodeLiveness, ReplicaId, Role, Time, UnquiesceCause,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Replicas of one host that campaign at once. Each campaign waits for the disk and for
/// its peers; thousands at once, after a node's death, would starve each other.
const MOST_CAMPAIGNS: usize = 64;
/// Most hosts that a peer may claim to have.
const MOST_HOSTS: u32 = 1_024;

/// One host of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerHost {
    node: NodeId,
    host: u32,
}

/// What a host knows of other nodes' hosts, and what it tells them.
#[derive(Debug)]
pub(super) struct PeerLiveness {
    nodes: NodeLiveness<PeerHost>,
    /// How many hosts each node has.
    host_counts: BTreeMap<NodeId, u32>,
    /// The nodes that hold members of the partitions here.
    peer_nodes: BTreeSet<NodeId>,
    /// The members of some partition changed: `peer_nodes` is to be gathered anew.
    pub(super) peers_changed: bool,
    own: LivenessEpoch,
    next_heartbeat: Time,
}

impl PeerLiveness {
    pub(super) fn new(incarnation: u64, silence: Duration) -> Self {
        Self {
            nodes: NodeLiveness::new(silence),
            host_counts: BTreeMap::new(),
            peer_nodes: BTreeSet::new(),
            peers_changed: true,
            own: LivenessEpoch { incarnation, epoch: 0 },
            next_heartbeat: Time(0),
        }
    }

    pub(super) fn compensate_pause(&mut self, now: Time, pause: Duration) {
        self.nodes.compensate_pause(now, pause);
    }

    /// The host of `node` that owns a partition's replica there.
    fn peer_host(&self, node: NodeId, partition: u64) -> PeerHost {
        let hosts = self.host_counts.get(&node).copied().unwrap_or(1);
        PeerHost { node, host: (partition % u64::from(hosts)) as u32 }
    }

    pub(super) fn is_live(&self, node: NodeId, partition: u64) -> bool {
        self.nodes.is_live(self.peer_host(node, partition))
    }

    /// Whether a message may be taken: a quiesce proposal counts only while its sender's host
    /// is live with the liveness that it names.
    pub(super) fn admits(&self, from: NodeId, partition: u64, message: &Message) -> bool {
        match message {
            Message::Quiesce { liveness, .. } => {
                self.nodes.is_live_with(self.peer_host(from, partition), *liveness)
            }
            _ => true,
        }
    }

    /// Tells a quiesced replica when its leader's host was last heard.
    pub(super) fn refresh_leader_heard(&self, replica: &mut Replica) {
        if !replica.raft.is_quiesced() {
            return;
        }
        let partition = replica.key.partition;
        let peer_host = replica.leader_node().map(|node| self.peer_host(node, partition));
        if let Some(then) = peer_host.and_then(|peer_host| self.nodes.last_heard(peer_host)) {
            replica.raft.leader_heard(then);
        }
    }

    /// Why a replica that has just quiesced must not: that a host dies or changes its epoch is
    /// noticed once, and that may have been in this turn, before the replica quiesced.
    fn reason_to_unquiesce(&self, replica: &Replica, own: NodeId) -> Option<UnquiesceCause> {
        if replica.leads() {
            (!self.all_voters_are_live(replica, own)).then_some(UnquiesceCause::Silence)
        } else {
            (!self.hears_quiesced_leader(replica)).then_some(UnquiesceCause::Restart)
        }
    }

    /// Whether a quiesced follower's leader is live with the liveness it quiesced under.
    fn hears_quiesced_leader(&self, replica: &Replica) -> bool {
        let liveness = replica.raft.quiesced_under();
        liveness.zip(replica.leader_node()).is_some_and(|(liveness, leader)| {
            self.nodes.is_live_with(self.peer_host(leader, replica.key.partition), liveness)
        })
    }

    fn all_voters_are_live(&self, replica: &Replica, own: NodeId) -> bool {
        let alive = self.alive(replica, own);
        replica.raft.configuration().all_voters().into_iter().all(alive)
    }

    fn quorum_is_live(&self, replica: &Replica, own: NodeId) -> bool {
        let alive = self.alive(replica, own);
        Configuration::reached(replica.raft.configuration(), |voter| u64::from(alive(voter))) > 0
    }

    fn alive(&self, replica: &Replica, own: NodeId) -> impl Fn(ReplicaId) -> bool {
        let partition = replica.key.partition;
        move |voter| {
            let node = replica.node_of(voter);
            node.is_some_and(|node| node == own || self.is_live(node, partition))
        }
    }
}

impl Host {
    /// How many replicas are quiesced.
    pub fn quiesced(&self) -> usize {
        self.quiesced.len()
    }

    /// A partition whose replica here is a quiesced follower, though its leader's host is dead or
    /// has another liveness epoch. For checkers: between turns there is none.
    pub fn quiesced_without_leader(&self) -> Option<u64> {
        let mut quiesced =
            self.quiesced.iter().filter_map(|partition| self.replicas.get(partition));
        let leaderless = quiesced
            .find(|replica| !replica.leads() && !self.liveness.hears_quiesced_leader(replica));
        leaderless.map(|replica| replica.key.partition)
    }

    pub(super) fn node_heartbeat(
        &mut self,
        now: Time,
        from: NodeId,
        heartbeat: &v1::NodeHeartbeat,
    ) {
        let hosts = heartbeat.hosts.max(1);
        if self.config.quiesce_after.is_none() || hosts > MOST_HOSTS || heartbeat.host >= hosts {
            return;
        }
        let hosts_before = self.liveness.host_counts.insert(from, hosts);
        let peer_host = PeerHost { node: from, host: heartbeat.host };
        let liveness = LivenessEpoch { incarnation: heartbeat.incarnation, epoch: heartbeat.epoch };
        let another = self.liveness.nodes.heard(now, peer_host, liveness);
        if hosts_before.is_some_and(|before| before != hosts) {
            self.unquiesce_where(now, UnquiesceCause::Restart, |_, replica| replica.involves(from));
        } else if another {
            self.liveness_epoch_changed(now, peer_host, liveness);
        }
    }

    /// A stream's hello says which process runs on a node now.
    pub(super) fn hello(&mut self, now: Time, node: NodeId, incarnation: u64) {
        // Hellos bring the same news sooner, and would hide the bug.
        #[cfg(feature = "simulation")]
        if self.config.mutant == Some(doug_raft::Mutant::IncarnationIgnored) {
            return;
        }
        let of = |peer_host: PeerHost| peer_host.node == node;
        if self.liveness.nodes.any_other_incarnation(of, incarnation) {
            self.unquiesce_where(now, UnquiesceCause::Restart, |_, replica| replica.involves(node));
        }
    }

    fn liveness_epoch_changed(&mut self, now: Time, peer_host: PeerHost, liveness: LivenessEpoch) {
        for partition in &self.quiesced {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if self.liveness.peer_host(peer_host.node, *partition) != peer_host {
                continue;
            }
            if replica.leads() && replica.replica_on(peer_host.node).is_some() {
                // Its replica there starts anew, and is not quiesced.
                replica.raft.unquiesce(now, UnquiesceCause::Restart);
            } else if replica.leader_node() == Some(peer_host.node) {
                replica.raft.leader_liveness_seen(now, liveness);
            }
            self.dirty.insert(*partition);
        }
    }

    /// Unquiesces the replicas that `applies` selects.
    fn unquiesce_where(
        &mut self,
        now: Time,
        cause: UnquiesceCause,
        applies: impl Fn(&PeerLiveness, &Replica) -> bool,
    ) {
        for partition in &self.quiesced {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if applies(&self.liveness, replica) {
                replica.raft.unquiesce(now, cause);
                self.dirty.insert(*partition);
            }
        }
    }

    /// Sends node heartbeats when they are due, and notices which hosts are dead.
    pub(super) fn tick_liveness(&mut self, now: Time) {
        self.update_peer_nodes();
        if self.config.quiesce_after.is_none() {
            return;
        }
        if now >= self.liveness.next_heartbeat {
            self.liveness.next_heartbeat = now.after(self.config.election_timeout / 3);
            let heartbeat = v1::NodeHeartbeat {
                incarnation: self.liveness.own.incarnation,
                epoch: self.liveness.own.epoch,
                host: self.config.number,
                hosts: self.config.hosts,
            };
            for node in &self.liveness.peer_nodes {
                self.effects.turn_for(*node).node_heartbeats.push(heartbeat);
            }
        }
        let own = self.config.node;
        for silent in self.liveness.nodes.newly_expired(now) {
            self.unquiesce_where(now, UnquiesceCause::Silence, |liveness, replica| {
                if liveness.peer_host(silent.node, replica.key.partition) != silent {
                    return false;
                }
                if replica.leads() {
                    // With fewer, check-quorum makes it step down.
                    !liveness.quorum_is_live(replica, own)
                } else {
                    replica.leader_node() == Some(silent.node)
                }
            });
        }
    }

    fn update_peer_nodes(&mut self) {
        if !std::mem::take(&mut self.liveness.peers_changed) {
            return;
        }
        let members = self.replicas.values().flat_map(|replica| replica.descriptor.members());
        let own = self.config.node;
        let peer_nodes = members.map(|member| member.node).filter(|node| *node != own).collect();
        self.liveness.nodes.retain(|peer_host| BTreeSet::contains(&peer_nodes, &peer_host.node));
        self.liveness.host_counts.retain(|node, _| peer_nodes.contains(node));
        self.clocks.retain(&peer_nodes);
        self.liveness.peer_nodes = peer_nodes;
    }

    /// Asks the partitions led from here that have been idle for long to quiesce.
    pub(super) fn quiesce_idle(&mut self, now: Time, idle: Vec<u64>) {
        let (own, liveness) = (self.config.node, self.liveness.own);
        let Some(pause) = self.config.quiesce_after.filter(|_| !self.draining) else { return };
        for partition in idle {
            let Some(replica) = self.replicas.get_mut(&partition) else { continue };
            if self.liveness.all_voters_are_live(replica, own) {
                // One that cannot quiesce is not asked at every tick.
                replica.next_quiesce = now.after(pause);
                replica.raft.propose_quiesce(now, liveness);
                self.dirty.insert(partition);
            }
        }
    }

    /// Lets those campaign whose time has come, as far as there is room: first those that
    /// have tried least, for a partition without a majority must not stand in the way of one
    /// that has it; of them those with waiting requests; and then in the order of its voters
    /// after the one that led, so that the survivors begin with different partitions.
    pub(super) fn let_campaign(&mut self, now: Time, mut due: Vec<Candidacy>, under_way: usize) {
        due.sort_unstable();
        let room = MOST_CAMPAIGNS.saturating_sub(under_way);
        for candidacy in due.into_iter().take(room) {
            let Some(replica) = self.replicas.get_mut(&candidacy.partition) else { continue };
            replica.raft.tick(now);
            self.dirty.insert(candidacy.partition);
        }
    }

    /// Unquiesces the partitions whose members may all support a higher feature level now.
    pub(super) fn unquiesce_to_raise_level(&mut self, now: Time, node: NodeId) {
        let supports = self.config.supports;
        self.unquiesce_where(now, UnquiesceCause::Restart, |_, replica| {
            replica.leads() && replica.feature_level < supports && replica.involves(node)
        });
    }

    /// Followers may have quiesced under a replica that is removed: raising the epoch unquiesces
    /// them.
    pub(super) fn end_liveness_of(&mut self, replica: &Replica) {
        if replica.raft.may_have_quiesced_followers() {
            self.liveness.own.epoch += 1;
        }
        self.liveness.peers_changed = true;
    }

    /// Updates the sets of replicas that save walking over all of them.
    pub(super) fn update_indexes(&mut self, now: Time, partition: u64) {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            return self.set_indexes(partition, Indexes::default());
        };
        let just_quiesced = replica.raft.is_quiesced() && !replica.indexed.quiesced;
        if just_quiesced
            && let Some(cause) = self.liveness.reason_to_unquiesce(replica, self.config.node)
        {
            replica.raft.unquiesce(now, cause);
            self.dirty.insert(partition);
        }
        let state = Indexes {
            leads: replica.leads(),
            behind: !replica.caught_up,
            quiesced: replica.raft.is_quiesced(),
            ticking: !replica.raft.is_quiesced() || !replica.is_at_rest(),
        };
        if replica.indexed != state {
            replica.indexed = state;
            self.set_indexes(partition, state);
        }
    }

    fn set_indexes(&mut self, partition: u64, state: Indexes) {
        for (set, belongs) in [
            (&mut self.led, state.leads),
            (&mut self.behind, state.behind),
            (&mut self.quiesced, state.quiesced),
            (&mut self.ticking, state.ticking),
        ] {
            if belongs {
                set.insert(partition)
            } else {
                set.remove(&partition)
            };
        }
    }
}

/// Which of its host's sets a replica is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    leads: bool,
    behind: bool,
    quiesced: bool,
    ticking: bool,
}

/// A replica whose time to campaign has come; the least goes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidacy {
    attempts: u32,
    nobody_waits: bool,
    /// Its place among the voters after the one that led.
    rank: usize,
    partition: u64,
}

impl Candidacy {
    pub(super) fn of(replica: &Replica) -> Self {
        let voters = &replica.descriptor.voters;
        let place = |replica: u64| voters.iter().position(|voter| voter.replica == replica);
        let leader = replica.raft.leader().and_then(|leader| place(leader.0));
        let own = place(replica.key.replica).unwrap_or(voters.len());
        let rank = leader.map_or(own, |led| (own + voters.len() - led) % voters.len());
        Self {
            attempts: replica.raft.campaigns_tried(),
            nobody_waits: !replica.has_requests(),
            rank,
            partition: replica.key.partition,
        }
    }
}

impl Replica {
    /// Whether a leader may propose to quiesce: nothing waits, no change is to be made, and the
    /// preferred voter leads. Quiescence would put all of these off.
    pub(super) fn may_quiesce(&self, now: Time, after: Duration) -> bool {
        self.raft.idle_since().is_some_and(|since| now.since(since) >= after)
            && now >= self.next_quiesce
            && self.is_at_rest()
            && self.descriptor.goal.is_none()
            && preferred(&self.descriptor) == Some(self.raft.id())
    }

    /// Whether its quiescence rests on that node's liveness.
    fn involves(&self, node: NodeId) -> bool {
        match self.raft.role() {
            Role::Leader => self.replica_on(node).is_some(),
            _ => self.leader_node() == Some(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidacy(attempts: u32, nobody_waits: bool, rank: usize, partition: u64) -> Candidacy {
        Candidacy { attempts, nobody_waits, rank, partition }
    }

    #[test]
    fn partitions_with_waiting_requests_campaign_first_but_not_before_fresh_ones_for_ever() {
        let mut due = [
            candidacy(3, false, 1, 1),
            candidacy(0, true, 2, 2),
            candidacy(0, true, 1, 3),
            candidacy(0, false, 4, 4),
        ];
        due.sort_unstable();
        let order: Vec<u64> = due.iter().map(|candidacy| candidacy.partition).collect();
        assert_eq!(order, [4, 3, 2, 1]);
    }
}
