//! Where kubectl is to look, and asking it.

use crate::exit::Exit;
use anyhow::{Context, bail};
use serde_json::Value;
use std::process::Command;

/// The options of kubectl that say which Kubernetes is meant.
#[derive(clap::Args)]
pub struct Place {
    /// Namespace to look in
    #[arg(short, long)]
    namespace: Option<String>,
    /// Context of the kubeconfig
    #[arg(long)]
    context: Option<String>,
    /// The kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<String>,
}

impl Place {
    /// The DougClusters that these arguments of `kubectl get` name.
    pub fn databases(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let get = ["get", "dougclusters.dougdb.io", "-o", "json"];
        let output = self.kubectl(&[&get, arguments].concat())?;
        let answer: Value = serde_json::from_str(&output).context("kubectl's answer")?;
        Ok(match answer["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![answer],
        })
    }

    /// Runs kubectl there; what it prints.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command(arguments);
        let output = command.output().context("kubectl cannot be run: is it in your PATH?")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs kubectl there, with the input and output of this program; how it ended, as `doug`
    /// inside a pod would have.
    pub fn pass_through(&self, arguments: &[&str]) -> anyhow::Result<Exit> {
        let mut command = self.command(arguments);
        let status = command.status().context("kubectl cannot be run: is it in your PATH?")?;
        Ok(status.code().and_then(Exit::of_status).unwrap_or(Exit::Error))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(options(
            arguments,
            &[
                ("--namespace", &self.namespace),
                ("--context", &self.context),
                ("--kubeconfig", &self.kubeconfig),
            ],
        ));
        command
    }
}

/// The arguments with these options, which stand before what a pod is to run (`--`). One that is
/// named already stays.
fn options(arguments: &[&str], options: &[(&str, &Option<String>)]) -> Vec<String> {
    let end = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
    let (own, inside) = arguments.split_at(end);
    let missing = options.iter().filter(|(option, _)| !own.contains(option));
    let given = missing.filter_map(|(option, value)| Some([*option, value.as_deref()?]));
    own.iter()
        .copied()
        .chain(given.flatten())
        .chain(inside.iter().copied())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_kubectl_stand_before_what_the_pod_runs() {
        let (namespace, context) = (Some("shop".to_owned()), Some("far".to_owned()));
        let given = [("--namespace", &namespace), ("--context", &context)];
        let get = options(&["get", "pods"], &given).join(" ");
        assert_eq!(get, "get pods --namespace shop --context far");
        let exec = options(&["exec", "--namespace", "shop", "p", "--", "/doug"], &given).join(" ");
        assert_eq!(exec, "exec --namespace shop p --context far -- /doug");
    }
}
