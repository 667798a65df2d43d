//! Partitions that sleep: which replicas need no tick, who on other nodes vouches for them, and what wakes them
//! (docs/consensus.md, "Sleeping partitions").

use super::replica::Replica;
use super::{Host, preferred};
use doug_proto::ids::NodeId;
use doug_proto::v1;
use doug_raft::{Configuration, Message, Neighbours, ReplicaId, Role, Time, Vouch, WakeCause};
use std::collections::{BTreeMap, BTreeSet};

/// Replicas of one host that campaign at once. Each campaign waits for the disk and for
/// its peers; thousands at once, after a node's death, would starve each other.
const MOST_CAMPAIGNS: usize = 64;
/// Most hosts that a peer may claim to have.
const MOST_HOSTS: u32 = 1_024;

/// One host of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Speaker {
    node: NodeId,
    host: u32,
}

/// What a host knows of other nodes' hosts, and what it tells them.
#[derive(Debug)]
pub(super) struct Vouching {
    neighbours: Neighbours<Speaker>,
    /// How many hosts each node has.
    spans: BTreeMap<NodeId, u32>,
    /// The nodes that hold members of the partitions here.
    listeners: BTreeSet<NodeId>,
    /// The listeners are to be gathered anew.
    pub(super) stale: bool,
    own: Vouch,
    next_word: Time,
}

impl Vouching {
    pub(super) fn new(incarnation: u64, silence: u64) -> Self {
        Self {
            neighbours: Neighbours::new(silence),
            spans: BTreeMap::new(),
            listeners: BTreeSet::new(),
            stale: true,
            own: Vouch { incarnation, epoch: 0 },
            next_word: Time(0),
        }
    }

    pub(super) fn excuse(&mut self, now: Time, microseconds: u64) {
        self.neighbours.excuse(now, microseconds);
    }

    /// Who speaks for a partition's replica on `node`.
    fn speaker(&self, node: NodeId, partition: u64) -> Speaker {
        let hosts = self.spans.get(&node).copied().unwrap_or(1);
        Speaker { node, host: (partition % u64::from(hosts)) as u32 }
    }

    pub(super) fn lives(&self, node: NodeId, partition: u64) -> bool {
        self.neighbours.lives(self.speaker(node, partition))
    }

    /// Whether a message may be taken: a wish to sleep counts only while those who
    /// vouch for it are heard.
    pub(super) fn admits(&self, from: NodeId, partition: u64, message: &Message) -> bool {
        match message {
            Message::Sleep { vouch, .. } => {
                self.neighbours.vouches(self.speaker(from, partition), *vouch)
            }
            _ => true,
        }
    }

    /// Tells a sleeping replica when its leader's host was last heard.
    pub(super) fn vouch_for(&self, replica: &mut Replica) {
        if !replica.raft.is_asleep() {
            return;
        }
        let partition = replica.key.partition;
        let speaker = replica.leader_node().map(|node| self.speaker(node, partition));
        if let Some(then) = speaker.and_then(|speaker| self.neighbours.last_heard(speaker)) {
            replica.raft.leader_heard(then);
        }
    }

    /// Why a replica that has just fallen asleep may not: whoever falls silent, or vouches by
    /// another process, is told of once, and that may have been while it was awake.
    fn objection(&self, replica: &Replica, own: NodeId) -> Option<WakeCause> {
        match replica.leads() {
            true => (!self.all_voters_live(replica, own)).then_some(WakeCause::Silence),
            false => (!self.upholds(replica)).then_some(WakeCause::Restart),
        }
    }

    /// Whether the process under which a follower sleeps is the one that speaks for its leader.
    fn upholds(&self, replica: &Replica) -> bool {
        let vouch = replica.raft.sleeps_under();
        vouch.zip(replica.leader_node()).is_some_and(|(vouch, leader)| {
            self.neighbours.vouches(self.speaker(leader, replica.key.partition), vouch)
        })
    }

    fn all_voters_live(&self, replica: &Replica, own: NodeId) -> bool {
        let alive = self.alive(replica, own);
        replica.raft.configuration().all_voters().into_iter().all(alive)
    }

