//! What a seed decides before the run begins.

use crate::library::LibraryPlan;
use crate::mutants::Mutant;
use crate::network::NetworkSettings;
use crate::random::Random;
use crate::time::{micros, millis, seconds, whole_micros};
use doug_node::flow::Bounds;
use doug_proto::map::History;
use doug_storage::log::LogOptions;
use doug_storage::manifest::ManifestOptions;
use doug_storage::store::StoreOptions;
use doug_storage::tree::TreeOptions;
use std::collections::BTreeMap;
use std::time::Duration;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A process is killed; the kernel keeps what was written.
    Kill,
    /// Power is lost: everything unsynced is gone.
    PowerLoss,
    /// Power is lost: a torn part of the unsynced survives.
    TornPowerLoss,
    /// Power is lost in the middle of some disk operation to come.
    PowerLossAtOperation,
    /// A disk operation to come fails with an input/output error.
    DiskError,
    /// A disk operation to come finds the disk full.
    DiskFull,
    /// A process stands still for a while.
    Pause,
    /// One node hears and reaches nobody.
    Isolation,
    /// The nodes of a cluster are split in two.
    Split,
    /// Some links work in one direction only.
    OneWay,
    /// Two nodes lose sight of each other only.
    PairCut,
    /// A link delays what it carries.
    SlowLink,
    /// A node's syncs take long.
    SlowDisk,
    /// Every node loses power at once.
    AllPowerLoss,
    /// A leader is told to hand over.
    Transfer,
    /// A node is stopped in an orderly way.
    CleanStop,
    /// Two parts of a cluster see each other only through one node that sees both.
    Bridge,
    /// The streams between two nodes break, and what was on its way is lost.
    StreamReset,
    /// The next fsync fails.
    FailedSync,
    /// Power is lost at a named point of the code.
    CrashPoint,
    /// A bit of a file flips.
    BitFlip,
    /// A sector of a table lies where another belongs.
    Misdirected,
    /// A volume is lost: its node comes back empty, under a new id.
    Wipe,
    /// A clock jumps an hour ahead.
    ClockAhead,
    /// A clock falls an hour back, and comes to itself later.
    ClockBack,
    /// A clock stands still for a while.
    ClockFrozen,
    /// A partition is to move: to another cluster, or among the nodes of its own.
    Move,
    /// One sound member is to be replaced on its own node.
    MemberReplaced,
    /// A goal is given up.
    GoalGivenUp,
    /// A facade's process is killed.
    FacadeKill,
    /// A facade's process stands still for a while.
    FacadePause,
    /// A client or facade that runs the library loses sight of servers.
    ClientCut,
    /// A stream of the library breaks, and what was on its way is lost.
    ClientReset,
    /// A thread of a node does not come round any more.
    StuckThread,
    /// A node's log has no room for batches until its host, told so, has answered.
    FullLog,
    /// The faulty wall clock jumps an hour ahead, and is set right later.
    WallClockAhead,
    /// The faulty wall clock falls an hour back, and is set right later.
    WallClockBack,
    /// The faulty wall clock stands still for a while.
    WallClockFrozen,
    /// A sector of a file does not read, once or for good.
    LostSector,
    /// For a while a process gets no descriptor beside those that it has.
    NoDescriptors,
    /// A process ends, and a bit of the last record of its log flips.
    TailDamage,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 41] = [
        FaultKind::Kill,
        FaultKind::PowerLoss,
        FaultKind::TornPowerLoss,
        FaultKind::PowerLossAtOperation,
        FaultKind::DiskError,
        FaultKind::DiskFull,
        FaultKind::Pause,
        FaultKind::Isolation,
        FaultKind::Split,
        FaultKind::OneWay,
        FaultKind::PairCut,
        FaultKind::SlowLink,
        FaultKind::SlowDisk,
        FaultKind::AllPowerLoss,
        FaultKind::Transfer,
        FaultKind::CleanStop,
        FaultKind::Bridge,
        FaultKind::StreamReset,
        FaultKind::FailedSync,
        FaultKind::CrashPoint,
        FaultKind::BitFlip,
        FaultKind::Misdirected,
        FaultKind::Wipe,
        FaultKind::ClockAhead,
        FaultKind::ClockBack,
        FaultKind::ClockFrozen,
        FaultKind::Move,
        FaultKind::MemberReplaced,
        FaultKind::GoalGivenUp,
        FaultKind::FacadeKill,
        FaultKind::FacadePause,
        FaultKind::ClientCut,
        FaultKind::ClientReset,
        FaultKind::StuckThread,
        FaultKind::FullLog,
        FaultKind::WallClockAhead,
        FaultKind::WallClockBack,
        FaultKind::WallClockFrozen,
        FaultKind::LostSector,
        FaultKind::NoDescriptors,
        FaultKind::TailDamage,
    ];

    /// Of a thousand plans, how many have it.
    fn share(self) -> u64 {
        match self {
            FaultKind::CrashPoint | FaultKind::Move => 600,
            _ => 300,
        }
    }

    /// Its name in stories and coverage.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Kill => "kill",
            FaultKind::PowerLoss => "power loss",
            FaultKind::TornPowerLoss => "torn power loss",
            FaultKind::PowerLossAtOperation => "power loss inside an operation",
            FaultKind::DiskError => "disk error",
            FaultKind::DiskFull => "disk full",
            FaultKind::Pause => "pause",
            FaultKind::Isolation => "isolation",
            FaultKind::Split => "split",
            FaultKind::OneWay => "one-way links",
            FaultKind::PairCut => "cut between two",
            FaultKind::SlowLink => "slow link",
            FaultKind::SlowDisk => "slow disk",
            FaultKind::AllPowerLoss => "power loss everywhere",
            FaultKind::Transfer => "transfer",
            FaultKind::CleanStop => "clean stop",
            FaultKind::Bridge => "bridge",
            FaultKind::StreamReset => "streams reset",
            FaultKind::FailedSync => "failed fsync",
            FaultKind::CrashPoint => "crash point",
            FaultKind::BitFlip => "bit flip",
            FaultKind::Misdirected => "misdirected write",
            FaultKind::Wipe => "volume lost",
            FaultKind::ClockAhead => "clock an hour ahead",
            FaultKind::ClockBack => "clock an hour back",
            FaultKind::ClockFrozen => "clock frozen",
            FaultKind::Move => "move",
            FaultKind::MemberReplaced => "member replaced",
            FaultKind::GoalGivenUp => "goal given up",
            FaultKind::FacadeKill => "facade killed",
            FaultKind::FacadePause => "facade paused",
            FaultKind::ClientCut => "client or facade cut off",
            FaultKind::ClientReset => "client stream reset",
            FaultKind::StuckThread => "stuck thread",
            FaultKind::FullLog => "full log",
            FaultKind::WallClockAhead => "wall clock an hour ahead",
            FaultKind::WallClockBack => "wall clock an hour back",
            FaultKind::WallClockFrozen => "wall clock frozen",
            FaultKind::LostSector => "sector lost",
            FaultKind::NoDescriptors => "no descriptors",
            FaultKind::TailDamage => "log's last record damaged",
        }
    }
}

