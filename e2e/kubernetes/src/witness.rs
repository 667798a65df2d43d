//! Clients inside the cluster that write and read meanwhile, and judge the answers.

use crate::database::{Database, Pod};
use crate::kubectl;
use crate::operator;
use crate::wait::{seconds, until};
use serde::Deserialize;
use serde_json::json;

/// The image that the suite has built and loaded.
const IMAGE: &str = "dougdb/witness:e2e";

/// A witness at work.
#[derive(Debug)]
pub struct Witness<'a> {
    database: &'a Database<'a>,
    name: String,
}

/// Its report; see `doug-witness`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Operations asked.
    pub operations: u64,
    /// Writes of fresh keys acknowledged.
    pub acknowledged: usize,
    /// Requests that ended in any error.
    pub failed: usize,
    /// Some of them.
    pub failures: Vec<String>,
    /// Writes applied, then tried again as something new.
    pub applied_twice: usize,
    /// Acknowledged, and not there.
    pub lost: Vec<String>,
    /// Promised never to be applied, and there.
    pub undead: Vec<String>,
    /// Keys whose history is linearizable.
    pub linearizable: usize,
    /// Keys whose history is not.
    pub not_linearizable: Vec<String>,
    /// The longest time one client went without a success.
    pub longest_gap_milliseconds: u64,
}

impl<'a> Witness<'a> {
    /// Starts one, and waits until it writes.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(database: &'a Database<'a>, name: &str) -> Self {
        let name = format!("witness-{name}");
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                // A drain or a dead node must not take the witness away with it.
                "tolerations": [{"operator": "Exists"}],
                "containers": [{
                    "name": "witness",
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "args": ["--endpoint", database.endpoint(), "--name", name],
                }],
            },
        });
        let applied = database.namespace().apply(&pod.to_string());
        applied.unwrap_or_else(|error| panic!("the witness is refused: {error}"));
        let witness = Self { database, name };
        until("the witness writes", seconds(90), || {
            witness.log().contains("started").then_some(())
        });
        witness
    }

    /// The machine it runs on.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn node(&self) -> String {
        self.database.kubectl(&["get", "pod", &self.name, "-o", "jsonpath={.spec.nodeName}"])
    }

    /// A node whose machine can die: neither the witness nor the operator is there,
    /// which someone has to tell and which has to act.
    ///
    /// # Panics
    /// When there is none.
    pub fn expendable(&self) -> Pod {
        let mut needed = operator::machines();
        needed.push(self.node());
        let nodes = self.database.pods("node").into_iter();
        let mut free = nodes.filter(|pod| !needed.iter().any(|machine| machine == pod.node()));
        free.next().expect("of three machines one has a node and neither operator nor witness")
    }

    /// Ends the clients, and waits for the judgement.
    ///
    /// # Panics
    /// When there is none, with what the witness said.
    pub fn stop(self) -> Report {
        let stop = ["exec", &self.name, "--", "/doug-witness", "--stop"];
        until("the witness is told to stop", seconds(60), || {
            kubectl::attempt(&self.database.namespace().arguments(&stop)).ok()
        });
        until("the witness judges", seconds(300), || {
            let pod = kubectl::get(&self.database.namespace().arguments(&["pod", &self.name]))?;
            match pod["status"]["phase"].as_str() {
                Some("Failed") => panic!("the witness failed: {}", self.log()),
                Some("Succeeded") => Some(()),
                _ => None,
            }
        });
        let log = self.log();
        let last = log.lines().last().unwrap_or_default();
        let report: Report = serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("no report of the witness ({error}): {log}"));
        println!(
            "{}: {} operations, {} writes of fresh keys acknowledged, {} failed, longest gap {} ms",
            self.name,
            report.operations,
            report.acknowledged,
            report.failed,
            report.longest_gap_milliseconds
        );
        report
    }

    fn log(&self) -> String {
        let logs = self.database.namespace().arguments(&["logs", &self.name]);
        kubectl::attempt(&logs).unwrap_or_default()
    }
}

impl Report {
    /// Insists on what holds whatever happens: nothing lost, nothing applied
    /// twice, nothing that was excluded, everything in one order.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn nothing_lost(&self) -> &Self {
        assert!(self.acknowledged > 0, "nothing was acknowledged: {self:?}");
        assert_eq!(self.applied_twice, 0, "applied, then tried again as something new: {self:?}");
        assert!(self.lost.is_empty(), "acknowledged and lost: {self:?}");
        assert!(self.undead.is_empty(), "promised never to be applied, and there: {self:?}");
        assert!(self.not_linearizable.is_empty(), "no order explains the answers: {self:?}");
        self
    }

    /// Insists that no request failed either.
    ///
    /// # Panics
    /// When one did.
    pub fn no_failed_request(&self) -> &Self {
        self.nothing_lost();
        assert_eq!(self.failed, 0, "requests failed: {self:?}");
        self
    }
}
