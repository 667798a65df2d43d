//! The paper's safety properties (figure 3), checked from outside on whole groups.

use std::collections::{BTreeMap, BTreeSet};

use doug_raft::{
    Batch, Configuration, Index, Message, Proposed, Raft, ReplicaId, Role, Stamp, Term,
};

use super::disk::{Disk, configuration_of};

#[derive(Default)]
pub struct Checker {
    leaders: BTreeMap<Term, ReplicaId>,
    /// Term of every committed batch, and the term in which it was committed, by its last index.
    committed: BTreeMap<Index, (Term, Term)>,
    applied: BTreeMap<Index, Batch>,
    /// What the senders of proposed commands had seen, by base and term of their batch.
    seen: BTreeMap<(Index, Term), Stamp>,
    /// The commit index last seen of each replica's current process.
    commits: BTreeMap<ReplicaId, Index>,
    /// Who has agreed to quiesce, by term and round.
    agreed: BTreeSet<(Term, u64, ReplicaId)>,
    /// The last quiesce proposal of each term.
    proposals: BTreeMap<Term, u64>,
    /// The configurations applied, the first included.
    configurations: Vec<Configuration>,
}

impl Checker {
    pub fn starting_with(disks: &BTreeMap<u64, Disk>) -> Checker {
        let first = disks.values().next().expect("a group begins with somebody").configuration();
        Checker { configurations: vec![first], ..Checker::default() }
    }

    /// How many changes of the members were applied.
    pub fn changes(&self) -> u64 {
        self.configurations.len() as u64 - 1
    }

    pub fn greatest_commit(&self) -> Index {
        self.committed.last_key_value().map_or(0, |(&index, _)| index)
    }

    pub fn restarted(&mut self, id: ReplicaId) {
        self.commits.remove(&id);
    }

    /// Election Safety and Leader Completeness. Who wins an outdated term may lack what later ones
    /// committed.
    pub fn elected(&mut self, raft: &Raft) {
        let first = *self.leaders.entry(raft.term()).or_insert(raft.id());
        assert_eq!(first, raft.id(), "Election Safety: two leaders in term {}", raft.term());
        for (&index, &(term, committed_in)) in self.committed.range(raft.first_index()..) {
            if committed_in > raft.term() {
                continue;
            }
            assert_eq!(
                raft.term_at(index),
                Some(term),
                "Leader Completeness: the leader of term {} lacks committed index {index}",
                raft.term()
            );
        }
    }

    /// State Machine Safety.
    pub fn applied(&mut self, batch: &Batch) {
        match self.applied.get(&batch.base) {
            Some(first) => {
                assert_eq!(first, batch, "State Machine Safety: two batches applied at one index")
            }
            None => {
                self.applied.insert(batch.base, batch.clone());
                self.times_rise(batch);
                self.configuration_applied(batch);
            }
        }
    }

    /// A leader has taken commands whose sender has seen this stamp.
    pub fn proposed(&mut self, at: Proposed, seen: Stamp) {
        self.seen.insert((at.base, at.term), seen);
    }

    /// One faulty clock moves nothing.
    pub fn clock_is_good(&self, batch: &Batch, truth: u64) {
        let clock = batch.time.clock;
        assert!(clock.0 <= truth + 1_000, "{batch} has clock {clock} at {truth}");
    }

    /// From batch to batch the clock never falls and the stamp rises, also above what was seen
    /// elsewhere.
    fn times_rise(&self, batch: &Batch) {
        if let Some((_, before)) = self.applied.range(..batch.base).next_back() {
            assert!(
                batch.time.clock >= before.time.clock && batch.time.stamp > before.time.stamp,
                "{batch} of {:?} follows one of {:?}",
                batch.time,
                before.time
            );
        }
        if let Some(seen) = self.seen.get(&(batch.base, batch.term)) {
            assert!(batch.time.stamp > *seen, "{batch} of {:?} had seen {seen}", batch.time);
        }
    }

