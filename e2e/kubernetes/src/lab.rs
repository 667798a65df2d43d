//! What no API can do to a Kubernetes: kill a machine, restart the API server.
//! Only the suite's own Kubernetes can be treated so; `DOUG_LAB` names its program.

use std::path::PathBuf;
use std::process::Command;

/// A node or the API server, put back when dropped.
#[derive(Debug)]
pub struct Broken {
    mend: Vec<String>,
}

impl Broken {
    /// Kills a machine: kubelet and every container at once.
    ///
    /// # Panics
    /// When this Kubernetes is not the suite's own.
    pub fn node(name: &str) -> Self {
        run(&["kill-node", name]);
        Self { mend: vec!["start-node".to_owned(), name.to_owned()] }
    }

    /// Ends the API server.
    ///
    /// # Panics
    /// When this Kubernetes is not the suite's own.
    pub fn api_server() -> Self {
        run(&["stop-apiserver"]);
        Self { mend: vec!["start-apiserver".to_owned()] }
    }

    /// Starts it again.
    pub fn mend(self) {
        drop(self);
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        let arguments: Vec<_> = self.mend.iter().map(String::as_str).collect();
        run(&arguments);
    }
}

/// Kills every container of this name at once; their kubelets start them again.
///
/// # Panics
/// When this Kubernetes is not the suite's own.
pub fn kill_containers(name: &str) {
    run(&["kill-containers", name]);
}

/// Whether machines of this Kubernetes can be broken.
pub fn is_ours() -> bool {
    std::env::var_os("DOUG_LAB").is_some()
}

fn run(arguments: &[&str]) {
    let program = std::env::var_os("DOUG_LAB").map(PathBuf::from);
    let program = program.expect("DOUG_LAB names the lab's program: e2e/kubernetes/run sets it");
    let status = Command::new(program).args(arguments).status().expect("the lab's program starts");
    assert!(status.success(), "lab {}: {status}", arguments.join(" "));
}
