//! Commands of `doug` that run inside a node's pod: there the admin services are in reach, and so
//! is the token, however the cluster's network looks from here.

use super::place::Place;
use super::title;
use crate::exit::Exit;
use anyhow::{anyhow, bail};
use serde_json::Value;

/// Which database is meant.
#[derive(clap::Args)]
pub struct Which {
    /// Database [default: the only one of the namespace]
    #[arg(short, long, value_name = "NAME")]
    database: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

impl Which {
    /// The resource.
    ///
    /// # Errors
    /// There is none, or several and no word which.
    pub fn one(&self) -> anyhow::Result<Value> {
        let name = self.database.as_deref();
        let databases = self.place.databases(name.as_slice())?;
        let [database] = &databases[..] else {
            let names: Vec<String> = databases.iter().map(title).collect();
            bail!(
                "there are {} DougClusters here ({}): say which with --database",
                databases.len(),
                names.join(", ")
            );
        };
        Ok(database.clone())
    }

    /// Runs `doug WORDS` inside a pod of the database.
    ///
    /// # Errors
    /// No pod runs that belongs to the database.
    pub fn run_inside(
        &self,
        database: &Value,
        words: &[String],
        json: bool,
    ) -> anyhow::Result<Exit> {
        let (name, namespace) = (text(database, "name"), text(database, "namespace"));
        let selector = format!(
            "app.kubernetes.io/name=dougdb,app.kubernetes.io/instance={name},\
             app.kubernetes.io/component=node"
        );
        let list = ["get", "pods", "-o", "json", "-l", &selector, "--namespace", namespace];
        let pods: Value = serde_json::from_str(&self.place.kubectl(&list)?)?;
        let pod = pod(database, &pods)?;
        let arguments = arguments(namespace, &pod, words, json);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.place.pass_through(&arguments)
    }
}

/// How a command that steers reaches the node of its pod. One that only looks asks this machine's
/// usual endpoint, which is the node there.
pub const REACH: [&str; 4] =
    ["--admin-endpoint", "127.0.0.1:7402", "--token-file", "/etc/dougdb/token/token"];

/// A field of the metadata.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// A pod whose node is a member of the database; one that is ready, if there is any.
fn pod(database: &Value, pods: &Value) -> anyhow::Result<String> {
    let nodes = database["status"]["nodes"].as_array().into_iter().flatten();
    let state = |pod: &str| {
        let name = pod.strip_prefix(text(database, "name"))?.strip_prefix('-')?;
        nodes.clone().find(|node| node["name"] == name)?["state"].as_str()
    };
    let running = pods["items"].as_array().into_iter().flatten().filter(|pod| {
        let containers = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        let mut own = containers.filter(|container| container["name"] == "node");
        own.any(|container| container["state"]["running"].is_object())
    });
    let rank = |pod: &str| match state(pod) {
        Some("Ready") => 0,
        // It has an empty volume, and knows nobody.
        Some("Empty") => 2,
        _ => 1,
    };
    let best = running.map(|pod| text(pod, "name")).min_by_key(|pod| (rank(pod), *pod));
    best.filter(|pod| rank(pod) < 2).map(str::to_owned).ok_or_else(|| {
        anyhow!(
            "no pod of {} runs that belongs to the database: see `kubectl doug status`",
            title(database)
        )
    })
}

fn arguments(namespace: &str, pod: &str, words: &[String], json: bool) -> Vec<String> {
    let exec = ["exec", "--namespace", namespace, pod, "--container", "node", "--", "/doug"];
    let output = if json { ["-o", "json"] } else { ["-o", "text"] };
    let words = words.iter().map(String::as_str);
    exec.into_iter().chain(words).chain(output).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn database(states: [&str; 3]) -> Value {
        let nodes =
            (0..3).zip(states).map(|(i, state)| json!({"name": format!("a-{i}"), "state": state}));
        json!({
            "metadata": {"name": "orders", "namespace": "shop"},
            "status": {"nodes": nodes.collect::<Vec<_>>()},
        })
    }

    fn pods(running: [bool; 3]) -> Value {
        let pod = |(i, runs): (usize, bool)| {
            let state = if runs { json!({"running": {}}) } else { json!({"waiting": {}}) };
            json!({
                "metadata": {"name": format!("orders-a-{i}")},
                "status": {"containerStatuses": [{"name": "node", "state": state}]},
            })
        };
        json!({"items": (0..3).zip(running).map(pod).collect::<Vec<_>>()})
    }

    #[test]
    fn a_ready_node_is_asked_before_others_and_an_empty_one_never() {
        let all = pods([true, true, true]);
        let chosen = |states| pod(&database(states), &all).ok();
        assert_eq!(chosen(["Empty", "CatchingUp", "Ready"]).unwrap(), "orders-a-2");
        assert_eq!(chosen(["Empty", "CatchingUp", "Empty"]).unwrap(), "orders-a-1");
        assert_eq!(chosen(["Empty", "Empty", "Empty"]), None);
    }

    #[test]
    fn a_pod_that_does_not_run_is_not_asked() {
        let ready = database(["Ready", "Ready", "Ready"]);
        assert_eq!(pod(&ready, &pods([false, true, true])).unwrap(), "orders-a-1");
        let why = pod(&ready, &pods([false; 3])).unwrap_err().to_string();
        assert!(why.contains("shop/orders"), "{why}");
    }

    #[test]
    fn the_command_runs_in_the_node_s_container() {
        let words = ["doctor".to_owned()];
        assert_eq!(
            arguments("shop", "orders-a-0", &words, true).join(" "),
            "exec --namespace shop orders-a-0 --container node -- /doug doctor -o json"
        );
    }
}
