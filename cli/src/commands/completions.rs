//! `doug completions`.

use crate::exit::Exit;
use clap_complete::Shell;
use std::io::Write;

/// Options of `doug completions`.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  doug completions bash > ~/.local/share/bash-completion/completions/doug")]
pub struct Args {
    /// bash, elvish, fish, powershell or zsh
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "doug", &mut script);
    doug_streams::out::Writer.write_all(&script)?;
    Ok(Exit::Done)
}