/// What clients do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// How many clients that speak the protocol by themselves.
    pub clients: usize,
    /// Operations each has under way at once.
    pub width: usize,
    /// Keys in play.
    pub keys: u64,
    /// Longest pause between two operations of a burst.
    pub think: Duration,
    /// Most operations of a burst.
    pub burst: u64,
    /// Writes that all clients together are to have acknowledged by the end: the pauses
    /// between their bursts follow from it.
    pub acknowledged: u64,
    /// Longest value, in bytes, beside its name.
    pub padding: u64,
    /// Of a thousand operations, how many write.
    pub writes: u64,
    /// Of a thousand clients, how many register sessions.
    pub sessions: u64,
}

/// Everything a run depends on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// How many clusters.
    pub clusters: usize,
    /// Nodes of each.
    pub nodes: usize,
    /// Nodes of each beside those, which are empty at first and join.
    pub spares: usize,
    /// How many partitions.
    pub partitions: u64,
    /// Hosts of each node.
    pub hosts: usize,
    /// For how long clients and faults go on.
    pub duration: Duration,
    /// Links.
    pub network: NetworkSettings,
    /// Shortest election timeout: heartbeats and ticks follow from it.
    pub election_timeout: Duration,
    /// Least and greatest duration of a sync.
    pub sync: (Duration, Duration),
    /// The mean pause between two faults of a kind. Absent: never.
    pub faults: BTreeMap<FaultKind, Duration>,
    /// Clients.
    pub workload: Workload,
    /// Clients beside those that run the library that ships, and facades.
    pub library: LibraryPlan,
    /// Sizes on disk.
    pub store: StoreOptions,
    /// Bytes that a node's volume holds beside what its log and memtables may need; `None`: as
    /// many as there are.
    pub volume_room: Option<u64>,
    /// Bytes that the memtables of all replicas of a node may take.
    pub memtable_share: u64,
    /// How long old versions stay readable, as the keyspaces declare it.
    pub history: History,
    /// Bytes of recent changes that a node keeps for watches.
    pub recent_bytes: u64,
    /// Bytes of an answer to a watch.
    pub watch_bytes: usize,
    /// Bytes of applied log kept for followers.
    pub retained_log_bytes: u64,
    /// Bytes of payloads kept in memory.
    pub payload_cache_bytes: u64,
    /// Bytes that wait for the log, or to be applied, before a host takes in no more.
    pub backlog_bytes: u64,
    /// How many operations of the library a node works on at once.
    pub admission: Bounds,
    /// Bytes of a batch.
    pub batch_bytes: usize,
    /// Bytes of batches in one message to a peer.
    pub append_bytes: u64,
    /// Leaders read by lease, and no clock runs more than half a percent fast or slow.
    pub leases: bool,
    /// Nodes begin with a program of an earlier feature level, and are upgraded one by one.
    pub upgrades: bool,
    /// How long partitions are idle before they quiesce; `None`: they never do.
    pub quiesce_after: Option<Duration>,
    /// So many of the nodes, counted from the first, are so busy that every tick comes late.
    pub late_nodes: usize,
    /// A bug put in on purpose.
    pub mutant: Mutant,
}

