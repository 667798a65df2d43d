//! Hunting grounds: bugs that random plans rarely meet are looked for in plans that lean towards
//! the schedule they need. Nothing is staged: the moments still come by chance.

use crate::library::{LibraryPlan, MapFrom};
use crate::mutants::Mutant;
use crate::plan::{FaultKind, Plan};
use crate::time::{micros, millis, seconds};
use doug_raft::Mutant as Core;
use doug_storage::simulation::Bug;
use std::time::Duration;

/// A plan that leans towards what shows this bug; where any plan shows it, the plan itself.
pub fn hunt(mutant: Mutant, plan: Plan) -> Plan {
    let mut plan = Plan { mutant, ..plan };
    match mutant {
        Mutant::Consensus(bug) => lean(bug, &mut plan),
        // Several, so that some are taken in by groups that have risen.
        Mutant::Level(_) => {
            plan.upgrades = true;
            plan.spares = plan.spares.max(2);
        }
        Mutant::Storage(Bug::VoteFreedWithSegment) => restless(&mut plan),
        Mutant::Storage(Bug::VoteWithoutProof) => {
            trio(&mut plan, 60, &[(FaultKind::TailDamage, 700), (FaultKind::Transfer, 100)]);
            plan.workload.acknowledged = 60;
        }
        Mutant::Storage(Bug::ReservationIgnored) => full_volumes(&mut plan),
        Mutant::Storage(Bug::ExpirySleptThrough) => plan.quiesce_after = Some(millis(5)),
        Mutant::Library(_) => cut_off(&mut plan),
        Mutant::HostWaitsForLog => full_logs(&mut plan),
        Mutant::StalenessUnproven => deposed(&mut plan),
        Mutant::CatalogMovesBare => {
            plan.faults.insert(FaultKind::Move, seconds(1) / 4);
        }
        Mutant::HalfDeadThread => {
            plan.last(seconds(40));
            plan.faults.insert(FaultKind::StuckThread, seconds(5));
        }
        _ => {}
    }
    plan
}

fn lean(bug: Core, plan: &mut Plan) {
    match bug {
        Core::VoteCountedInLaterTerm => late_votes(plan),
        Core::OlderTermCommittedByCounting => figure_8(plan),
        Core::OwnLogCountedBeforeDurable | Core::HeartbeatAcknowledgesBeforeDurable => {
            forgetful(plan);
        }
        Core::CommitPastVerified => rival_tails(plan),
        Core::ReadBeforeOwnTermCommit => fresh_leaders(plan),
        Core::ReadAcknowledgedByOlderRound => left_behind(plan),
        Core::LeaseKeptDuringTransfer => handed_over(plan),
        Core::SnapshotKeepsConflictingLog => short_logs(plan),
        Core::LearnerCounted | Core::JointTalliesMerged | Core::ChangeBeforeOwnTermCommit => {
            moving(plan);
        }
        Core::QuiesceWithoutEveryVoter | Core::IncarnationIgnored | Core::ReadServedQuiesced => {
            quiescing(plan);
        }
        Core::AmbiguousVoteCounted => damaged_tails(plan),
        Core::PausesCompensatedWithoutBound => late(plan),
        Core::SnapshotKeepsStaleMembership => moving_by_snapshot(plan),
        Core::TruncationKeepsStaleMembership => moving_in_vain(plan),
        Core::OneClockBelieved => {
            plan.faults.insert(FaultKind::WallClockAhead, seconds(3));
        }
        // Any plan shows these, or they are about what this simulator does not do.
        _ => {}
    }
}

/// One group of three, for so many seconds, in which only these faults come: each about once in so many
/// milliseconds.
fn trio(plan: &mut Plan, length: u64, faults: &[(FaultKind, u64)]) {
    plan.clusters = 1;
    plan.nodes = 3;
    plan.partitions = 1;
    plan.spares = 0;
    plan.hosts = 1;
    plan.leases = false;
    plan.upgrades = false;
    plan.election_timeout = millis(150);
    plan.faults = faults.iter().map(|(kind, mean)| (*kind, millis(*mean))).collect();
    plan.workload.keys = 5;
    plan.workload.think = millis(2);
    busy(plan, length);
}

