//! `kubectl doug …`: the program under the name `kubectl-doug`.
//!
//! It asks through kubectl itself, which is there when a plugin of it runs and
//! knows how to authenticate wherever its user can.

mod findings;
mod place;
mod replace;

use crate::exit::Exit;
use crate::globals::Globals;
use clap::Subcommand;
use findings::Finding;
use place::Place;
use replace::ReplaceArgs;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

/// The name under which kubectl finds plugins.
const PLUGIN: &str = "kubectl-doug";

/// Options of `doug kubectl`.
#[derive(clap::Args)]
#[command(after_help = "\
To use it as `kubectl doug`, link the program into your PATH:
  ln -s \"$(command -v doug)\" /usr/local/bin/kubectl-doug")]
pub struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say what is wrong with databases on Kubernetes, worst first, with the remedy
    Status(StatusArgs),
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

/// Runs the command.
pub fn run(args: &Args, globals: &Globals) -> anyhow::Result<Exit> {
    let status = match &args.command {
        Action::Status(status) => status,
        Action::Replace(replace) => return replace::run(replace),
    };
    let databases = status.databases()?;
    let judged: Vec<_> = databases.iter().map(|one| (one, findings::of(one))).collect();
    if globals.json() {
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
    fn the_plugin_is_the_program_under_another_name() {
        let plugin = ["/usr/local/bin/kubectl-doug", "status"].map(OsString::from).to_vec();
        let expected = ["/usr/local/bin/kubectl-doug", "kubectl", "status"].map(OsString::from);
        assert_eq!(arguments(plugin), expected);
        let program = ["/usr/bin/doug", "status"].map(OsString::from).to_vec();
        assert_eq!(arguments(program.clone()), program);
    }
}
