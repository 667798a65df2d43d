//! `doug put`.

use super::conditions::PutCondition;
use crate::exit::Exit;
use crate::globals::Globals;
use std::ffi::OsString;

/// Options of `doug put`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 4 if the condition did not hold; 6 if the write may have been applied.

Examples:
  doug put greeting hello
  doug put photo --value-file cat.jpg
  echo -n hello | doug put greeting --value-file -
  doug put lock me --if-absent
  doug put greeting hi --if-revision 17
  doug put --encoding hex 00ff 6869")]
pub struct Args {
    /// Key, 1 to 4,096 bytes
    key: OsString,
    /// Value, at most 1 MiB
    #[arg(required_unless_present = "value_file", conflicts_with = "value_file")]
    value: Option<OsString>,
    /// Read the value from this file, byte for byte; - for standard input
    #[arg(long, value_name = "FILE")]
    value_file: Option<OsString>,
    #[command(flatten)]
    condition: PutCondition,
    /// Show revision, session token and who served, on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Runs the command.
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    anyhow::bail!("waits for the client crate")
}
