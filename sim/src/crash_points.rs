//! Named moments in the product's code at which the power may fail.

use doug_sim_disk::SimDisk;
use doug_storage::simulation::observe;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Every name in the code. A run that reaches another one is a mistake in this list.
pub const CRASH_POINTS: [&str; 69] = [
    "apply: batch begun",
    "apply: batch done",
    "compaction: published",
    "compaction: step",
    "compaction: table sinks",
    "compaction: tables complete",
    "compaction: to be published",
    "flush: published",
    "flush: step",
    "flush: tables complete",
    "flush: to be published",
    "joining: begun",
    "joining: durable",
    "log recovery: ambiguous tails noted",
    "log recovery: done",
    "log recovery: sealed room released",
    "log recovery: tail durable",
    "log recovery: tail sealed",
    "log retirement: done",
    "log retirement: renamed",
    "log retirement: survivors copied",
    "log retirement: survivors moved",
    "log segment: header synced",
    "log segment: header written",
    "log segment: in force",
    "log segment: renamed",
    "log segment: room allocated",
    "log tail repaired: durable",
    "log: durability marked",
    "log: records synced",
    "log: records written",
    "log: switch of segments begun",
    "manifest switch: CURRENT renamed",
    "manifest switch: CURRENT.tmp written",
    "manifest switch: in force",
    "manifest switch: names synced",
    "manifest switch: new one written",
    "manifest switch: old one removed",
    "manifest: edit synced",
    "manifest: edit written",
    "manifest: leftover removed",
    "manifest: mark synced",
    "manifest: mark written",
    "map stored: begun",
    "map stored: durable",
    "node joining: begun",
    "node joining: durable",
    "replica fenced: begun",
    "replica fenced: durable",
    "replica made: begun",
    "replica made: durable",
    "replica removed: begun",
    "replica removed: tables deleted",
    "replica removed: tombstone durable",
    "snapshot installed: published",
    "snapshot installed: table linked",
    "snapshot installed: to be published",
    "snapshot kept: description synced",
    "snapshot kept: done",
    "snapshot kept: table linked",
    "snapshot received: chunk noted",
    "snapshot received: chunk written",
    "snapshot received: table renamed",
    "snapshot received: table synced",
    "table: created",
    "table: deleted",
    "table: name synced",
    "table: synced",
    "table: written",
];

/// Those that only a change of members, or damage, leads past: armed where that comes.
pub const OF_MEMBERS: [&str; 11] = [
    "map stored: begun",
    "map stored: durable",
    "node joining: begun",
    "node joining: durable",
    "replica fenced: begun",
    "replica fenced: durable",
    "replica made: begun",
    "replica made: durable",
    "replica removed: begun",
    "replica removed: tables deleted",
    "replica removed: tombstone durable",
];

/// Which node crashes where.
#[derive(Debug, Default)]
pub struct CrashPoints {
    cuts: Rc<RefCell<PowerCuts>>,
}

#[derive(Default)]
struct PowerCuts {
    /// The node whose code runs now.
    at: Option<usize>,
    disks: BTreeMap<usize, SimDisk>,
    armed: BTreeMap<usize, &'static str>,
    hit: Option<&'static str>,
}

impl std::fmt::Debug for PowerCuts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PowerCuts").field("at", &self.at).field("armed", &self.armed).finish()
    }
}

impl CrashPoints {
    /// Lets this thread's code report to these.
    pub fn listen(&self) {
        let cuts = self.cuts.clone();
        observe(Some(Box::new(move |name| cuts.borrow_mut().reach(name))));
    }

    /// From now on the code of this node runs.
    pub fn enter(&self, node: usize) {
        self.cuts.borrow_mut().at = Some(node);
    }

    /// A node's disk, from now on.
    pub fn place(&self, node: usize, disk: &SimDisk) {
        self.cuts.borrow_mut().disks.insert(node, disk.clone());
    }

    /// Cuts the power when the node reaches that point, in this process or a later one.
    pub fn arm(&self, node: usize, point: &'static str) {
        self.cuts.borrow_mut().armed.insert(node, point);
    }

    /// Calls off what is armed.
    pub fn disarm(&self) {
        self.cuts.borrow_mut().armed.clear();
    }

    /// The point at which the power was just cut.
    pub fn take_hit(&self) -> Option<&'static str> {
        self.cuts.borrow_mut().hit.take()
    }
}

impl PowerCuts {
    fn reach(&mut self, name: &'static str) {
        debug_assert!(CRASH_POINTS.contains(&name), "{name:?} is not in the list of crash points");
        let Some(node) = self.at else { return };
        if self.armed.get(&node) == Some(&name) {
            self.armed.remove(&node);
            self.hit = Some(name);
            if let Some(disk) = self.disks.get(&node) {
                disk.cut_power();
            }
        }
    }
}
