//! What must hold, each promise in a file of its own.

mod committed;
mod durability;
mod freshness;
mod leaders;
pub mod linearizability;
mod log_matching;
mod machines;
mod registers;
mod retries;
mod revisions;
mod scans;
mod sleepers;

use crate::history::{Answer, Operation};
use crate::reference::Reference;
use doug_node::apply::Checkpoint;
use doug_node::host::ApplyWork;
use doug_raft::{Raft, Term};
use std::collections::BTreeMap;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the checker.
    pub checker: &'static str,
    /// What was seen, in a sentence.
    pub what: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(checker: &'static str, what: String) -> Self {
        Self { checker, what }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}

/// All checkers and what they remember.
#[derive(Debug, Default)]
pub struct Checks {
    references: BTreeMap<u64, Reference>,
    leaders: leaders::Leaders,
    machines: machines::Machines,
    revisions: revisions::Revisions,
    freshness: freshness::Freshness,
    retries: retries::Retries,
    history: Vec<Operation>,
}

/// The verdicts over a whole history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Keys whose operations were proved linearizable.
    pub keys: u64,
    /// Keys whose search was given up.
    pub too_hard: u64,
}

impl Checks {
    /// What a partition must be.
    pub fn reference(&self, partition: u64) -> Option<&Reference> {
        self.references.get(&partition)
    }

    /// A node's clock stands still or goes back: it cannot bound how stale its data is.
    pub fn distrust_clock(&mut self, node: usize) {
        self.freshness.distrust(node);
    }

    /// A replica says that it leads.
    ///
    /// # Errors
    /// Two leaders in a term, or one that lacks something committed.
    pub fn leads(&mut self, partition: u64, term: Term, raft: &Raft) -> Result<(), Violation> {
        self.leaders.leads(partition, term, raft.id())?;
        match self.references.get(&partition) {
            Some(reference) => committed::held_by_leader(reference, raft),
            None => Ok(()),
        }
    }

    /// A node is about to apply what it takes for committed.
    ///
    /// # Errors
    /// Something else was committed there before.
    pub fn committed(&mut self, node: &str, work: &ApplyWork) -> Result<(), Violation> {
        let reference = self.references.entry(work.replica.partition).or_default();
        let mut batches = work.batches.iter().map(|apply| &apply.batch);
        batches.try_for_each(|batch| committed::commit(reference, node, batch))
    }

    /// A node has applied everything up to an index.
    ///
    /// # Errors
    /// It went back.
    pub fn applied(&mut self, life: (usize, u64), part: u64, index: u64) -> Result<(), Violation> {
        self.revisions.applied(life, part, index)
    }

    /// Compares a replica with what it must be.
    ///
    /// # Errors
    /// A difference in any byte.
    pub fn machine(
        &mut self,
        node: &str,
        partition: u64,
        checkpoint: &Checkpoint,
    ) -> Result<(), Violation> {
        let reference = self.references.entry(partition).or_default();
        self.machines.compare(node, partition, checkpoint, reference)
    }

    /// Two replicas' logs, at one moment.
    ///
    /// # Errors
    /// They agree at some place and differ below it.
    pub fn logs(&self, first: &Raft, second: &Raft) -> Result<(), Violation> {
        log_matching::compare(first, second)
    }

    /// All replicas of a partition that run, at one moment.
    ///
    /// # Errors
    /// All sleep, and none of them leads.
    pub fn sleep(&self, partition: u64, replicas: &[&Raft]) -> Result<(), Violation> {
        sleepers::check(partition, replicas)
    }

    /// An operation ended, with an answer or without.
    ///
    /// # Errors
    /// The answer breaks a promise by itself.
    pub fn ended(&mut self, operation: Operation) -> Result<(), Violation> {
        if let Some((at, answer)) = &operation.answered {
            let reference = self.references.entry(operation.partition).or_default();
            self.freshness.check(&operation, answer)?;
            self.revisions.answered(&operation, answer, reference)?;
            self.retries.answered(operation.partition, &operation.action, answer)?;
            if let Answer::Scanned { revision, entries } = answer {
                scans::compare(&operation, reference, *revision, entries)?;
            }
            self.freshness.note(operation.partition, *at, answer);
        }
        self.history.push(operation);
        Ok(())
    }

    /// Operations that ended.
    pub fn history(&self) -> &[Operation] {
        &self.history
    }

    /// Everything has calmed down: looks at the whole history.
    ///
    /// # Errors
    /// What only the whole shows.
    pub fn finish(&mut self) -> Result<Judged, Violation> {
        for (partition, reference) in &self.references {
            retries::once(*partition, reference)?;
        }
        durability::acknowledged_is_committed(&self.history, &self.references)?;
        registers::judge(&self.history)
    }
}
