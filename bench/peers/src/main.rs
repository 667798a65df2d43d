//! Measures DougDB beside etcd: five processes each, on one machine and one
//! disk, in one run, taking turns.

mod child;
mod counters;
mod doug;
mod echo;
mod etcd;
mod etcd_tool;
mod load;
mod machine;
mod plan;
mod report;
mod run;

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures DougDB beside etcd.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start both, let them take turns, print the tables, stop both
    Compare(Box<Compare>),
    /// Answer unary puts and gets at once, and keep nothing (used by `compare`)
    #[command(hide = true)]
    Echo {
        /// Where to listen.
        listen: SocketAddr,
        /// Bytes of the value of each answer to a get.
        value_bytes: usize,
    },
    /// Run a program that ends when its parent does (used by `compare`)
    #[command(hide = true)]
    Child {
        /// Pid of the parent.
        parent: i32,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

/// Options of `compare`.
#[derive(clap::Args)]
pub struct Compare {
    /// The program `doug`
    #[arg(long, value_name = "FILE")]
    doug: PathBuf,
    /// The etcd server
    #[arg(long, value_name = "FILE")]
    etcd: PathBuf,
    /// etcd's own load tool, for the cross-check
    #[arg(long, value_name = "FILE")]
    etcd_load: PathBuf,
    /// Folder for the data of both, on the disk to be measured; emptied afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
    /// Seconds of each measurement, after one second of warm-up
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often each measurement is taken; the table shows medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    clients: Vec<usize>,
    /// What is asked
    #[arg(long, value_delimiter = ',', default_value = "put,get")]
    operations: Vec<load::Operation>,
    /// Which systems are measured; etcd, and the bare gRPC server that answers the same messages
    /// at once (`echo`), are started only if they are among them
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "etcd,echo,unary-direct,unary-facade,streamed-direct,streamed-facade"
    )]
    systems: Vec<plan::System>,
    /// Operations that a streaming client keeps unanswered
    #[arg(long, default_value_t = 64)]
    window: usize,
    /// Distinct keys; all are written before the first measurement
    #[arg(long, default_value_t = 50_000)]
    keys: u64,
    /// Bytes of a value
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// Partitions of the DougDB cluster (etcd has one Raft group)
    #[arg(long, default_value_t = 8)]
    partitions: u32,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(compare) => run::compare(&compare),
        Command::Echo { listen, value_bytes } => echo::serve(listen, value_bytes),
        Command::Child { parent, command } => child::become_child(parent, &command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            doug_streams::errln!("doug-bench-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}
