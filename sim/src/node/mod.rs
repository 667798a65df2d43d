//! A node: its disk, and while it runs a process of the parts that ship.

mod admin;
mod apply;
mod catalog;
mod death;
mod front;
mod hosts;
mod log;
mod maintenance;
mod maps;
mod members;
mod process;
mod reads;
mod start;
mod threads;
mod volume;

use crate::time::{ClockFault, SimTime};
pub use death::Death;
pub use process::Process;
pub use start::AMBIGUITY_PATIENCE;
use std::time::Duration;

use crate::context::Context;
use crate::random::Random;
use doug_node::levels::KNOWN_LEVEL;
use doug_proto::ids::NodeId;
use doug_raft::Time;
use doug_sim_disk::SimDisk;
use doug_sim_disk::omit;
use doug_storage::disk::Disk;
use std::sync::Arc;

/// A node's own monotone clock: it starts anywhere and runs a little fast or slow.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: i64,
    /// Microseconds gained in a second.
    drift: i64,
    /// It stands still and shows this.
    frozen: Option<Time>,
}

impl Clock {
    /// One that gains or loses less than `most` microseconds in a second.
    fn new(random: &mut Random, most: i64) -> Self {
        Self {
            // A clock that falls back an hour still shows a time.
            offset: ((1 << 36) + random.below(1 << 40)) as i64,
            drift: random.below(2 * most as u64) as i64 - most,
            frozen: None,
        }
    }

    /// What it shows.
    pub fn local(self, now: SimTime) -> Time {
        if let Some(frozen) = self.frozen {
            return frozen;
        }
        let now = now.as_micros() as i64;
        Time((self.offset + now + now * self.drift / 1_000_000) as u64)
    }

    /// Something happens to it.
    pub fn disturb(&mut self, fault: ClockFault, now: SimTime) {
        match fault {
            ClockFault::Ahead(by) => self.offset += by.as_micros() as i64,
            ClockFault::Back(by) => self.offset -= by.as_micros() as i64,
            ClockFault::Frozen => self.frozen = Some(self.local(now)),
        }
    }

    /// Shows again what it would have shown.
    pub fn relieve(&mut self, fault: ClockFault) {
        match fault {
            ClockFault::Ahead(by) => self.offset -= by.as_micros() as i64,
            ClockFault::Back(by) => self.offset += by.as_micros() as i64,
            ClockFault::Frozen => self.frozen = None,
        }
    }
}

/// A volume that holds so many bytes.
fn limited(disk: SimDisk, bytes: Option<u64>) -> SimDisk {
    disk.limit_bytes(bytes);
    disk
}

/// One node.
pub struct Node {
    /// Its place among all.
    pub index: usize,
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// What survives its processes.
    pub disk: SimDisk,
    /// Counts its processes.
    pub life: u64,
    /// The running one.
    pub process: Option<Process>,
    /// Its process stands still until then.
    pub paused_until: SimTime,
    /// Its syncs take so much longer.
    pub slow_disk: Duration,
    /// Whether the creation names it, and its volume is still the first.
    pub founder: bool,
    /// The feature level that its program supports.
    pub level: u32,
    /// From when on the older program may take its place, if that is meant.
    pub older_at: Option<SimTime>,
    /// Fsyncs that had failed when the process was last looked at.
    pub failed_syncs: u64,
    random: Random,
}

impl Node {
    /// A node with an empty disk.
    pub fn new(index: usize, cx: &Context) -> Self {
        let entry = cx.database.entry(index);
        Self {
            index,
            id: entry.id,
            name: entry.name.clone(),
            disk: limited(SimDisk::new(cx.plan.seed ^ index as u64), cx.plan.volume_bytes()),
            life: 0,
            process: None,
            paused_until: SimTime::ZERO,
            slow_disk: Duration::ZERO,
            founder: cx.database.is_founder(index),
            level: KNOWN_LEVEL,
            older_at: None,
            failed_syncs: 0,
            random: Random::for_purpose(cx.plan.seed, 1_000 + index as u64),
        }
    }

    /// The volume is lost; the node comes back under this id.
    pub fn wipe(&mut self, id: NodeId, founder: bool) {
        let capacity = self.disk.most_bytes();
        self.disk = limited(SimDisk::new(self.random.next()), capacity);
        self.id = id;
        self.founder = founder;
        self.failed_syncs = 0;
    }

    /// Starts a process from what is on the disk; the first of a founder creates its replicas.
    ///
    /// # Errors
    /// What keeps a node from starting.
    pub fn start(&mut self, cx: &mut Context) -> Result<(), Death> {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.life += 1;
        let clock = Clock::new(&mut self.random, if cx.plan.leases { 5_000 } else { 10_000 });
        let disk: Arc<dyn Disk> = omit(Arc::new(self.disk.clone()), cx.plan.mutant.omission());
        let salt = self.random.next();
        let start = start::Start {
            index: self.index,
            id: self.id,
            name: self.name.clone(),
            life: self.life,
            clock,
            salt,
            founder: self.founder,
            level: self.level,
        };
        let process = Process::start(start, disk, &mut self.random, cx)?;
        self.process = Some(process);
        Ok(())
    }
}
