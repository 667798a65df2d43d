//! What was lost, exactly: everything up to the survivor's last index is there, in the same order;
//! of what was acknowledged before, nothing is missing that any survivor held; of what was
//! acknowledged since, nothing at all.

use bytes::Bytes;
use doug_raft::{Batch, BatchKind, RECOVERY_INDEXES};
use std::collections::BTreeMap;

/// A write that was answered, and where it stands in the log.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub index: u64,
    pub command: Bytes,
}

/// How a partition began anew.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The log of each survivor then.
    pub survivors: Vec<Vec<Batch>>,
    /// The end of the log that was chosen.
    pub kept: u64,
}

/// One partition: what its group has committed, and what was answered.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Committed batches of the group, by base; of the new one, once it began anew.
    log: BTreeMap<u64, Batch>,
    before: Vec<Acknowledged>,
    since: Vec<Acknowledged>,
    pub begun: Option<Begun>,
}

impl Ledger {
    /// A replica of the group applies a batch.
    pub fn applied(&mut self, batch: &Batch) -> Result<(), String> {
        let known = self.log.entry(batch.base).or_insert_with(|| batch.clone());
        if known.encoded != batch.encoded {
            return Err(format!("{batch:?} was committed where {known:?} had been"));
        }
        Ok(())
    }

    /// A client of the group has its answer.
    pub fn acknowledged(&mut self, index: u64, command: Bytes) {
        let acknowledged = Acknowledged { index, command };
        match self.begun {
            None => self.before.push(acknowledged),
            Some(_) => self.since.push(acknowledged),
        }
    }

    /// The group begins anew: what follows is of the new one, and what the lost one committed
    /// above the log of its survivor is in no log any more.
    pub fn begin_anew(&mut self, begun: Begun, chosen: &[Batch]) {
        self.log = chosen.iter().map(|batch| (batch.base, batch.clone())).collect();
        self.begun = Some(begun);
    }

    pub fn acknowledgements(&self) -> usize {
        self.before.len() + self.since.len()
    }

    pub fn greatest_acknowledged_before(&self) -> u64 {
        self.before.iter().map(|one| one.index).max().unwrap_or(0)
    }

    /// How many acknowledged writes were lost.
    pub fn judge(&self) -> Result<usize, String> {
        self.follows_without_gap()?;
        for write in &self.since {
            self.holds(write).then_some(()).ok_or_else(|| {
                format!("index {} was acknowledged since the group began anew", write.index)
            })?;
        }
        let Some(begun) = &self.begun else {
            return match self.before.iter().find(|write| !self.holds(write)) {
                Some(write) => Err(format!("index {} is lost, with a quorum", write.index)),
                None => Ok(0),
            };
        };
        let lost: Vec<_> = self.before.iter().filter(|write| !self.holds(write)).collect();
        for write in &lost {
            let held = |log: &Vec<Batch>| log.iter().any(|batch| is_in(batch, write));
            if begun.survivors.iter().any(held) {
                return Err(format!("index {} is lost, and a survivor held it", write.index));
            }
        }
        self.skips_indexes(begun)?;
        Ok(lost.len())
    }

    fn holds(&self, write: &Acknowledged) -> bool {
        self.log.range(..=write.index).next_back().is_some_and(|(_, batch)| is_in(batch, write))
    }

    fn follows_without_gap(&self) -> Result<(), String> {
        let mut next = 1;
        for batch in self.log.values() {
            if batch.base != next {
                return Err(format!("{batch:?} follows index {}", next - 1));
            }
            next = batch.last() + 1;
        }
        Ok(())
    }

    /// No index that the lost group may have used is given a second time.
    fn skips_indexes(&self, begun: &Begun) -> Result<(), String> {
        let first = self.log.range(begun.kept + 1..).next().map(|(_, batch)| batch);
        match first {
            Some(batch) if batch.kind == BatchKind::Recovery && batch.base == begun.kept + 1 => {}
            other => return Err(format!("the new group begins with {other:?}")),
        }
        let resumed = begun.kept + u64::from(RECOVERY_INDEXES);
        // A survivor that had led may answer now what it had proposed then.
        let between = |write: &&Acknowledged| begun.kept < write.index && write.index <= resumed;
        match self.since.iter().find(between) {
            Some(write) => Err(format!("index {} may be given twice", write.index)),
            None => Ok(()),
        }
    }
}

fn is_in(batch: &Batch, write: &Acknowledged) -> bool {
    batch.kind == BatchKind::Commands
        && (batch.base..=batch.last()).contains(&write.index)
        && batch.commands().nth((write.index - batch.base) as usize).as_ref()
            == Some(&write.command)
}