/// Clients that hardly pause, for so many seconds.
fn busy(plan: &mut Plan, length: u64) {
    plan.duration = seconds(length);
    plan.workload.clients = 6;
    plan.library = LibraryPlan::default();
    plan.workload.width = 2;
    plan.workload.burst = 60;
    plan.workload.acknowledged = length * 150;
}

/// Clients that all run the library, and lose touch with servers again and again.
fn cut_off(plan: &mut Plan) {
    plan.last(seconds(40));
    plan.workload.clients = 0;
    plan.library = LibraryPlan {
        direct: 3,
        through_facades: 2,
        facades: vec![MapFrom::Nodes, MapFrom::Status(seconds(2))],
    };
    for (kind, mean) in [
        (FaultKind::ClientCut, 1_500),
        (FaultKind::ClientReset, 300),
        (FaultKind::Kill, 3_000),
        (FaultKind::Transfer, 1_000),
    ] {
        plan.faults.insert(kind, millis(mean));
    }
}

/// Elections one after the other, whose votes arrive when the next is under way.
fn late_votes(plan: &mut Plan) {
    trio(plan, 60, &[(FaultKind::Pause, 500), (FaultKind::Transfer, 250)]);
    plan.workload.acknowledged = 30;
    // A vote waits for its disk, crosses the network, and meets a campaign that began after as
    // long.
    plan.sync = (millis(1), millis(100));
    plan.network.delay_max = millis(150);
    plan.network.duplication = 300;
    plan.network.loss = 100;
    plan.network.reorder = true;
}

/// Leaders that come and go before their first entry is committed, with old ones to spread
/// (paper, figure 8).
fn figure_8(plan: &mut Plan) {
    let faults = [
        (FaultKind::Isolation, 500),
        (FaultKind::Split, 700),
        (FaultKind::Transfer, 400),
        (FaultKind::Kill, 700),
    ];
    trio(plan, 60, &faults);
    plan.nodes = 5;
    plan.append_bytes = 1;
    plan.batch_bytes = 1;
    plan.network.loss = 150;
    plan.network.delay_max = millis(30);
    plan.network.reorder = true;
    plan.sync = (millis(1), millis(30));
}

/// Slow disks, and power that fails while they write.
fn forgetful(plan: &mut Plan) {
    let faults = [
        (FaultKind::AllPowerLoss, 900),
        (FaultKind::PowerLoss, 900),
        (FaultKind::Isolation, 1_500),
        (FaultKind::SlowDisk, 1_000),
    ];
    trio(plan, 40, &faults);
    plan.sync = (millis(2), millis(60));
    plan.workload.writes = 700;
}

/// Replicas that lose what they have just acknowledged, while the others who hold it are away.
fn damaged_tails(plan: &mut Plan) {
    let faults = [
        (FaultKind::TailDamage, 1_500),
        (FaultKind::Isolation, 1_000),
        (FaultKind::PairCut, 1_000),
        (FaultKind::Pause, 1_500),
    ];
    trio(plan, 60, &faults);
    plan.batch_bytes = 1;
    plan.workload.writes = 900;
}

/// Volumes that are full again and again, of whatever was overwritten and deleted; replicas that
/// fall behind and are sent snapshots meanwhile.
pub fn full_volumes(plan: &mut Plan) {
    trio(plan, 60, &[(FaultKind::Isolation, 4_000), (FaultKind::Kill, 4_000)]);
    plan.partitions = 3;
    plan.retained_log_bytes = 1;
    plan.store.log.limit_bytes = 256 << 10;
    plan.store.tree.memtable_bytes = 8 << 10;
    plan.history.retain = Duration::ZERO;
    plan.workload.keys = 80;
    plan.workload.padding = 2_000;
    plan.workload.writes = 900;
    // Twice what the keys take, with the rows of transactions: compactions need room as well.
    plan.volume_room = Some(440 << 10);
}

/// Logs that are full while batches go on arriving.
fn full_logs(plan: &mut Plan) {
    trio(plan, 30, &[(FaultKind::FullLog, 2_000)]);
    plan.batch_bytes = 1;
    plan.append_bytes = 1;
    plan.backlog_bytes = 1 << 20;
    plan.workload.writes = 900;
}

/// Leaders cut off while clients go on writing to them; what they logged lies in the way of others.
fn rival_tails(plan: &mut Plan) {
    trio(plan, 40, &[(FaultKind::Isolation, 700), (FaultKind::Pause, 2_000)]);
    plan.append_bytes = 1;
    plan.batch_bytes = 1;
    plan.workload.writes = 900;
    plan.network.delay_max = millis(8);
}

