//! One run: both systems up, one measurement after the other, both down.

use crate::Compare;
use crate::child::{Ports, Process, Usage};
use crate::counters::Counters;
use crate::doug::{Doug, Way};
use crate::echo::Echo;
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
/// How long both are left alone before it is seen what they use while idle: DougDB quiesces a
/// partition after three idle seconds.
const SETTLE: Duration = Duration::from_secs(5);
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
    let echo = options.systems.contains(&System::Echo);
    let echo = echo.then(|| Echo::start(folder.path(), options.value_bytes, &mut ports));
    let echo = echo.transpose()?;
    let doug = Doug::start(&options.doug, folder.path(), options.partitions, &mut ports)?;
    let data = Data::new(options.keys, options.value_bytes);
    let mut bench = Bench { options, data, etcd, echo, doug };
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
    echo: Option<Echo>,
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
        if let Some(echo) = &self.echo {
            echo.ready().await?;
        }
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
        tokio::time::sleep(SETTLE).await;
        let used =
            || [System::Etcd, System::Unary(Way::Direct)].map(|s| Usage::of(self.pids(s)).time);
        let before = used();
        tokio::time::sleep(IDLE).await;
        let after = used();
        let cores = |system: usize| (after[system] - before[system]).div_duration_f64(IDLE);
        (cores(0), cores(1))
    }

    fn pids(&self, system: System) -> Vec<u32> {
        match system {
            System::Etcd => {
                self.etcd.iter().flat_map(|etcd| &etcd.members).map(Process::pid).collect()
            }
            System::Echo => self.echo.iter().map(|echo| echo.process.pid()).collect(),
            System::Unary(_) | System::Streamed(_) => {
                self.doug.nodes.iter().chain([&self.doug.facade]).map(Process::pid).collect()
            }
        }
    }

    fn check(&mut self) -> anyhow::Result<()> {
        let doug = self.doug.nodes.iter_mut().chain([&mut self.doug.facade]);
        let etcd = self.etcd.iter_mut().flat_map(|etcd| &mut etcd.members);
        let echo = self.echo.iter_mut().map(|echo| &mut echo.process);
        etcd.chain(echo).chain(doug).try_for_each(Process::check)
    }

    async fn measure(&self, cell: Cell) -> anyhow::Result<Measured> {
        let (clients, connections) = (cell.clients, cell.connections());
        let streams = clients * self.options.window;
        match cell.system {
            System::Etcd => {
                let etcd = self.etcd.as_ref().context("etcd was not started")?;
                self.load(cell, etcd.lanes(clients, connections).await?).await
            }
            System::Echo => {
                let echo = self.echo.as_ref().context("the echo was not started")?;
                self.load(cell, self.doug.echoed(&echo.address, clients, connections).await?).await
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
        let usage = || (Usage::of(self.pids(cell.system)), Usage::of([std::process::id()]));
        let (counted, before) = (self.counters(cell.system).await?, usage());
        let length = Duration::from_secs(self.options.seconds);
        let sample: Sample = measure(lanes, cell.operation, &self.data, length).await;
        // The warm-up second costs as much as any other.
        let share = self.options.seconds as f64 / (self.options.seconds + 1) as f64;
        let after = usage();
        Ok(Measured {
            sample,
            servers: after.0.since(before.0, share),
            clients: after.1.since(before.1, share),
            counters: self.counters(cell.system).await?.since(&counted, share),
        })
    }

    /// What the nodes have counted; the others count other things.
    async fn counters(&self, system: System) -> anyhow::Result<Counters> {
        match system {
            System::Etcd | System::Echo => Ok(Counters::default()),
            System::Unary(_) | System::Streamed(_) => self.doug.counters().await,
        }
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
