//! What nodes hold is compared: logs all along, state machines and files once all is well.

use crate::checks::{Violation, files};
use crate::events::Event;
use crate::node::{Node, Process};
use crate::time::{millis, seconds};
use crate::world::World;

/// Milliseconds in which all nodes must be found idle at once, for their files to be compared.
const CALM: u32 = 5_000;

impl World {
    /// Compares the logs of all replicas, now.
    pub(crate) fn compare_logs(&mut self) -> Result<(), Violation> {
        if self.cx.now.elapsed().subsec_nanos() == 0 {
            self.cx.schedule.add(self.cx.now + seconds(1), Event::Compare);
        }
        for process in self.nodes.iter().filter_map(|node| node.process.as_ref()) {
            process.check_quiesced()?;
        }
        for partition in self.cx.database.partitions() {
            let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
            let logs: Vec<_> = processes.filter_map(|process| process.raft(partition)).collect();
            // Only voters quiesce together: learners and those left out have no say.
            let descriptor = self.cx.checks.descriptor(partition);
            let votes = |raft: &&&doug_raft::Raft| {
                descriptor.is_some_and(|d| d.voters.iter().any(|v| v.replica == raft.id().0))
            };
            let voters: Vec<_> = logs.iter().filter(votes).copied().collect();
            self.cx.checks.check_quiescence(partition, &voters)?;
            if logs.iter().all(|raft| raft.is_quiesced()) {
                self.cx.coverage.hit("whole partition quiesced");
            }
            for (place, first) in logs.iter().enumerate() {
                for second in &logs[place + 1..] {
                    self.cx.checks.logs(first, second)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn compare_machines(&mut self) -> Result<(), Violation> {
        for node in &self.nodes {
            let Some(process) = &node.process else { continue };
            if self.cx.losses.was_damaged(node.id) {
                continue;
            }
            for (id, partition) in process.partitions() {
                self.cx.checks.machine(&node.name, *id, &partition.checkpoint())?;
            }
        }
        Ok(())
    }

    /// Waits until nothing is done behind the scenes any more, and looks at the disks; again if a
    /// file is left over, for what was in use when it became obsolete goes with the next tidying.
    pub(crate) fn compare_files(&mut self) -> Result<(), Violation> {
        if self.calm_down()? && self.account_for_files().is_err() && self.calm_down()? {
            self.account_for_files()?;
        }
        Ok(())
    }

    /// Whether nothing was done behind the scenes in the end.
    fn calm_down(&mut self) -> Result<bool, Violation> {
        // Time to give up what is idle, twice over.
        let (now, mut rounds) = (self.cx.now, 0);
        self.run_until(now + seconds(2))?;
        let idle = |node: &Node| node.process.as_ref().is_some_and(Process::is_idle);
        while !(self.snapshots.is_empty() && self.nodes.iter().all(idle)) {
            rounds += 1;
            if rounds > CALM {
                self.cx.coverage.hit("files not compared: never calm");
                return Ok(false);
            }
            self.run_until(self.cx.now + millis(1))?;
        }
        Ok(true)
    }

    fn account_for_files(&mut self) -> Result<(), Violation> {
        for node in &self.nodes {
            let Some(process) = &node.process else { continue };
            if self.cx.losses.was_damaged(node.id) {
                continue;
            }
            let (known, present) = (process.store().files(), node.disk.files());
            files::compare(&node.name, &known, process.spare_files(), &present)?;
            self.cx.coverage.add("files accounted for", present.len() as u64);
        }
        Ok(())
    }
}
