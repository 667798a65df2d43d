//! What must hold, each promise in a file of its own.

mod committed;
mod counters;
mod durability;
pub mod files;
mod floors;
mod freshness;
mod leaders;
mod log_matching;
mod machines;
mod members;
mod never_back;
mod past;
mod quiescence;
mod quorums;
mod refusals;
mod registers;
mod retries;
mod revisions;
pub(crate) mod scans;
mod times;
mod versions;
mod votes;
mod watches;

pub(crate) use quiescence::quiesced_without_leader;
pub use watches::WatchId;

use crate::history::{Action, Answer, Operation};
use crate::reference::Reference;
use doug_client::{At, Changes, Range};
use doug_node::apply::Checkpoint;
use doug_node::host::RestoredReplica;
use doug_node::host::wire::Route;
use doug_node::work::ApplyWork;
use doug_proto::ids::NodeId;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::v1::{self, PeerTurn};
use doug_raft::{Batch, Clock, Raft, Term};
use doug_storage::ReplicaKey;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Partitions whose group had a single voter once.
    decided_by_one_clock: BTreeSet<u64>,
    leaders: leaders::Leaders,
    members: members::Members,
    machines: machines::Machines,
    revisions: revisions::Revisions,
    freshness: freshness::Freshness,
    retries: retries::Retries,
    votes: votes::Votes,
    quorums: quorums::Quorums,
    never_back: never_back::NeverBack,
    quiescence: quiescence::Quiescence,
    refusals: refusals::Refusals,
    watches: watches::Watches,
    /// Whether volumes may be full: then replicas give up history on their own.
    pub may_give_up_history: bool,
    /// Programs and feature levels.
    pub versions: versions::Versions,
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

    /// The database begins with this map.
    pub fn begin(&mut self, map: &PartitionMap) {
        self.members.begin(map);
    }

    /// The last committed descriptor of a partition.
    pub fn descriptor(&self, partition: u64) -> Option<&Partition> {
        self.members.at(partition, u64::MAX).map(|(descriptor, _)| descriptor)
    }

    /// A leader has put a configuration into its log.
    ///
    /// # Errors
    /// It may not do so yet.
    pub fn proposed(&mut self, raft: &Raft, batch: &Batch) -> Result<(), Violation> {
        self.members.proposed(raft, batch)
    }

    /// A node has stored a map.
    ///
    /// # Errors
    /// Something of it falls, or contradicts what is committed.
    pub fn map_stored(&mut self, node: NodeId, map: &PartitionMap) -> Result<(), Violation> {
        self.members.map_stored(node, map)
    }

    /// A node begins to make a replica, or to remove one.
    ///
    /// # Errors
    /// A replica that was there before is made anew.
    pub fn changing(
        &mut self,
        node: NodeId,
        replica: ReplicaKey,
        makes: bool,
    ) -> Result<(), Violation> {
        self.members.changing(node, replica, makes)
    }

    /// The replica is durably there, or gone.
    pub fn changed(&mut self, node: NodeId, replica: ReplicaKey, is_there: bool) {
        self.members.changed(node, replica, is_there);
    }

    /// What a node found on its disk.
    ///
    /// # Errors
    /// It lacks what was durable.
    pub fn opened(
        &mut self,
        node: NodeId,
        map: Option<&PartitionMap>,
        live: &BTreeSet<ReplicaKey>,
        removed: &BTreeSet<ReplicaKey>,
    ) -> Result<(), Violation> {
        self.members.opened(node, map, live, removed)
    }

    /// A node is to come back as if it had never been there: a bug put in on purpose.
    pub fn forget(&mut self, node: NodeId) {
        self.members.forget(node);
        self.votes.forget(node);
    }

    /// A node sends a message of a replica.
    ///
    /// # Errors
    /// The replica is gone, or speaks from elsewhere too.
    pub fn speaks(&mut self, node: NodeId, route: Route) -> Result<(), Violation> {
        self.members.speaks(node, route)
    }

    /// A node sends what its replicas have to say.
    ///
    /// # Errors
    /// One votes twice in a term.
    pub fn sends(&mut self, node: NodeId, turn: &PeerTurn) -> Result<(), Violation> {
        self.quorums.sent(turn);
        self.quiescence.sent(&turn.messages);
        turn.messages.iter().try_for_each(|message| self.votes.sent(node, message))
    }

    /// A replica restarts with what its disk holds.
    ///
    /// # Errors
    /// It has forgotten a vote.
    pub fn voter_restored(&self, node: NodeId, found: &RestoredReplica) -> Result<(), Violation> {
        self.votes.restored(node, found)
    }

    /// A node's clock stands still or goes back: it cannot bound how stale its data is.
    pub fn distrust_clock(&mut self, node: usize) {
        self.freshness.distrust(node);
    }

    /// A replica says that it leads.
    ///
    /// # Errors
    /// Two leaders in a term, one without a majority, or one that lacks something committed.
    pub fn leads(&mut self, partition: u64, term: Term, raft: &Raft) -> Result<(), Violation> {
        self.leaders.leads(partition, term, raft.id())?;
        self.quorums.leads(raft)?;
        match self.references.get(&partition) {
            Some(reference) => committed::held_by_leader(reference, raft),
            None => Ok(()),
        }
    }

    /// A leader may have committed something.
    ///
    /// # Errors
    /// It may not have.
    pub fn commits(&mut self, leader: &Raft) -> Result<(), Violation> {
        self.quorums.commits(leader)
    }

    /// A node is about to apply what it takes for committed.
    ///
    /// # Errors
    /// Something else was committed there before, or its clock or stamp may not follow.
    ///
    /// `clock_bound` is the greatest clock that good wall clocks let a batch have by now. Returns
    /// descriptors that are committed by this for the first time, each with the one before.
    pub fn committed(
        &mut self,
        node: &str,
        work: &ApplyWork,
        clock_bound: Clock,
    ) -> Result<Vec<(Partition, Partition)>, Violation> {
        let reference = self.references.entry(work.replica.partition).or_default();
        let mut changes = Vec::new();
        for batch in work.batches.iter().map(|apply| &apply.batch) {
            let is_new = batch.base > reference.last();
            committed::commit(reference, node, batch)?;
            let alone = &mut self.decided_by_one_clock;
            times::note_voters(alone, batch);
            let bound = (!alone.contains(&work.replica.partition)).then_some(clock_bound);
            times::check(reference, batch, bound)?;
            if is_new {
                floors::check(reference, batch)?;
            }
            if is_new && batch.kind == doug_raft::BatchKind::Configuration {
                changes.extend(self.members.commit(batch)?);
            }
        }
        Ok(changes)
    }

    /// A node has applied everything up to an index.
    ///
    /// # Errors
    /// It went back.
    pub fn applied(
        &mut self,
        life: (usize, u64),
        replica: ReplicaKey,
        index: u64,
    ) -> Result<(), Violation> {
        self.revisions.applied(life, replica, index)
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
        let descriptor = self.members.at(partition, checkpoint.applied.index);
        if !self.may_give_up_history {
            floors::not_passed(node, reference, &checkpoint.view)?;
        }
        self.machines.compare(node, partition, checkpoint, (reference, descriptor))?;
        floors::compare(node, reference, &checkpoint.view)
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
    /// A leader is quiesced though not all have agreed; or all are quiesced, and none leads.
    pub fn check_quiescence(&self, partition: u64, replicas: &[&Raft]) -> Result<(), Violation> {
        self.quiescence.check(partition, replicas)
    }

    /// A replica serves a read from what it holds at this revision.
    ///
    /// # Errors
    /// It has served a later one.
    pub fn serves(
        &mut self,
        node: NodeId,
        replica: ReplicaKey,
        revision: u64,
    ) -> Result<(), Violation> {
        self.never_back.serves(node, replica, revision)
    }

    /// A replica has waited long enough for a leader, and may go back.
    pub fn may_go_back(&mut self, node: NodeId, replica: ReplicaKey) {
        self.never_back.forget(node, replica);
    }

    /// An operation ended, with an answer or without.
    ///
    /// # Errors
    /// The answer breaks a promise by itself.
    pub fn ended(&mut self, operation: Operation) -> Result<(), Violation> {
        if let Some((at, answer)) = &operation.answered {
            let reference = self.references.entry(operation.partition).or_default();
            if let Action::Past { key, at, reverse } = &operation.action {
                let asked = past::Asked { key: key.as_ref(), at: *at, reverse: *reverse };
                return past::answered(&operation, &asked, answer, reference);
            }
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

    /// A read of the past was refused, for it is compacted.
    ///
    /// # Errors
    /// It is not.
    pub fn compacted(
        &self,
        operation: &Operation,
        (partition, floor): (u64, v1::HistoryFloor),
    ) -> Result<(), Violation> {
        let Some(reference) = self.references.get(&partition) else { return Ok(()) };
        past::refused(operation, floor, reference, self.may_give_up_history)
    }

    /// A watch begins, at these revisions of its partitions unless it names a moment.
    pub fn watch_begins(&mut self, watch: WatchId, places: &[(u64, u64)], at: Option<At>) {
        let place = |(partition, place): &(u64, u64)| {
            let of = self.references.get(partition).zip(at);
            let revision = of.and_then(|(reference, at)| past::revision_at(reference, at));
            (*partition, revision.unwrap_or(*place))
        };
        self.watches.begins(watch, &places.iter().map(place).collect::<Vec<_>>());
    }

    /// A watch is told what has changed.
    ///
    /// # Errors
    /// It is not that.
    pub fn watch_told(
        &mut self,
        watch: WatchId,
        range: &Range,
        changes: &Changes,
    ) -> Result<(), Violation> {
        let Some(reference) = self.references.get(&changes.partition) else { return Ok(()) };
        self.watches.told(watch, range, changes, reference)
    }

    /// A watch has ended, for what it is to be told is compacted.
    ///
    /// # Errors
    /// It is not.
    pub fn watch_compacted(
        &self,
        watch: WatchId,
        (partition, floor): (u64, v1::HistoryFloor),
    ) -> Result<(), Violation> {
        let Some(reference) = self.references.get(&partition) else { return Ok(()) };
        let may = self.may_give_up_history;
        self.watches.compacted(watch, (partition, floor), reference, may)
    }

    /// A watch was not begun at a moment, for that is compacted.
    ///
    /// # Errors
    /// It is not.
    pub fn watch_refused(
        &self,
        watch: WatchId,
        at: At,
        (partition, floor): (u64, v1::HistoryFloor),
    ) -> Result<(), Violation> {
        let Some(reference) = self.references.get(&partition) else { return Ok(()) };
        if past::is_below(at, floor, reference) || self.may_give_up_history {
            return Ok(());
        }
        let what = format!("watch {watch:?} was refused at {at:?}: the floor is {floor:?}");
        Err(Violation::new("watches end for a reason", what))
    }

    /// A watch that has not been told all yet, if there is one.
    pub fn watch_behind(&self, range_of: impl Fn(WatchId) -> Option<Range>) -> Option<String> {
        self.watches.behind(range_of, |partition| self.references.get(&partition))
    }

    /// A write was refused, with the promise that it never will be applied.
    pub fn refused(&mut self, operation: Operation) {
        self.refusals.note(&operation);
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
        self.refusals.judge(&self.references)?;
        durability::acknowledged_is_committed(&self.history, &self.references)?;
        counters::judge(&self.history, &self.references)?;
        registers::judge(&self.history)
    }
}
