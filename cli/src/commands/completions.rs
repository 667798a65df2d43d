//! `doug completions`.

use crate::exit::Exit;
use anyhow::Context;
use clap_complete::Shell;
use clap_complete::env::Shells;
use std::io::Write;

/// Set by the script: it names the shell that asks.
pub const VARIABLE: &str = "DOUG_COMPLETE";

/// Options of `doug completions`.
#[derive(clap::Args)]
#[command(after_help = "\
Nodes, clusters and partitions are offered too, where the database answers within half a
second. The script belongs to this version of the program: have it made by each shell.

Examples:
  source <(doug completions bash)          in ~/.bashrc
  source <(doug completions zsh)           in ~/.zshrc
  doug completions fish | source           in ~/.config/fish/config.fish")]
pub struct Args {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    let (shells, name) = (Shells::builtins(), args.shell.to_string());
    let shell = shells.completer(&name).with_context(|| format!("no script for {name}"))?;
    shell.write_registration(VARIABLE, "doug", "doug", "doug", &mut script)?;
    doug_streams::out::Writer.write_all(&script)?;
    Ok(Exit::Done)
}
