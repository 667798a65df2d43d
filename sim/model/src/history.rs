//! What has happened, as an outside observer sees it, and what may never happen after it.

use doug_raft::{Batch, Index, Raft, ReplicaId, Role, Term};
use std::collections::BTreeMap;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// Two replicas led one term.
    TwoLeaders,
    /// A replica became leader without something committed before.
    LeaderIncomplete,
    /// Two replicas applied different batches at one index.
    Diverged,
    /// Something was called committed that is not on the disks of a quorum.
    NotDurable,
    /// A read's index does not cover what was committed when the read began.
    StaleRead,
    /// All replicas were quiesced, and none led them, or not all of them.
    QuiescedWithoutLeader,
}

/// All that was ever led, committed and read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    leaders: BTreeMap<Term, ReplicaId>,
    /// Last index and term of each batch that anyone applied, in order, and its bytes' checksum.
    committed: Vec<(Index, Term, u32)>,
    /// For each read under way: what was committed when it began.
    reads: BTreeMap<u64, Index>,
    next_read: u64,
    /// The first promise broken.
    pub violation: Option<Violation>,
}

impl History {
    fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// The last index that anyone applied.
    pub fn committed(&self) -> Index {
        self.committed.last().map_or(0, |(index, ..)| *index)
    }

    /// A replica leads.
    pub fn led(&mut self, raft: &Raft) {
        let (term, id) = (raft.term(), raft.id());
        if *self.leaders.entry(term).or_insert(id) != id {
            self.violate(Violation::TwoLeaders);
        }
        // Votes may be counted late: what a newer term committed is not this leader's to have.
        let mut earlier = self.committed.iter().filter(|(_, committed, _)| *committed < term);
        let complete = earlier.all(|&(index, committed, _)| raft.term_at(index) == Some(committed));
        if !complete {
            self.violate(Violation::LeaderIncomplete);
        }
    }

    /// A replica applies its `number`th batch. Says whether nobody had applied it before.
    pub fn applied(&mut self, number: usize, batch: &Batch) -> bool {
        let checksum = u32::from_le_bytes(batch.encoded[..4].try_into().expect("four bytes"));
        let entry = (batch.last(), batch.term, checksum);
        match self.committed.get(number) {
            Some(known) if *known == entry => false,
            Some(_) => {
                self.violate(Violation::Diverged);
                false
            }
            None => {
                self.committed.push(entry);
                true
            }
        }
    }

    /// A batch was applied for the first time anywhere, and `held` says whether a quorum holds it
    /// durably.
    pub fn check_durable(&mut self, held: bool) {
        if !held {
            self.violate(Violation::NotDurable);
        }
    }

    /// All replicas are quiesced: one must lead them all, or nobody ever serves again.
    pub fn all_quiesced<'a>(&mut self, replicas: impl Iterator<Item = &'a Raft> + Clone) {
        let leader = replicas.clone().find(|raft| raft.role() == Role::Leader);
        let led = leader.is_some_and(|leader| {
            let place =
                |raft: &Raft| (raft.leader(), raft.term(), raft.commit(), raft.last_index());
            replicas.clone().all(|raft| place(raft) == place(leader))
        });
        if !led {
            self.violate(Violation::QuiescedWithoutLeader);
        }
    }

    /// A read begins; the number names it.
    pub fn read_begins(&mut self) -> u64 {
        self.next_read += 1;
        self.reads.insert(self.next_read, self.committed());
        self.next_read
    }

    /// A read has got its index.
    pub fn read_ends(&mut self, read: u64, index: Index) {
        if self.reads.remove(&read).is_some_and(|needed| index < needed) {
            self.violate(Violation::StaleRead);
        }
    }

    /// A read is given up.
    pub fn read_aborted(&mut self, read: u64) {
        self.reads.remove(&read);
    }
}