/// Many elections, slow disks behind them, and readers at once at the door.
fn fresh_leaders(plan: &mut Plan) {
    trio(plan, 40, &[(FaultKind::Kill, 700), (FaultKind::Transfer, 700)]);
    plan.sync = (millis(5), millis(40));
    plan.workload.writes = 400;
    plan.network.loss = 50;
}

/// Hand-overs of which the old leader hears late, while it is read from: most links are quick, and
/// now and then one of them is slow.
fn left_behind(plan: &mut Plan) {
    trio(plan, 40, &[(FaultKind::SlowLink, 400), (FaultKind::Transfer, 200)]);
    plan.sync = (micros(100), micros(400));
    plan.workload.writes = 400;
    plan.network.loss = 0;
    plan.network.delay_max = micros(600);
    plan.network.reorder = true;
}

/// The same, with clients that hear how stale what they read may be.
fn deposed(plan: &mut Plan) {
    left_behind(plan);
    plan.last(seconds(90));
    plan.faults.insert(FaultKind::SlowLink, millis(200));
    plan.workload.clients = 8;
    plan.library = LibraryPlan { direct: 10, through_facades: 0, facades: Vec::new() };
}

/// Hand-overs like these, and leaders that read by lease.
fn handed_over(plan: &mut Plan) {
    left_behind(plan);
    plan.read_by_lease();
}

/// Followers that are brought up by snapshots, with tails of their own.
fn short_logs(plan: &mut Plan) {
    trio(plan, 60, &[(FaultKind::Isolation, 900), (FaultKind::Kill, 4_000)]);
    plan.batch_bytes = 1;
    plan.retained_log_bytes = 1;
    plan.store.tree.memtable_bytes = 6 << 10;
    plan.workload.writes = 900;
}

/// Members that change without a pause, while cuts go through both clusters.
fn moving(plan: &mut Plan) {
    let faults = [
        (FaultKind::Move, 700),
        (FaultKind::Split, 500),
        (FaultKind::Isolation, 800),
        (FaultKind::Transfer, 1_000),
    ];
    trio(plan, 40, &faults);
    plan.clusters = 2;
    plan.append_bytes = 1;
    plan.batch_bytes = 1;
    plan.workload.acknowledged = 600;
    plan.network.delay_max = millis(8);
    plan.network.reorder = true;
}

/// The same, where those left behind hear of the change by a snapshot.
fn moving_by_snapshot(plan: &mut Plan) {
    moving(plan);
    plan.retained_log_bytes = 1;
    plan.store.tree.memtable_bytes = 6 << 10;
}

/// The same, where changes are often cut off from whoever could commit them, and then out of the
/// log.
fn moving_in_vain(plan: &mut Plan) {
    moving(plan);
    plan.faults.insert(FaultKind::Split, millis(200));
    plan.network.delay_max = millis(30);
    plan.network.loss = 100;
}

/// Partitions that quiesce whenever nobody asks for anything, on nodes that come and go.
fn quiescing(plan: &mut Plan) {
    plan.quiesce_after = Some(millis(5));
    plan.last(seconds(40));
    plan.workload.acknowledged /= 4;
    for (kind, mean) in
        [(FaultKind::Kill, 2_000), (FaultKind::MemberReplaced, 500), (FaultKind::Move, 500)]
    {
        plan.faults.insert(kind, millis(mean));
    }
}

/// Leaders that end, on nodes whose ticks are always late.
fn late(plan: &mut Plan) {
    trio(plan, 20, &[(FaultKind::Kill, 1_500), (FaultKind::Transfer, 700)]);
    plan.late_nodes = plan.nodes;
    plan.workload.acknowledged = 200;
}

/// Elections without end, on nodes whose log is soon full and that often start again.
fn restless(plan: &mut Plan) {
    let faults =
        [(FaultKind::Kill, 1_500), (FaultKind::Transfer, 1_000), (FaultKind::Isolation, 1_500)];
    trio(plan, 60, &faults);
    plan.partitions = 3;
    plan.store.log.limit_bytes = 256 << 10;
    plan.workload.keys = 60;
    plan.workload.writes = 850;
}