    fn a_quorum_lives(&self, replica: &Replica, own: NodeId) -> bool {
        let alive = self.alive(replica, own);
        Configuration::reached(replica.raft.configuration(), |voter| u64::from(alive(voter))) > 0
    }

    fn alive(&self, replica: &Replica, own: NodeId) -> impl Fn(ReplicaId) -> bool {
        let partition = replica.key.partition;
        move |voter| {
            let node = replica.node_of(voter);
            node.is_some_and(|node| node == own || self.lives(node, partition))
        }
    }
}

impl Host {
    /// Replicas that sleep.
    pub fn asleep(&self) -> usize {
        self.asleep.len()
    }

    /// A partition whose replica here follows asleep, though the process that vouched for its leader
    /// does so no more; for checkers, between turns, when there is none.
    pub fn sleeps_unvouched(&self) -> Option<u64> {
        let mut asleep = self.asleep.iter().filter_map(|partition| self.replicas.get(partition));
        let unvouched = asleep.find(|replica| !replica.leads() && !self.vouching.upholds(replica));
        unvouched.map(|replica| replica.key.partition)
    }

    pub(super) fn node_heartbeat(&mut self, now: Time, from: NodeId, word: &v1::NodeHeartbeat) {
        let hosts = word.hosts.max(1);
        if self.config.sleep_after.is_none() || hosts > MOST_HOSTS || word.host >= hosts {
            return;
        }
        let span = self.vouching.spans.insert(from, hosts);
        let speaker = Speaker { node: from, host: word.host };
        let vouch = Vouch { incarnation: word.incarnation, epoch: word.epoch };
        let another = self.vouching.neighbours.heard(now, speaker, vouch);
        if span.is_some_and(|before| before != hosts) {
            self.wake_with(now, WakeCause::Restart, |_, replica| replica.involves(from));
        } else if another {
            self.voucher_changed(now, speaker, vouch);
        }
    }

    /// A stream's hello names the process that speaks for a node from now on.
    pub(super) fn greeted(&mut self, now: Time, node: NodeId, incarnation: u64) {
        // Otherwise this, which only hears of it sooner, would hide the bug.
        #[cfg(feature = "simulation")]
        if self.config.mutant == Some(doug_raft::Mutant::IncarnationIgnored) {
            return;
        }
        let of = |speaker: Speaker| speaker.node == node;
        if self.vouching.neighbours.any_other_incarnation(of, incarnation) {
            self.wake_with(now, WakeCause::Restart, |_, replica| replica.involves(node));
        }
    }

    fn voucher_changed(&mut self, now: Time, speaker: Speaker, vouch: Vouch) {
        for partition in &self.asleep {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if self.vouching.speaker(speaker.node, *partition) != speaker {
                continue;
            }
            if replica.leads() && replica.replica_on(speaker.node).is_some() {
                // Its replica there has forgotten that it sleeps.
                replica.raft.wake(now, WakeCause::Restart);
            } else if replica.leader_node() == Some(speaker.node) {
                replica.raft.vouched(now, vouch);
            }
            self.touched.insert(*partition);
        }
    }

    /// Wakes the sleeping replicas that `applies` names.
    fn wake_with(
        &mut self,
        now: Time,
        cause: WakeCause,
        applies: impl Fn(&Vouching, &Replica) -> bool,
    ) {
        for partition in &self.asleep {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if applies(&self.vouching, replica) {
                replica.raft.wake(now, cause);
                self.touched.insert(*partition);
            }
        }
    }

    /// Tells the other nodes that this one lives, and notices which of them do not.
    pub(super) fn look_after_neighbours(&mut self, now: Time) {
        if self.config.sleep_after.is_none() {
            return;
        }
        self.gather_listeners();
        if now >= self.vouching.next_word {
            self.vouching.next_word = now.after(self.config.election_timeout / 3);
            let word = v1::NodeHeartbeat {
                incarnation: self.vouching.own.incarnation,
                epoch: self.vouching.own.epoch,
                host: self.config.number,
                hosts: self.config.hosts,
            };
            for node in &self.vouching.listeners {
                self.effects.turn_for(*node).node_heartbeats.push(word);
            }
        }
        let own = self.config.node;
        for silent in self.vouching.neighbours.fallen_silent(now) {
            self.wake_with(now, WakeCause::Silence, |vouching, replica| {
                if vouching.speaker(silent.node, replica.key.partition) != silent {
                    return false;
                }
                match replica.leads() {
                    // The usual check-quorum takes over.
                    true => !vouching.a_quorum_lives(replica, own),
                    false => replica.leader_node() == Some(silent.node),
                }
            });
        }
    }

