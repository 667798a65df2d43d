//! One run: both systems up, one measurement after the other, both down.

use crate::Compare;
use crate::child::{Ports, Process, Usage};
use crate::counters::Counters;
use crate::doug::Doug;
use crate::etcd::Etcd;
use crate::etcd_tool;
use crate::load::{Data, Lane, Sample, fill, measure};
use crate::machine;
use crate::plan::{Cell, System, round};
use crate::report::{Measured, Report};
use anyhow::Context;
use std::time::Duration;

/// Unanswered writes while the keys are written before the first measurement.
const FILL_LANES: usize = 256;
/// How long both are left alone, to see what they use while idle.
const IDLE: Duration = Duration::from_secs(5);

/// Runs everything. On any signal that ends this process, the kernel ends its
/// children; the data folder is then left behind.
pub fn compare(options: &Compare) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::Builder::new().prefix("doug-bench-").tempdir_in(&options.data)?;
    let machine = machine::describe(folder.path())?;
    // Processes are started here, by the main thread: see `Process::start`.
    let mut ports = Ports::new();
    // A peer that is not measured would only take turns on the processor.
    let etcd = options.systems.contains(&System::Etcd);
    let etcd = etcd.then(|| Etcd::start(&options.etcd, folder.path(), &mut ports)).transpose()?;
    let doug = Doug::start(&options.doug, folder.path(), options.partitions, &mut ports)?;
    let mut bench =
        Bench { options, data: Data::new(options.keys, options.value_bytes), etcd, doug };
    runtime.block_on(async {
        tokio::select! {
            result = bench.run(machine) => result,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })
}

struct Bench<'a> {
    options: &'a Compare,
    data: Data,
    etcd: Option<Etcd>,
    doug: Doug,
}

impl Bench<'_> {
    async fn run(&mut self, machine: String) -> anyhow::Result<()> {
        // What did not even start says why; what ends later is found between measurements.
        self.check()?;
        let version = match &self.etcd {
            Some(etcd) => etcd.leader().await?.0,
            None => "not measured".to_owned(),
        };
        self.doug.ready().await?;
        self.check()?;
        let mut report = Report::new(self.options, machine, version);
        doug_streams::errln!("writing {} keys", self.data.keys);
        if let Some(etcd) = &self.etcd {
            fill(etcd.lanes(FILL_LANES, 8).await?, &self.data).await.context("filling etcd")?;
        }
        let lanes = self.doug.streamed(crate::doug::Way::Direct, FILL_LANES, 1).await?;
        fill(lanes, &self.data).await.context("filling DougDB")?;
        report.idle(self.idle().await);
        for number in 0..self.options.rounds {
            let Compare { operations, clients, systems, .. } = self.options;
            for cell in round(number, operations, clients, systems) {
                let measured = self.measure(cell).await?;
                report.note(cell, number, measured);
                self.check()?;
            }
        }
        self.cross_check(&mut report).await?;
        doug_streams::outln!("{report}");
        Ok(())
    }

    /// Cores that each system uses while nobody asks it anything.
    async fn idle(&self) -> (f64, f64) {
        let before = [true, false].map(|etcd| Usage::of(self.pids(etcd)).time);
        tokio::time::sleep(IDLE).await;
        let after = [true, false].map(|etcd| Usage::of(self.pids(etcd)).time);
        let cores = |system: usize| (after[system] - before[system]).div_duration_f64(IDLE);
        (cores(0), cores(1))
    }

    fn pids(&self, etcd: bool) -> Vec<u32> {
        if etcd {
            return self.etcd.iter().flat_map(|etcd| &etcd.members).map(Process::pid).collect();
        }
        self.doug.nodes.iter().chain([&self.doug.facade]).map(Process::pid).collect()
    }

    fn check(&mut self) -> anyhow::Result<()> {
        let doug = self.doug.nodes.iter_mut().chain([&mut self.doug.facade]);
        let etcd = self.etcd.iter_mut().flat_map(|etcd| &mut etcd.members);
        etcd.chain(doug).try_for_each(Process::check)
    }

    async fn measure(&self, cell: Cell) -> anyhow::Result<Measured> {
        let (clients, connections) = (cell.clients, cell.connections());
        let streams = clients * self.options.window;
        match cell.system {
            System::Etcd => {
                let etcd = self.etcd.as_ref().context("etcd was not started")?;
                self.load(cell, etcd.lanes(clients, connections).await?).await
            }
            System::Unary(way) => {
                self.load(cell, self.doug.unary(way, clients, connections).await?).await
            }
            System::Streamed(way) => {
                self.load(cell, self.doug.streamed(way, streams, connections).await?).await
            }
        }
    }

    async fn load<L: Lane>(&self, cell: Cell, lanes: Vec<L>) -> anyhow::Result<Measured> {
        let etcd = cell.system == System::Etcd;
        let usage = || (Usage::of(self.pids(etcd)), Usage::of([std::process::id()]));
        let (counted, before) = (self.counters(etcd).await?, usage());
        let length = Duration::from_secs(self.options.seconds);
        let sample: Sample = measure(lanes, cell.operation, &self.data, length).await;
        // The warm-up second costs as much as any other.
        let share = self.options.seconds as f64 / (self.options.seconds + 1) as f64;
        let after = usage();
        Ok(Measured {
            sample,
            servers: after.0.since(before.0, share),
            clients: after.1.since(before.1, share),
            counters: self.counters(etcd).await?.since(&counted, share),
        })
    }

    /// What the nodes have counted; etcd's members count other things.
    async fn counters(&self, etcd: bool) -> anyhow::Result<Counters> {
        if etcd { Ok(Counters::default()) } else { self.doug.counters().await }
    }

    async fn cross_check(&self, report: &mut Report) -> anyhow::Result<()> {
        let Some(etcd) = &self.etcd else { return Ok(()) };
        let (_, leader) = etcd.leader().await?;
        for &operation in &self.options.operations {
            for &clients in &self.options.clients {
                let cell = Cell { operation, clients, system: System::Etcd };
                let ours = report.rate(cell).unwrap_or(1_000.0);
                let total = (ours * self.options.seconds as f64) as u64;
                let check = etcd_tool::run(
                    &self.options.etcd_load,
                    &leader,
                    etcd_tool::Ask {
                        operation,
                        clients,
                        connections: cell.connections(),
                        total: total.max(100),
                        keys: self.data.keys,
                        value_bytes: self.data.value_bytes,
                    },
                )?;
                report.cross_check(cell, check);
            }
        }
        Ok(())
    }
}
