//! Where kubectl is to look, and asking it.

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
        let mut command = Command::new("kubectl");
        command.args(arguments);
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
        let output = command.output().context("kubectl cannot be run: is it in your PATH?")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
