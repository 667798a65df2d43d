//! The operator that the suite has installed with the chart.

use crate::database::Pod;
use crate::kubectl;
use crate::wait::{seconds, until};
use std::process::{Command, Stdio};

/// Where it is installed.
pub const NAMESPACE: &str = "dougdb-system";
/// What its pods are labelled with.
pub const SELECTOR: &str = "app.kubernetes.io/component=operator";

/// Another release of the chart, in a namespace of its own, both gone when dropped.
#[derive(Debug)]
pub struct Release {
    namespace: String,
}

impl Release {
    /// Installs it under the name of the first, and waits until its operator runs.
    ///
    /// # Errors
    /// What helm said. Nothing is left of it then.
    ///
    /// # Panics
    /// When helm cannot be started.
    pub fn install(namespace: &str, values: &[&str]) -> Result<Self, String> {
        let release = Self { namespace: namespace.to_owned() };
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/dougdb");
        let install = ["install", "dougdb", chart, "--create-namespace", "--wait", "--timeout=2m"];
        helm(&[&install[..], &["--namespace", namespace], values].concat())?;
        Ok(release)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        // A release that was refused is not there.
        let _ = helm(&["uninstall", "dougdb", "--namespace", &self.namespace]);
        let _ = kubectl::attempt(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

fn helm(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("helm").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("helm is in the path");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// How many pods it has.
///
/// # Panics
/// When it cannot be scaled.
pub fn scale(replicas: u32) {
    let replicas = format!("--replicas={replicas}");
    kubectl::run(&["-n", NAMESPACE, "scale", "deployment/dougdb", &replicas]);
    await_rollout();
}

/// Deletes its pods, without grace.
///
/// # Panics
/// When they cannot be deleted.
pub fn kill() {
    let now = ["--grace-period=0", "--force", "--wait=false"];
    kubectl::run(&[&["-n", NAMESPACE, "delete", "pods", "-l", SELECTOR][..], &now].concat());
}

/// Waits until as many pods are ready as are wanted.
///
/// # Panics
/// When they are not within two minutes.
pub fn await_rollout() {
    until("the operator is ready", seconds(120), || {
        let status = ["-n", NAMESPACE, "rollout", "status", "deployment/dougdb", "--timeout=10s"];
        kubectl::attempt(&status).ok()
    });
}

/// The image that it runs, which databases run too unless told otherwise.
///
/// # Panics
/// When it is not installed.
pub fn image() -> String {
    let path = "jsonpath={.spec.template.spec.containers[0].image}";
    kubectl::run(&["-n", NAMESPACE, "get", "deployment", "dougdb", "-o", path])
}

/// Its pods.
pub fn pods() -> Vec<Pod> {
    kubectl::list(&["-n", NAMESPACE, "pods", "-l", SELECTOR]).into_iter().map(Pod).collect()
}

/// The machines on which it runs.
pub fn machines() -> Vec<String> {
    pods().iter().map(|pod| pod.node().to_owned()).collect()
}

/// How often its containers have been started again, all together.
pub fn restarts() -> u64 {
    pods().iter().map(Pod::restarts).sum()
}

/// What it has logged lately.
pub fn log() -> String {
    kubectl::attempt(&["-n", NAMESPACE, "logs", "-l", SELECTOR, "--tail=5000"]).unwrap_or_default()
}
