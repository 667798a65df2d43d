//! A node beside those of a demo: empty, and a member of nothing yet.

use crate::program;
use crate::wait::until;
use doug_client::admin::Admin;
use doug_proto::access::AccessToken;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// The node. It ends with this value.
#[derive(Debug)]
pub struct Spare {
    process: Child,
    /// Its admin address.
    pub admin: String,
    /// Its ports: for clients, nodes, operators, and probes and metrics.
    pub ports: [u16; 4],
}

impl Spare {
    /// Starts one with its data in `folder`, and waits until it answers. Must be called,
    /// and dropped, by the thread of the test.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn start(folder: &Path, name: &str, cluster: &str, token: Option<&str>) -> Self {
        let log = File::create(folder.join(format!("{name}.log"))).expect("a log");
        Self::launch(folder, name, cluster, token, log.into(), None).await
    }

    /// The same with `log` as its standard error, on which it logs at `level`.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn start_logging_to(folder: &Path, name: &str, log: Stdio, level: &str) -> Self {
        Self::launch(folder, name, "a", None, log, Some(level)).await
    }

    async fn launch(
        folder: &Path,
        name: &str,
        cluster: &str,
        token: Option<&str>,
        log: Stdio,
        level: Option<&str>,
    ) -> Self {
        let ports = free_ports();
        let [doug, raft, admin, http] = ports.map(|port| port.to_string());
        let mut command = program::command(folder);
        command
            .args(["node", "--name", name, "--cluster", cluster, "--address", "127.0.0.1"])
            .args(["--doug-port", &doug, "--raft-port", &raft])
            .args(["--admin-port", &admin, "--http-port", &http])
            .args(["--log-limit", "64MiB", "--memory-budget", "64MiB", "--data"])
            .arg(folder.join(name))
            .env("DOUG_PARENT_PID", std::process::id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(level) = level {
            command.env("DOUG_LOG", level);
        }
        let mut access = AccessToken::default();
        if let Some(token) = token {
            let file = folder.join(format!("{name}.token"));
            std::fs::write(&file, token).expect("the token is written");
            command.arg("--token-file").arg(file);
            access = AccessToken::parse(token).expect("a token");
        }
        let process = command.spawn().expect("the program starts");
        let spare = Self { process, admin: format!("127.0.0.1:{admin}"), ports };
        let asked = Admin::new(&spare.admin).expect("an address").with_token(access);
        until("the node answers", Duration::from_secs(30), || async {
            asked.identify().await.ok()
        })
        .await;
        spare
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.process
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ports that were free a moment ago, all different.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
