//! The tables, as Markdown.

use crate::Compare;
use crate::child::Usage;
use crate::counters::Counters;
use crate::load::{Operation, Sample};
use crate::plan::{Cell, System};
use clap::ValueEnum;
use std::fmt;
use std::time::Duration;

/// One measurement of one cell.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What the load saw.
    pub sample: Sample,
    /// What all processes of the system used.
    pub servers: Usage,
    /// What this program used.
    pub clients: Usage,
    /// What DougDB's nodes counted.
    pub counters: Counters,
}

/// Everything that one run has found.
pub struct Report {
    machine: String,
    etcd_version: String,
    method: String,
    clients: Vec<usize>,
    operations: Vec<Operation>,
    systems: Vec<System>,
    idle: (f64, f64),
    cells: Vec<(Cell, Vec<Measured>)>,
    checks: Vec<(Cell, f64)>,
}

impl Report {
    /// Nothing yet.
    pub fn new(options: &Compare, machine: String, etcd_version: String) -> Self {
        let Compare { seconds, rounds, keys, value_bytes, partitions, window, .. } = options;
        let method = format!(
            "{rounds} rounds of {seconds} s each; {keys} keys, values of {value_bytes} bytes; \
             DougDB with {partitions} partitions; a streaming client keeps {window} operations \
             unanswered"
        );
        Self {
            machine,
            etcd_version,
            method,
            clients: options.clients.clone(),
            operations: options.operations.clone(),
            systems: System::value_variants()
                .iter()
                .copied()
                .filter(|system| options.systems.contains(system))
                .collect(),
            idle: (0.0, 0.0),
            cells: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Cores that etcd and DougDB use while idle.
    pub fn idle(&mut self, cores: (f64, f64)) {
        self.idle = cores;
    }

    /// Takes in one measurement, and says so.
    pub fn note(&mut self, cell: Cell, round: u32, measured: Measured) {
        let Cell { operation, clients, system } = cell;
        let Sample { rate, errors, first_error, .. } = &measured.sample;
        let (round, system) = (round + 1, system.name());
        doug_streams::errln!(
            "round {round}, {operation:?}, {clients} clients, {system}: {rate:.0}/s"
        );
        if let Some(error) = first_error {
            doug_streams::errln!("  {errors} errors, the first: {error}");
        }
        match self.cells.iter_mut().find(|(known, _)| *known == cell) {
            Some((_, all)) => all.push(measured),
            None => self.cells.push((cell, vec![measured])),
        }
    }

    /// What etcd's own tool found for a cell of etcd.
    pub fn cross_check(&mut self, cell: Cell, rate: f64) {
        doug_streams::errln!(
            "etcd's own tool, {:?}, {} clients: {rate:.0}/s",
            cell.operation,
            cell.clients
        );
        self.checks.push((cell, rate));
    }

    /// The median rate of a cell.
    pub fn rate(&self, cell: Cell) -> Option<f64> {
        let (_, all) = self.cells.iter().find(|(known, _)| *known == cell)?;
        let mut rates: Vec<f64> = all.iter().map(|measured| measured.sample.rate).collect();
        rates.sort_by(f64::total_cmp);
        // Of an even number, the mean of the two in the middle.
        Some((rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0)
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, operation: Operation) -> fmt::Result {
        writeln!(
            f,
            "| clients | system | ops/s | × etcd | p50 ms | p99 ms | µs of CPU an operation: \
             servers + load | context switches an operation: servers + load | errors |"
        )?;
        writeln!(f, "|---:|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for &clients in &self.clients {
            for &system in &self.systems {
                self.row(f, Cell { operation, clients, system })?;
            }
        }
        Ok(())
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, cell: Cell) -> fmt::Result {
        let Some((_, all)) = self.cells.iter().find(|(known, _)| *known == cell) else {
            return Ok(());
        };
        let rate = self.rate(cell).unwrap_or(0.0);
        let etcd = self.rate(Cell { system: System::Etcd, ..cell });
        let times = etcd.map_or_else(|| "–".to_owned(), |etcd| format!("{:.2}", rate / etcd));
        let mut latencies: Vec<u32> =
            all.iter().flat_map(|m| m.sample.latencies.iter().copied()).collect();
        latencies.sort_unstable();
        let count = latencies.len().max(1) as f64;
        let time = |of: fn(&Measured) -> Duration| {
            all.iter().map(of).sum::<Duration>().as_secs_f64() * 1e6 / count
        };
        let switches = |of: fn(&Measured) -> u64| all.iter().map(of).sum::<u64>() as f64 / count;
        let errors: u64 = all.iter().map(|m| m.sample.errors).sum();
        writeln!(
            f,
            "| {} | {} | {} | {times} | {:.2} | {:.2} | {:.0} + {:.0} | {:.1} + {:.1} | {errors} |",
            cell.clients,
            cell.system.name(),
            grouped(rate),
            percentile(&latencies, 0.50),
            percentile(&latencies, 0.99),
            time(|m| m.servers.time),
            time(|m| m.clients.time),
            switches(|m| m.servers.switches),
            switches(|m| m.clients.switches),
        )
    }

    /// What operations caused inside the nodes of DougDB.
    fn causes(&self, f: &mut fmt::Formatter<'_>, operation: Operation) -> fmt::Result {
        writeln!(
            f,
            "| clients | system | events a turn | commands a batch | batches a sync | bytes a \
             command | an operation: turns | syncs | messages | frames | wake-ups by thread |\n\
             |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---|"
        )?;
        for (cell, all) in self.cells.iter().filter(|(cell, _)| cell.operation == operation) {
            if matches!(cell.system, System::Etcd | System::Echo) {
                continue;
            }
            let counters = Counters::total(all.iter().map(|measured| &measured.counters));
            let count = all.iter().map(|measured| measured.sample.latencies.len()).sum::<usize>();
            let count = count.max(1) as f64;
            let each = |name| counters.get(name) / count;
            let wake_ups = counters.by_label("wake_ups_total");
            let wake_ups: Vec<String> = wake_ups
                .iter()
                .filter(|(_, wake_ups)| wake_ups / count >= 0.005)
                .map(|(thread, wake_ups)| format!("{thread} {:.2}", wake_ups / count))
                .collect();
            writeln!(
                f,
                "| {} | {} | {:.2} | {:.2} | {:.2} | {:.0} | {:.3} | {:.3} | {:.3} | {:.3} | {} |",
                cell.clients,
                cell.system.name(),
                counters.per("host_events_total", "host_turns_total"),
                counters.per("log_commands_total", "log_batches_total"),
                counters.per("log_batches_total", "log_syncs_total"),
                counters.per("log_batch_bytes_total", "log_commands_total"),
                each("host_turns_total"),
                each("log_syncs_total"),
                each("peer_messages_total"),
                each("peer_frames_total"),
                wake_ups.join(", "),
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; etcd {}.", self.machine, self.etcd_version)?;
        writeln!(f, "{}.\n", self.method)?;
        for &operation in &self.operations {
            let name = match operation {
                Operation::Put => "Put",
                Operation::Get => "Get, linearizable",
            };
            writeln!(f, "### {name}\n")?;
            self.table(f, operation)?;
            writeln!(f, "\n#### {name}: what it caused in all nodes together\n")?;
            self.causes(f, operation)?;
            writeln!(f)?;
        }
        let (etcd, doug) = self.idle;
        writeln!(f, "Idle, all processes together: etcd {etcd:.3} cores, DougDB {doug:.3} cores.")?;
        if self.checks.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### Cross-check: etcd driven by its own load tool\n")?;
        writeln!(
            f,
            "| operation | clients | its tool, ops/s | ours, ops/s |\n|---|---:|---:|---:|"
        )?;
        for (cell, rate) in &self.checks {
            let ours = grouped(self.rate(*cell).unwrap_or(0.0));
            let Cell { operation, clients, .. } = cell;
            writeln!(f, "| {operation:?} | {clients} | {} | {ours} |", grouped(*rate))?;
        }
        Ok(())
    }
}

/// Milliseconds.
fn percentile(sorted: &[u32], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1e3)
}

fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
