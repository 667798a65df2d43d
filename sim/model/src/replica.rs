//! One replica: the core that ships, and its disk.

use doug_raft::{
    Batch, BatchTime, Config, Effect, LogWrite, Membership, PartitionId, Raft, ReplicaId, Restored,
    Term, Ticket, Time,
};
use std::collections::VecDeque;

/// Nothing waits for time here.
const NOW: Time = Time(1);

/// A replica and its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// The core.
    pub raft: Raft,
    base: Membership,
    term: Term,
    vote: Option<ReplicaId>,
    batches: Vec<Batch>,
    /// Written and not yet durable, in order.
    unsynced: VecDeque<(Ticket, LogWrite)>,
    /// Batches applied since it started.
    applied: usize,
}

impl Replica {
    /// A replica with an empty disk. Without a membership it is one that was created to be a
    /// learner.
    pub fn new(id: ReplicaId, base: Membership) -> Replica {
        Replica {
            raft: start(id, Restored::empty(base.clone())),
            base,
            term: 0,
            vote: None,
            batches: Vec::new(),
            unsynced: VecDeque::new(),
            applied: 0,
        }
    }

    /// The process dies and starts again. What was not durable is gone; what was applied is applied
    /// again.
    pub fn crash(&mut self) {
        let restored = Restored {
            term: self.term,
            vote: self.vote,
            membership: self.base.clone(),
            snapshot: (0, 0),
            snapshot_time: BatchTime::default(),
            applied: 0,
            commit: 0,
            batches: self.batches.clone(),
            ambiguous_tail: false,
        };
        self.raft = start(self.raft.id(), restored);
        self.unsynced.clear();
        self.applied = 0;
    }

    /// Whether something waits for the disk.
    pub fn is_writing(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// All that was written becomes durable.
    pub fn sync(&mut self) {
        let mut last = None;
        for (ticket, record) in self.unsynced.drain(..) {
            last = Some(ticket);
            match record {
                LogWrite::HardState { term, vote } => (self.term, self.vote) = (term, vote),
                LogWrite::Append(batch) => {
                    self.batches.retain(|held| held.base < batch.base);
                    self.batches.push(batch);
                }
            }
        }
        if let Some(ticket) = last {
            self.raft.persisted(NOW, ticket);
        }
    }

    /// Writes what the core asked to be written, and returns what else it wants done.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        let (records, others): (Vec<_>, Vec<_>) = self
            .raft
            .take_effects()
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Persist { .. }));
        self.unsynced.extend(records.into_iter().filter_map(|effect| match effect {
            Effect::Persist { ticket, record } => Some((ticket, record)),
            _ => None,
        }));
        others
    }

    /// The number, from 0, of the batch it applies next since its start.
    pub fn apply(&mut self, batch: &Batch) -> usize {
        self.raft.applied(batch.last());
        self.applied += 1;
        self.applied - 1
    }

    /// Whether its disk holds this batch.
    pub fn holds(&self, batch: &Batch) -> bool {
        self.batches.iter().any(|held| held.base == batch.base && held.term == batch.term)
    }

    /// Does something to the core.
    pub fn act<T>(&mut self, action: impl FnOnce(&mut Raft, Time) -> T) -> T {
        action(&mut self.raft, NOW)
    }
}

fn start(id: ReplicaId, restored: Restored) -> Raft {
    let mut config = Config::new(PartitionId(1), id, 1);
    // What only keeps elections rare is off: safety must not hang on it.
    config.pre_vote = false;
    config.check_quorum = false;
    Raft::new(config, restored, NOW)
}
