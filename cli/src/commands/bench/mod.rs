//! `doug bench`.

mod keys;
mod measure;
mod open;
mod progress;
mod report;
mod target;

use super::consistency;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use crate::units;
use anyhow::Context;
use clap::ValueEnum;
use measure::Plan;
use std::time::Duration;
use target::Target;

/// Options of `doug bench`.
#[derive(clap::Args)]
#[command(after_help = "\
With --rate the load is open: operations start when they should, and latencies
count from then, so that a stall shows in the percentiles. Without it, each
client starts the next operation when the last one is answered.

Writes keys that begin with \"bench/\".

Examples:
  doug bench --op put --clients 256
  doug bench --op get --unary --clients 64 --duration 30s
  doug bench --op mixed --rate 20000 --value-size 1KiB -o json")]
pub struct Args {
    /// What to measure: put, get (of keys written before), or mixed (half and half)
    #[arg(long, default_value = "put")]
    op: Operation,
    /// Clients with one operation under way each
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=65536)
    )]
    clients: u32,
    /// Start so many operations a second, answered or not
    #[arg(
        long,
        value_name = "PER_SECOND",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000)
    )]
    rate: Option<u64>,
    /// One call an operation
    #[arg(long, conflicts_with = "streams")]
    unary: bool,
    /// Operations share streams (default)
    #[arg(long)]
    streams: bool,
    /// Connections to spread over [default: 1 for streams, else up to 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "10s")]
    duration: Duration,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "1s")]
    warm_up: Duration,
    /// Bytes of each value
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, default_value = "256B")]
    value_size: u64,
    /// Different keys
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100_000,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    keys: u64,
    #[command(flatten)]
    consistency: consistency::Args,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Writes
    Put,
    /// Reads of keys written before the measurement
    Get,
    /// Half and half
    Mixed,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        args.value_size <= doug_proto::limits::VALUE_BYTES as u64,
        "--value-size exceeds the limit of {} bytes",
        doug_proto::limits::VALUE_BYTES
    );
    if args.duration.is_zero() {
        return Err(usage("--duration must be longer than nothing"));
    }
    let connections = args.connections.unwrap_or(if args.unary { args.clients.min(16) } else { 1 });
    let target = Target::connect(globals, args.unary, connections as usize).await?;
    let plan = Plan {
        operation: args.op,
        clients: args.clients as usize,
        rate: args.rate,
        warm_up: args.warm_up,
        duration: args.duration,
        value_size: usize::try_from(args.value_size)?,
        keys: args.keys,
        read: args.consistency.read(),
    };
    measure::probe(&target).await.context("nothing was measured: the first read failed")?;
    if plan.operation != Operation::Put {
        measure::prepare(&plan, &target).await?;
    }
    let measured = measure::run(&plan, &target).await;
    Ok(report::print(&plan, args.unary, &measured, globals))
}