    /// Every committed configuration follows legally from the one before.
    fn configuration_applied(&mut self, batch: &Batch) {
        let Some(to) = configuration_of(batch) else { return };
        let from = self.configurations.last().expect("there is a first one");
        let legal = match (from.is_joint(), to.is_joint()) {
            (false, true) => to.outgoing == from.voters,
            (true, true) => false,
            (_, false) => to.voters == from.voters,
        };
        assert!(legal && !to.voters.is_empty(), "{to:?} was committed after {from:?}");
        self.configurations.push(to);
    }

    pub fn sent(&mut self, from: ReplicaId, message: &Message) {
        match *message {
            Message::Quiesce { term, round, .. } => {
                self.proposals.insert(term, round);
            }
            Message::QuiesceResponse { term, round, agreed: true } => {
                self.agreed.insert((term, round, from));
            }
            _ => {}
        }
    }

    /// A leader is quiesced only once every other voter has agreed to its proposal.
    pub fn quiesced(&self, raft: &Raft) {
        let others = raft.configuration().all_voters().into_iter().filter(|&id| id != raft.id());
        if raft.role() == Role::Leader {
            let term = raft.term();
            for voter in others {
                let agreed = self.agreed.contains(&(term, self.proposals[&term], voter));
                assert!(
                    agreed,
                    "the leader of term {term} is quiesced, but voter {voter} did not agree"
                );
            }
        }
    }

    /// When a whole group is quiesced, one leads, and all are where it is: or nobody would ever
    /// serve again.
    pub fn quiescence_is_sound<'a>(&self, group: impl Iterator<Item = &'a Raft> + Clone) {
        if !group.clone().all(Raft::is_quiesced) {
            return;
        }
        let leader = group.clone().find(|raft| raft.role() == Role::Leader);
        let leader = leader.expect("a whole group is quiesced without a leader");
        for raft in group {
            assert_eq!(
                (raft.term(), raft.commit(), raft.last_index(), raft.leader()),
                (leader.term(), leader.commit(), leader.last_index(), Some(leader.id())),
                "replica {} is quiesced elsewhere than its leader {}",
                raft.id(),
                leader.id()
            );
        }
    }

    /// No log holds two changes of the members that are not committed.
    pub fn one_change_under_way(&self, disk: &Disk) {
        let uncommitted = disk.changes_above(self.greatest_commit());
        assert!(uncommitted <= 1, "a log holds {uncommitted} changes of members uncommitted");
    }

    /// What is committed stays, and is on the disks of a majority of each half of the voters when
    /// it first is.
    pub fn committed<'a>(&mut self, raft: &Raft, disk: impl Fn(ReplicaId) -> Option<&'a Disk>) {
        let seen = self.commits.insert(raft.id(), raft.commit()).unwrap_or(0);
        assert!(raft.commit() >= seen, "the commit index of replica {} fell", raft.id());
        let mut index = seen.max(raft.first_index() - 1) + 1;
        while index <= raft.commit() {
            let (term, _, last) =
                raft.batch_bounds(index).expect("committed entries are in the log");
            match self.committed.get(&last) {
                Some(&(known, _)) => {
                    assert_eq!(known, term, "index {last} was committed twice, differently")
                }
                None => {
                    let holds = |id| disk(id).is_some_and(|disk| disk.holds(term, last));
                    let configuration = raft.configuration();
                    assert_eq!(
                        configuration.reached(|id| u64::from(holds(id))),
                        1,
                        "index {last} is called committed, but too few disks of {configuration:?} \
                         hold it"
                    );
                    self.committed.insert(last, (term, raft.term()));
                }
            }
            index = last + 1;
        }
    }

    /// Log Matching: where two logs hold an entry of the same index and term, they are equal up to
    /// there.
    pub fn logs_match(&self, one: &Raft, other: &Raft) {
        let from = one.first_index().max(other.first_index());
        let to = one.last_index().min(other.last_index());
        let agree = |index: &Index| one.term_at(*index) == other.term_at(*index);
        let Some(last) = (from..=to).rev().find(agree) else { return };
        for index in from..=last {
            assert_eq!(
                one.batch_bounds(index),
                other.batch_bounds(index),
                "Log Matching: replicas {} and {} agree at {last} but not at {index}",
                one.id(),
                other.id()
            );
        }
    }
}
