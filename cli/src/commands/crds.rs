//! `doug crds`.

use crate::exit::Exit;

/// Options of `doug crds`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  doug crds | kubectl apply --server-side -f -")]
pub struct Args {}

/// Runs the command.
pub fn run(_args: &Args) -> anyhow::Result<Exit> {
    doug_streams::out!("{}", yaml()?);
    Ok(Exit::Done)
}

#[cfg(feature = "kubernetes")]
fn yaml() -> anyhow::Result<String> {
    Ok(doug_crds::yaml())
}

#[cfg(not(feature = "kubernetes"))]
fn yaml() -> anyhow::Result<String> {
    Err(super::built_without_kubernetes("the definitions of the Kubernetes resources"))
}