    fn gather_listeners(&mut self) {
        if !std::mem::take(&mut self.vouching.stale) {
            return;
        }
        let members = self.replicas.values().flat_map(|replica| replica.descriptor.members());
        let own = self.config.node;
        let listeners = members.map(|member| member.node).filter(|node| *node != own).collect();
        self.vouching.neighbours.retain(|speaker| BTreeSet::contains(&listeners, &speaker.node));
        self.vouching.spans.retain(|node, _| listeners.contains(node));
        self.vouching.listeners = listeners;
    }

    /// Asks the partitions led from here that have been idle for long to sleep.
    pub(super) fn put_to_sleep(&mut self, now: Time, drowsy: Vec<u64>) {
        let (own, vouch) = (self.config.node, self.vouching.own);
        let Some(pause) = self.config.sleep_after.filter(|_| !self.draining) else { return };
        for partition in drowsy {
            let Some(replica) = self.replicas.get_mut(&partition) else { continue };
            if self.vouching.all_voters_live(replica, own) {
                // One that cannot sleep is not asked at every tick.
                replica.next_sleep = now.after(pause);
                replica.raft.propose_sleep(now, vouch);
                self.touched.insert(partition);
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
            self.touched.insert(candidacy.partition);
        }
    }

    /// Who is woken by a feature level that its members now support.
    pub(super) fn wake_to_raise_level(&mut self, now: Time, node: NodeId) {
        let supports = self.config.supports;
        self.wake_with(now, WakeCause::Restart, |_, replica| {
            replica.leads() && replica.feature_level < supports && replica.involves(node)
        });
    }

    /// Others may sleep under a replica that is let go of: what vouches for it ends.
    pub(super) fn stop_vouching_for(&mut self, replica: &Replica) {
        if replica.raft.may_be_slept_under() {
            self.vouching.own.epoch += 1;
        }
        self.vouching.stale = true;
    }

    /// Keeps the sets that save walking over all replicas.
    pub(super) fn file(&mut self, now: Time, partition: u64) {
        let Some(replica) = self.replicas.get_mut(&partition) else {
            return self.file_as(partition, Filed::default());
        };
        let just_fell_asleep = replica.raft.is_asleep() && !replica.filed.asleep;
        if just_fell_asleep && let Some(cause) = self.vouching.objection(replica, self.config.node)
        {
            replica.raft.wake(now, cause);
            self.touched.insert(partition);
        }
        let state = Filed {
            leads: replica.leads(),
            behind: !replica.caught_up,
            asleep: replica.raft.is_asleep(),
            awake: !replica.raft.is_asleep() || !replica.is_at_rest(),
        };
        if replica.filed != state {
            replica.filed = state;
            self.file_as(partition, state);
        }
    }

    fn file_as(&mut self, partition: u64, state: Filed) {
        for (set, belongs) in [
            (&mut self.led, state.leads),
            (&mut self.behind, state.behind),
            (&mut self.asleep, state.asleep),
            (&mut self.awake, state.awake),
        ] {
            match belongs {
                true => set.insert(partition),
                false => set.remove(&partition),
            };
        }
    }
}

/// In which of its host's sets a replica is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filed {
    leads: bool,
    behind: bool,
    asleep: bool,
    awake: bool,
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
    /// Whether a sleep would please everyone here: nothing waits, nothing is to be changed,
    /// and the voter that is to lead does. Otherwise sleep would keep it from that.
    pub(super) fn is_drowsy(&self, now: Time, after: u64) -> bool {
        self.raft.idle_since().is_some_and(|since| now.since(since) >= after)
            && now >= self.next_sleep
            && self.is_at_rest()
            && self.descriptor.goal.is_none()
            && preferred(&self.descriptor) == Some(self.raft.id())
    }

    /// Whether it has a member on that node, as far as its sleep goes.
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
