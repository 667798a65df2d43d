//! `kubectl doug …`: the program under the name `kubectl-doug`.
//!
//! It asks through kubectl itself, which is there when a plugin of it runs and
//! knows how to authenticate wherever its user can.

mod complete;
mod findings;
mod inside;
mod life;
mod place;
mod replace;
mod steer;

use crate::exit::Exit;
use crate::globals::Globals;
use clap::Subcommand;
use findings::Finding;
use place::Place;
use replace::ReplaceArgs;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

pub use complete::complete;

/// The name under which kubectl finds plugins.
const PLUGIN: &str = "kubectl-doug";
/// The name under which it asks what may follow on a command line.
const COMPLETER: &str = "kubectl_complete-doug";

/// Options of `doug kubectl`.
#[derive(clap::Args)]
#[command(after_help = "\
To use it as `kubectl doug`, link the program into your PATH:
  ln -s \"$(command -v doug)\" /usr/local/bin/kubectl-doug
and, to have it completed as kubectl is:
  ln -s \"$(command -v doug)\" /usr/local/bin/kubectl_complete-doug")]
pub struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say what is wrong with databases on Kubernetes, worst first, with the remedy
    Status(StatusArgs),
    /// Look at a database from inside, as `doug doctor` does
    Doctor(steer::DoctorArgs),
    /// Show the logs of its pods
    Logs(life::LogsArgs),
    /// Move partitions to another cluster
    Move(steer::MoveArgs),
    /// Hand leaderships over
    Transfer(steer::TransferArgs),
    /// Make every pod anew, one at a time
    Restart(life::LifeArgs),
    /// Let a database sleep: its pods end, and its volumes stay
    Hibernate(life::LifeArgs),
    /// Wake a database that hibernates or is paused
    Wake(life::LifeArgs),
    /// Let partitions begin anew that lost their quorum for good
    Recover(steer::RecoverArgs),
    /// Forward a port to a facade, for as long as you like
    Tunnel(life::TunnelArgs),
    /// Give nodes up: their volumes are deleted, new ones get their partitions from the others
    Replace(ReplaceArgs),
}

/// Options of `kubectl doug status`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status 1 if anything is wrong.

Examples:
  kubectl doug status
  kubectl doug status orders -n shop
  kubectl doug status -A -o json")]
struct StatusArgs {
    /// Database to look at [default: every one of the namespace]
    name: Option<String>,
    /// Look in all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,
    #[command(flatten)]
    place: Place,
}

/// The command line, as if `doug kubectl` had been called where the program is
/// called as kubectl's plugin.
pub fn arguments(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let called = arguments.first().and_then(|program| Path::new(program).file_stem());
    if called.is_some_and(|name| name == PLUGIN) {
        arguments.insert(1, "kubectl".into());
    }
    arguments
}

/// Whether the program is called to complete a command line of the plugin.
pub fn is_completing(arguments: &[OsString]) -> bool {
    let called = arguments.first().and_then(|program| Path::new(program).file_stem());
    called.is_some_and(|name| name == COMPLETER)
}

/// Runs the command.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let json = globals.json();
    match &args.command {
        Action::Status(status) => self::status(status, json),
        Action::Doctor(doctor) => steer::doctor(doctor, json),
        Action::Logs(logs) => life::logs(logs),
        Action::Move(to) => steer::move_partitions(to, json),
        Action::Transfer(to) => steer::transfer(to, json),
        Action::Restart(of) => life::restart(of, json),
        Action::Hibernate(of) => life::rest(of, "Hibernated", json),
        Action::Wake(of) => life::rest(of, "Running", json),
        Action::Recover(recover) => steer::recover(recover, json),
        Action::Tunnel(tunnel) => life::tunnel(tunnel),
        Action::Replace(replace) => replace::run(replace),
    }
}

fn status(status: &StatusArgs, json: bool) -> anyhow::Result<Exit> {
    let databases = status.databases()?;
    let judged: Vec<_> = databases.iter().map(|one| (one, findings::of(one))).collect();
    if json {
        doug_streams::outln!("{}", document(&judged));
    } else {
        print(&judged);
    }
    let wrong = judged.iter().any(|(_, found)| found.iter().any(|finding| finding.wrong));
    Ok(if wrong { Exit::Error } else { Exit::Done })
}

impl StatusArgs {
    /// The resources, as kubectl gives them.
    fn databases(&self) -> anyhow::Result<Vec<Value>> {
        let all = self.all_namespaces.then_some("--all-namespaces");
        let arguments: Vec<&str> = all.into_iter().chain(self.name.as_deref()).collect();
        self.place.databases(&arguments)
    }
}

fn title(database: &Value) -> String {
    let name = |field: &str| database["metadata"][field].as_str().unwrap_or("?").to_owned();
    format!("{}/{}", name("namespace"), name("name"))
}

fn document(judged: &[(&Value, Vec<Finding>)]) -> Value {
    let one = |(database, found): &(&Value, Vec<Finding>)| {
        let finding = |finding: &Finding| {
            json!({
                "wrong": finding.wrong, "subject": finding.subject,
                "problem": finding.problem, "remedy": finding.remedy,
            })
        };
        let found: Vec<_> = found.iter().map(finding).collect();
        json!({"database": title(database), "findings": found})
    };
    judged.iter().map(one).collect()
}

fn print(judged: &[(&Value, Vec<Finding>)]) {
    if judged.is_empty() {
        doug_streams::outln!("no DougCluster here; with -A, all namespaces are searched");
    }
    for (database, found) in judged {
        doug_streams::outln!("{}: {}", title(database), findings::headline(database));
        for finding in found {
            doug_streams::outln!("  {}: {}", finding.subject, finding.problem);
            if let Some(remedy) = &finding.remedy {
                doug_streams::outln!("    remedy: {remedy}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_completes_under_the_name_that_kubectl_asks_by() {
        let called = |name: &str| is_completing(&[OsString::from(name)]);
        assert!(called("/usr/local/bin/kubectl_complete-doug"));
        assert!(!called("/usr/local/bin/kubectl-doug"));
    }

    #[test]
    fn the_plugin_is_the_program_under_another_name() {
        let plugin = ["/usr/local/bin/kubectl-doug", "status"].map(OsString::from).to_vec();
        let expected = ["/usr/local/bin/kubectl-doug", "kubectl", "status"].map(OsString::from);
        assert_eq!(arguments(plugin), expected);
        let program = ["/usr/bin/doug", "status"].map(OsString::from).to_vec();
        assert_eq!(arguments(program.clone()), program);
    }
}
