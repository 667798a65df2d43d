//! A node: its disk, and while it runs a process of the parts that ship.

mod apply;
mod hosts;
mod log;
mod maintenance;
mod process;
mod reads;

pub use process::{Death, Process};

use crate::context::Context;
use crate::random::Random;
use doug_proto::ids::NodeId;
use doug_raft::Time;
use doug_sim_disk::SimDisk;
use doug_sim_disk::omit;
use doug_storage::disk::Disk;
use std::sync::Arc;

/// A node's own monotone clock: it starts anywhere and runs a little fast or slow.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: u64,
    /// Microseconds gained in a second.
    drift: i64,
}

impl Clock {
    fn new(random: &mut Random) -> Self {
        Self { offset: random.below(1 << 40), drift: random.below(20_000) as i64 - 10_000 }
    }

    /// What it shows.
    pub fn local(self, now: u64) -> Time {
        let gained = now as i128 * i128::from(self.drift) / 1_000_000;
        Time((i128::from(self.offset) + i128::from(now) + gained) as u64)
    }
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
    pub paused_until: u64,
    /// Its syncs take so many microseconds longer.
    pub slow_disk: u64,
    /// Whether it has joined the database.
    pub joined: bool,
    random: Random,
}

impl Node {
    /// A node with an empty disk.
    pub fn new(index: usize, cx: &Context) -> Self {
        let entry = &cx.database.map.nodes[index];
        Self {
            index,
            id: entry.id,
            name: entry.name.clone(),
            disk: SimDisk::new(cx.plan.seed ^ index as u64),
            life: 0,
            process: None,
            paused_until: 0,
            slow_disk: 0,
            joined: false,
            random: Random::for_purpose(cx.plan.seed, 1_000 + index as u64),
        }
    }

    /// Starts a process from what is on the disk; the first joins the database.
    ///
    /// # Errors
    /// What keeps a node from starting.
    pub fn start(&mut self, cx: &mut Context) -> Result<(), Death> {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.life += 1;
        let clock = Clock::new(&mut self.random);
        let disk: Arc<dyn Disk> = omit(Arc::new(self.disk.clone()), cx.plan.mutant.omission());
        let salt = self.random.next();
        let start = process::Start {
            index: self.index,
            id: self.id,
            name: self.name.clone(),
            life: self.life,
            clock,
            salt,
            joined: self.joined,
        };
        let process = Process::start(start, disk, &mut self.random, cx)?;
        self.joined = true;
        self.process = Some(process);
        Ok(())
    }
}
