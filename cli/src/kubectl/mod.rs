//! `kubectl doug …`: the program under the name `kubectl-doug`.
//!
//! It asks through kubectl itself, which is there when a plugin of it runs and
//! knows how to authenticate wherever its user can.

mod findings;

use crate::exit::Exit;
use crate::globals::Globals;
use anyhow::{Context, bail};
use clap::Subcommand;
use findings::Finding;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

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
    /// Namespace to look in
    #[arg(short, long)]
    namespace: Option<String>,
    /// Look in all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    all_namespaces: bool,
    /// Context of the kubeconfig
    #[arg(long)]
    context: Option<String>,
    /// The kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
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
    let Action::Status(status) = &args.command;
    let databases = status.databases()?;
    let judged: Vec<_> = databases.iter().map(|one| (one, findings::of(one))).collect();
    if globals.json() {
        crate::outln!("{}", document(&judged));
    } else {
        print(&judged);
    }
    let wrong = judged.iter().any(|(_, found)| found.iter().any(|finding| finding.wrong));
    Ok(if wrong { Exit::Error } else { Exit::Done })
}

impl StatusArgs {
    /// The resources, as kubectl gives them.
    fn databases(&self) -> anyhow::Result<Vec<Value>> {
        let mut command = Command::new("kubectl");
        command.args(["get", "dougclusters.dougdb.io", "-o", "json"]);
        let options = [
            ("--namespace", &self.namespace),
            ("--context", &self.context),
            ("--kubeconfig", &self.kubeconfig),
        ];
        for (option, value) in options {
            if let Some(value) = value {
                command.args([option, value]);
            }
        }
        if self.all_namespaces {
            command.arg("--all-namespaces");
        }
        command.args(&self.name);
        let output = command.output().context("kubectl cannot be run: is it in your PATH?")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let answer: Value = serde_json::from_slice(&output.stdout).context("kubectl's answer")?;
        Ok(match answer["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![answer],
        })
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
        crate::outln!("no DougCluster here; with -A, all namespaces are searched");
    }
    for (database, found) in judged {
        crate::outln!("{}: {}", title(database), findings::headline(database));
        for finding in found {
            crate::outln!("  {}: {}", finding.subject, finding.problem);
            if let Some(remedy) = &finding.remedy {
                crate::outln!("    remedy: {remedy}");
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
