//! The end of a run: faults stop, and everything must be well in time. Nodes run and have applied
//! all, members are where they are to be, those left out are gone, clients rest.

use crate::checks::{Judged, Violation};
use crate::events::Event;
use crate::node::{AMBIGUITY_PATIENCE, Process};
use crate::time::{millis, seconds};
use crate::upgrades::NEW;
use crate::world::World;
use doug_proto::map::Partition;
use doug_storage::ReplicaKey;
use std::time::Duration;

/// After faults stop, everything must be well within this time.
const RECOVERY: Duration = seconds(20);
/// Pause between two looks at whether it is.
const LOOK: Duration = millis(100);

impl World {
    /// Ends all faults, waits until everything is well, and judges the history.
    ///
    /// # Errors
    /// A promise broken, or no recovery in time.
    pub fn recover(&mut self) -> Result<Judged, Violation> {
        self.heal();
        self.upgrade_all();
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() {
                let delay = self.random.duration_below(millis(500));
                self.cx.after(delay, Event::Start { node });
            }
        }
        let partitions = self.cx.database.written();
        self.clients.iter_mut().for_each(|client| client.rest_after(&partitions));
        self.library.rest_after(&partitions);
        let healed = self.cx.now;
        let mut allowed = RECOVERY;
        while let Some(why) = self.unwell() {
            // A group of which a bare majority is left, one of them in doubt about its log's end,
            // elects nobody for that long.
            if self.nodes.iter().flat_map(|node| &node.process).any(|p| p.ambiguous_tails() > 0) {
                allowed = RECOVERY + AMBIGUITY_PATIENCE;
            }
            if self.cx.now > healed + allowed {
                let what = format!("{} s after the faults stopped, {why}", allowed.as_secs());
                return Err(Violation::new("recovers when faults stop", what));
            }
            self.run_until(self.cx.now + LOOK)?;
        }
        let took = (self.cx.now - healed).as_millis();
        self.tell(&format!("everything is well again after {took} ms"));
        self.compare_machines()?;
        self.compare_files()?;
        let judged = self.cx.checks.finish()?;
        self.cx.coverage.add("keys judged linearizable", judged.keys);
        self.cx.coverage.add("keys too hard to judge", judged.too_hard);
        Ok(judged)
    }

    /// Why not everything is well, if so.
    pub(crate) fn unwell(&self) -> Option<String> {
        let down = self.nodes.iter().find(|node| node.process.is_none());
        if let Some(node) = down {
            return Some(format!("{} is down", node.name));
        }
        if let Some(why) = self.operator.is_busy() {
            return Some(why);
        }
        let partitions = self.cx.database.partitions();
        let descriptors = partitions.into_iter().filter_map(|id| self.cx.checks.descriptor(id));
        let descriptors: Vec<&Partition> = descriptors.collect();
        descriptors
            .iter()
            .find_map(|descriptor| self.unsettled(descriptor))
            .or_else(|| descriptors.iter().find_map(|descriptor| self.expiring(descriptor.id)))
            .or_else(|| self.processes().find_map(|process| self.behind(process, &descriptors)))
            .or_else(|| {
                let restless = self.clients.iter().position(|client| !client.rests())?;
                Some(format!("client {restless} still waits for answers"))
            })
            .or_else(|| self.library.unwell())
            .or_else(|| self.cx.checks.watch_behind(|id| self.library.watched(id)))
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.nodes.iter().filter_map(|node| node.process.as_ref())
    }

    /// A key that is to expire and has not: all live for less than the recovery may take, and
    /// nobody writes any more, so that quiesced partitions have to do it by themselves.
    fn expiring(&self, partition: u64) -> Option<String> {
        let next = self.cx.checks.reference(partition)?.next_expiry()?;
        Some(format!("a key of partition {partition} has not expired, which is due at {next} ms"))
    }

    /// Why a partition is not where it is to be.
    fn unsettled(&self, descriptor: &Partition) -> Option<String> {
        let id = descriptor.id;
        if let Some(goal) = &descriptor.goal {
            return Some(format!(
                "partition {id} has not reached its goal {goal:?}: {descriptor:?}"
            ));
        }
        if !descriptor.outgoing.is_empty() || !descriptor.learners.is_empty() {
            return Some(format!("partition {id} is not at rest: {descriptor:?}"));
        }
        descriptor.voters.iter().find_map(|voter| {
            let index = self.cx.database.index_of(voter.node)?;
            let node = &self.nodes[index];
            if node.id != voter.node {
                return Some(format!("{} lost its volume and is not replaced in {id}", node.name));
            }
            let key = ReplicaKey { partition: id, replica: voter.replica };
            let process = node.process.as_ref()?;
            let lacks = process.partition(key).is_none();
            lacks.then(|| format!("{} does not run replica {key}", node.name))
        })
    }

    /// Why a node has not come to the end of it all.
    fn behind(&self, process: &Process, descriptors: &[&Partition]) -> Option<String> {
        let name = process.name();
        let Some(map) = process.map() else {
            return Some(format!("{name} belongs to no database"));
        };
        let old = descriptors.iter().find(|d| map.partition(d.id) != Some(d));
        if let Some(descriptor) = old {
            let (id, generation) = (descriptor.id, descriptor.generation);
            return Some(format!("the map of {name} lacks generation {generation} of {id}"));
        }
        for key in process.store().replicas().into_keys() {
            let descriptor = descriptors.iter().find(|d| d.id == key.partition)?;
            if descriptor.member(key.replica).is_none() {
                return Some(format!("{name} still holds replica {key}, which was left out"));
            }
        }
        if process.lacks_creation() {
            return Some(format!("the catalog on {name} has no creation document"));
        }
        if process.has_leaving() {
            return Some(format!("{name} has replicas on their way out"));
        }
        let low = |partition: &&u64| process.partitions()[partition].feature_level() < NEW;
        if let Some(id) = process.partitions().keys().find(low) {
            return Some(format!("partition {id} is still below level {NEW} on {name}"));
        }
        if process.is_full() {
            return Some(format!("{name} refuses writes: its volume is full"));
        }
        process.partitions().iter().find_map(|(id, partition)| {
            let committed = self.cx.checks.reference(*id).map_or(0, |r| r.last());
            let applied = partition.applied().index;
            let lacks = applied != committed;
            lacks.then(|| format!("{name} has applied {applied} of {committed} in partition {id}"))
        })
    }
}
