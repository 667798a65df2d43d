//! Checks one scope, as large as there is patience for.

use clap::{Parser, ValueEnum};
use doug_model::{GroupModel, Scope};
use stateright::report::WriteReporter;
use stateright::{Checker, Model};

/// Takes the consensus core through every order of events that a scope allows.
///
/// Exits with 1 if a promise is broken, and prints the shortest way there it has found.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the group goes through.
    #[arg(value_enum, default_value = "three")]
    group: Group,
    /// How many campaigns there are, of all replicas together.
    #[arg(long)]
    campaigns: Option<u8>,
    /// How many writes.
    #[arg(long)]
    writes: Option<u8>,
    /// How many reads.
    #[arg(long)]
    reads: Option<u8>,
    /// How many quiesce proposals.
    #[arg(long)]
    quiesces: Option<u8>,
    /// How many crashes.
    #[arg(long)]
    crashes: Option<u8>,
    /// Let records become durable some time after they are written.
    #[arg(long)]
    slow_disks: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    /// Three replicas that stay.
    Three,
    /// A group of two in which one voter is replaced.
    Replacement,
}

fn main() {
    let arguments = Arguments::parse();
    let scope = match arguments.group {
        Group::Three => Scope::three(),
        Group::Replacement => Scope::replacement(),
    };
    let scope = Scope {
        campaigns: arguments.campaigns.unwrap_or(scope.campaigns),
        writes: arguments.writes.unwrap_or(scope.writes),
        reads: arguments.reads.unwrap_or(scope.reads),
        crashes: arguments.crashes.unwrap_or(scope.crashes),
        quiesces: arguments.quiesces.unwrap_or(scope.quiesces),
        slow_disks: arguments.slow_disks,
        ..scope
    };
    doug_streams::outln!("{scope:?}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = GroupModel(scope).checker().threads(threads).spawn_dfs();
    let checker = checker.join_and_report(&mut WriteReporter::new(&mut doug_streams::out::Writer));
    if checker.discovery("no promise is broken").is_some() {
        doug_streams::exit(1);
    }
}