impl Plan {
    /// One cluster of five, no faults.
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            clusters: 1,
            nodes: 5,
            spares: 0,
            partitions: 2,
            hosts: 1,
            duration: seconds(10),
            network: NetworkSettings {
                delay_min: micros(100),
                delay_max: micros(600),
                loss: 0,
                duplication: 0,
                reorder: false,
            },
            election_timeout: millis(150),
            sync: (micros(100), micros(800)),
            faults: BTreeMap::new(),
            workload: Workload {
                clients: 4,
                width: 2,
                keys: 40,
                think: millis(20),
                burst: 40,
                acknowledged: 1_300,
                padding: 400,
                writes: 600,
                sessions: 750,
            },
            library: LibraryPlan::default(),
            store: small_store(),
            volume_room: None,
            memtable_share: 1 << 20,
            history: History { retain: Duration::from_secs(3), max_bytes: 1 << 20 },
            recent_bytes: 1 << 20,
            watch_bytes: 256 << 10,
            retained_log_bytes: 24 << 10,
            payload_cache_bytes: 16 << 10,
            backlog_bytes: 256 << 10,
            admission: Bounds::default(),
            batch_bytes: 4 << 10,
            append_bytes: 1 << 20,
            leases: false,
            upgrades: false,
            quiesce_after: Some(millis(100)),
            late_nodes: 0,
            mutant: Mutant::None,
        }
    }

    /// How many clients there are, of either kind.
    pub fn callers(&self) -> u64 {
        (self.workload.clients + self.library.clients()) as u64
    }

    /// Bytes that a node's volume holds.
    pub fn volume_bytes(&self) -> Option<u64> {
        let log = &self.store.log;
        let log = log.limit_bytes + 6 * log.segment_bytes;
        // The catalog is a partition, too; each has two memtables at most, as a rule.
        let memtables = 2 * (self.partitions + 1) * self.store.tree.memtable_bytes as u64;
        let manifest = 4 * self.store.manifest.rewrite_bytes;
        self.volume_room.map(|room| room + log + memtables + manifest)
    }

    /// Lets the run last so long, at the same pace.
    pub fn last(&mut self, duration: Duration) {
        let writes =
            self.workload.acknowledged * whole_micros(duration) / whole_micros(self.duration);
        self.workload.acknowledged = writes.max(1);
        self.duration = duration;
    }

    /// A run as the seed wants it: some kinds of faults, at some rates ("swarm").
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::for_purpose(seed, 1);
        let mut plan = Self::calm(seed);
        plan.clusters = *random.pick(&[1, 1, 2]);
        plan.nodes = *random.pick(if plan.clusters > 1 { &[3, 3, 5] } else { &[3, 5, 5, 5] });
        plan.spares = *random.pick(&[0, 0, 1, 2]);
        plan.partitions = random.between(plan.clusters as u64, 2 + plan.clusters as u64);
        plan.hosts = *random.pick(&[1, 1, 1, 3]);
        plan.duration = seconds(120);
        plan.network = NetworkSettings {
            delay_min: random.duration_between(micros(20), micros(500)),
            delay_max: random.duration_between(micros(600), millis(6)),
            loss: *random.pick(&[0, 0, 5, 30, 100]),
            duplication: *random.pick(&[0, 0, 10, 50]),
            reorder: random.chance(500),
        };
        plan.election_timeout = *random.pick(&[millis(150), millis(300), millis(500)]);
        plan.sync = (
            random.duration_between(micros(20), micros(300)),
            random.duration_between(micros(400), millis(6)),
        );
        plan.workload = Workload {
            clients: random.between(2, 6) as usize,
            width: random.between(1, 3) as usize,
            keys: *random.pick(&[5, 20, 60, 200]),
            think: *random.pick(&[millis(2), millis(10), millis(40)]),
            burst: *random.pick(&[5, 20, 60]),
            acknowledged: random.between(1_075, 1_225),
            padding: *random.pick(&[200, 500, 1_000]),
            writes: *random.pick(&[600, 700, 850]),
            sessions: *random.pick(&[500, 800, 1_000]),
        };
        plan.retained_log_bytes = *random.pick(&[4 << 10, 24 << 10, 100 << 10]);
        plan.payload_cache_bytes = *random.pick(&[1 << 10, 16 << 10, 1 << 20]);
        plan.batch_bytes = *random.pick(&[256, 4 << 10, 32 << 10]);
        plan.store.log.limit_bytes = *random.pick(&[512 << 10, 768 << 10, 1 << 20]);
        plan.store.tree.memtable_bytes = *random.pick(&[12 << 10, 16 << 10, 32 << 10]);
        for kind in FaultKind::ALL {
            if random.chance(kind.share()) {
                plan.faults.insert(kind, random.duration_between(seconds(3), seconds(25)));
            }
        }
        // From streams of their own, so that they do not change what else a seed draws.
        let mut random = Random::for_purpose(seed, 18);
        plan.memtable_share = *random.pick(&[16 << 10, 32 << 10, 1 << 20]);
        let mut random = Random::for_purpose(seed, 5);
        plan.quiesce_after =
            *random.pick(&[None, None, None, Some(millis(5)), Some(millis(100)), Some(seconds(1))]);
        plan.draw_options(&mut Random::for_purpose(seed, 6));
        plan.backlog_bytes =
            *Random::for_purpose(seed, 14).pick(&[4 << 10, 32 << 10, 256 << 10, 1 << 20]);
        if Random::for_purpose(seed, 15).chance(300) {
            plan.admission = Bounds { least: 1, first: 2, most: 4 };
        }
        plan.history = draw_history(&mut Random::for_purpose(seed, 21));
        let mut random = Random::for_purpose(seed, 22);
        plan.recent_bytes = *random.pick(&[2_000, 20_000, 1 << 20]);
        plan.watch_bytes = *random.pick(&[1, 3_000, 256 << 10]);
        draw_geometry(&mut plan.store.tree, &mut Random::for_purpose(seed, 13));
        plan.store.lookup_bytes = *Random::for_purpose(seed, 17).pick(&[0, 1 << 10, 64 << 10]);
        plan.store.open_tables = *Random::for_purpose(seed, 16).pick(&[1, 3, 8, 100]);
        plan.library = LibraryPlan::draw(plan.workload.clients, &mut Random::for_purpose(seed, 8));
        plan.workload.clients -= plan.library.clients();
        let all = plan.nodes * plan.clusters;
        plan.late_nodes = *Random::for_purpose(seed, 18).pick(&[0, 0, 0, 0, 0, 0, 1, all]);
        plan
    }

    fn draw_options(&mut self, random: &mut Random) {
        self.append_bytes = *random.pick(&[1, 4 << 10, 1 << 20]);
        if random.chance(250) {
            self.read_by_lease();
        }
        self.upgrades = random.chance(250);
    }

    /// Leases rest on how fast clocks run: they promise nothing of clocks that jump or stand still.
    pub fn read_by_lease(&mut self) {
        self.leases = true;
        for kind in [FaultKind::ClockAhead, FaultKind::ClockBack, FaultKind::ClockFrozen] {
            self.faults.remove(&kind);
        }
    }
}

