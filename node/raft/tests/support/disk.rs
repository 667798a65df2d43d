//! A replica's disk: what was written survives a crash only once it is durable.

use std::collections::VecDeque;

use doug_raft::{
    Batch, BatchTime, Configuration, Index, LogWrite, Membership, ReplicaId, Restored, Term, Ticket,
};

/// The state machine: the encoded batches applied, the index they reach to, and the membership as
/// of there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub applied: Index,
    pub membership: Membership,
    pub history: Vec<Batch>,
}

/// The configuration that a batch brings, if it is one of those.
pub fn configuration_of(batch: &Batch) -> Option<Configuration> {
    let command = batch.commands().next().filter(|_| batch.kind.is_membership())?;
    Some(Membership::decode(&command).expect("it was read before").configuration)
}

impl Machine {
    /// Clock and stamp of the last batch applied.
    pub fn time(&self) -> BatchTime {
        self.history.last().map_or(BatchTime::default(), |batch| batch.time)
    }

    pub fn apply(&mut self, batch: &Batch) {
        assert_eq!(batch.base, self.applied + 1, "{batch} was handed out after {}", self.applied);
        assert!(!batch.encoded.is_empty(), "{batch} was handed out without its bytes");
        self.applied = batch.last();
        if let Some(configuration) = configuration_of(batch) {
            self.membership = Membership::of(configuration);
        }
        self.history.push(batch.clone());
    }
}

#[derive(Clone, Debug)]
struct Pending {
    ticket: Ticket,
    record: LogWrite,
    commit: Index,
}

#[derive(Clone, Debug)]
pub struct Disk {
    term: Term,
    vote: Option<ReplicaId>,
    commit: Index,
    snapshot: (Index, Term),
    machine: Machine,
    batches: Vec<Batch>,
    pending: VecDeque<Pending>,
    /// Records may be lost at the end, and the replica does not know yet which.
    pub ambiguous: bool,
    /// The log and the commit index as they were before the last record, if that is a batch: no
    /// later one proves it.
    before_last: Option<(Vec<Batch>, Index)>,
    /// What was durable, and acknowledged perhaps, before damage to the tail.
    lost: Vec<Batch>,
}

impl Disk {
    pub fn new(configuration: Configuration) -> Disk {
        Disk {
            term: 0,
            vote: None,
            commit: 0,
            snapshot: (0, 0),
            machine: Machine { membership: Membership::of(configuration), ..Machine::default() },
            batches: Vec::new(),
            pending: VecDeque::new(),
            ambiguous: false,
            before_last: None,
            lost: Vec::new(),
        }
    }

    pub fn with(mut self, term: Term, batches: Vec<Batch>) -> Disk {
        self.term = term;
        self.batches = batches;
        self
    }

    pub fn write(&mut self, ticket: Ticket, record: LogWrite, commit: Index) {
        self.pending.push_back(Pending { ticket, record, commit });
    }

    /// Everything up to `ticket` becomes durable.
    pub fn sync(&mut self, ticket: Ticket) {
        while self.pending.front().is_some_and(|pending| pending.ticket <= ticket) {
            self.sync_one();
        }
    }

    fn sync_one(&mut self) {
        let Some(Pending { record, commit, .. }) = self.pending.pop_front() else { return };
        match record {
            // Marked before anything is said in that term, and with it all that came before.
            LogWrite::HardState { term, vote } => {
                (self.term, self.vote) = (term, vote);
                self.before_last = None;
            }
            LogWrite::Append(batch) => {
                self.before_last = Some((self.batches.clone(), self.commit));
                self.batches.retain(|old| old.base < batch.base);
                let end = self.batches.last().map_or(self.snapshot.0, Batch::last);
                assert_eq!(batch.base, end + 1, "{batch} was written after {end}");
                self.batches.push(batch);
            }
        }
        let end = self.batches.last().map_or(self.snapshot.0, Batch::last);
        self.commit = self.commit.max(commit.min(end));
    }

    /// Power is lost: of what is pending, the first `kept` records happen to be whole.
    pub fn crash(&mut self, kept: usize) {
        for _ in 0..kept.min(self.pending.len()) {
            self.sync_one();
        }
        self.pending.clear();
    }

    /// The last record becomes unreadable, if it is a batch, and is cut like a torn write: what it
    /// replaced is there again. Says whether there was one.
    pub fn lose_tail(&mut self) -> bool {
        let Some((before, commit)) = self.before_last.take() else { return false };
        let lost = self.batches.iter().filter(|batch| !before.contains(batch));
        self.lost.extend(lost.cloned());
        (self.batches, self.commit) = (before, commit);
        self.ambiguous = true;
        true
    }

    /// Whether it lacks something that it acknowledged.
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The replica holds again whatever matters of what was lost.
    pub fn tail_repaired(&mut self) {
        self.ambiguous = false;
        self.lost.clear();
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn restart(&self) -> (Restored, Machine) {
        let restored = Restored {
            term: self.term,
            vote: self.vote,
            membership: self.machine.membership.clone(),
            snapshot: self.snapshot,
            snapshot_time: self.machine.time(),
            applied: self.snapshot.0,
            commit: self.commit.max(self.snapshot.0),
            batches: self.batches.clone(),
            ambiguous_tail: self.ambiguous,
        };
        (restored, self.machine.clone())
    }

    /// Flushes the state machine, whose last entry is of `term`; the log up to there is no longer
    /// needed.
    pub fn flush(&mut self, machine: &Machine, term: Term) {
        self.machine = machine.clone();
        self.snapshot = (machine.applied, term);
        // The manifest has what is in tables, and where the log begins.
        self.before_last = None;
        self.batches.retain(|batch| batch.last() > machine.applied);
    }

    /// Takes in another replica's state. The log stays if it goes on from there, as the core
    /// decided.
    pub fn install(&mut self, machine: &Machine, term: Term, log_stays: bool) {
        assert!(self.pending.is_empty(), "what the core decided about is not what the disk holds");
        if !log_stays {
            self.batches.clear();
        }
        self.flush(machine, term);
    }

    pub fn read(&self, from: Index, to: Index) -> Vec<Batch> {
        self.batches
            .iter()
            .filter(|batch| from <= batch.base && batch.last() <= to)
            .cloned()
            .collect()
    }

    /// The configuration as of what the state machine holds.
    pub fn configuration(&self) -> Configuration {
        self.machine.membership.configuration.clone()
    }

    /// The configuration in force at the end of the log.
    pub fn latest_configuration(&self) -> Configuration {
        let latest = self.batches.iter().rev().find_map(configuration_of);
        latest.unwrap_or_else(|| self.configuration())
    }

    /// Changes of the members in the log above `index`.
    pub fn changes_above(&self, index: Index) -> usize {
        let is_change = |batch: &&Batch| batch.base > index && configuration_of(batch).is_some();
        self.batches.iter().filter(is_change).count()
    }

    /// Whether this batch is durable here, in the log or in the state machine.
    pub fn holds(&self, term: Term, last: Index) -> bool {
        let mut written = self.batches.iter().chain(&self.lost);
        let in_log = written.any(|batch| batch.last() == last && batch.term == term);
        in_log || self.machine.applied >= last
    }
}