/// From none to nearly the whole run, and in bytes from a few writes to more than there are.
fn draw_history(random: &mut Random) -> History {
    let retain = Duration::from_millis(*random.pick(&[0, 300, 3_000, 10_000, 60_000]));
    History { retain, max_bytes: *random.pick(&[8 << 10, 64 << 10, 16 << 20]) }
}

/// Blocks of one version and of many; levels so small that data sinks through all of them, and
/// some that hold it for a while.
fn draw_geometry(tree: &mut TreeOptions, random: &mut Random) {
    tree.table.block_bytes = *random.pick(&[256, 1 << 10, 4 << 10]);
    tree.table.restart_interval = *random.pick(&[1, 4, 16]);
    tree.table_bytes = *random.pick(&[4 << 10, 8 << 10, 32 << 10]);
    tree.base_level_bytes = *random.pick(&[8 << 10, 32 << 10, 64 << 10]);
    tree.l0_compaction = *random.pick(&[2, 2, 4]);
    tree.l0_compaction_max = tree.l0_compaction + random.below(3) as usize;
}

fn small_store() -> StoreOptions {
    StoreOptions {
        log: LogOptions {
            segment_bytes: 64 << 10,
            limit_bytes: 768 << 10,
            buffer_bytes: 256 << 10,
            salt: 0,
        },
        manifest: ManifestOptions { rewrite_bytes: 16 << 10, salt: 0 },
        tree: TreeOptions::tiny(),
        cache_bytes: 64 << 10,
        lookup_bytes: 16 << 10,
        open_tables: 8,
        salt: 0,
    }
}
