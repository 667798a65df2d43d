//! `kubectl doug replace`: tells the operator to give nodes up.

use super::place::Place;
use super::title;
use crate::exit::Exit;
use anyhow::{bail, ensure};
use serde_json::Value;

/// By which the operator is told.
const ANNOTATION: &str = "dougdb.io/replace";

/// Options of `kubectl doug replace`.
#[derive(clap::Args)]
#[command(after_help = "\
The volume of a node that is replaced is DELETED with its data; the node comes
back with an empty one and gets its partitions from the others. Use it for a
node whose machine is dead, or whose volume is damaged. The operator refuses
while another node that holds the same partitions is down, and
`kubectl doug status` says so.

Examples:
  kubectl doug replace a-2
  kubectl doug replace a-2 b-0 --database orders -n shop")]
pub struct ReplaceArgs {
    /// Nodes to give up, as `kubectl doug status` names them: a-2
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// Database they belong to [default: the only one of the namespace]
    #[arg(short, long)]
    database: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &ReplaceArgs) -> anyhow::Result<Exit> {
    let name = args.database.as_deref();
    let databases = args.place.databases(name.as_slice())?;
    let [database] = &databases[..] else {
        let names: Vec<String> = databases.iter().map(title).collect();
        bail!(
            "there are {} DougClusters here ({}): say which with --database",
            names.len(),
            names.join(", ")
        );
    };
    let value = annotation(database, &args.nodes)?;
    let text = |field: &str| database["metadata"][field].as_str().unwrap_or_default();
    let annotation = format!("{ANNOTATION}={value}");
    // Of two that are told at the same time, none is to be forgotten.
    let version = format!("--resource-version={}", text("resourceVersion"));
    let dougcluster = format!("dougclusters.dougdb.io/{}", text("name"));
    let namespace = format!("--namespace={}", text("namespace"));
    args.place.kubectl(&[
        "annotate",
        &dougcluster,
        &annotation,
        "--overwrite",
        &version,
        &namespace,
    ])?;
    for node in &args.nodes {
        doug_streams::outln!(
            "node {node} of {} is to be replaced: the claim data-{}-{node} is deleted, with its \
             data",
            title(database),
            text("name"),
        );
    }
    doug_streams::outln!("watch it: kubectl doug status {} -n {}", text("name"), text("namespace"));
    Ok(Exit::Done)
}

/// The annotation with these nodes beside those it names already.
fn annotation(database: &Value, nodes: &[String]) -> anyhow::Result<String> {
    let known = database["status"]["nodes"].as_array().into_iter().flatten();
    let known: Vec<&str> = known.filter_map(|node| node["name"].as_str()).collect();
    for node in nodes {
        ensure!(
            known.contains(&node.as_str()),
            "{} has no node {node:?}; it has {}",
            title(database),
            known.join(", ")
        );
    }
    let told = database["metadata"]["annotations"][ANNOTATION].as_str().unwrap_or_default();
    let mut names: Vec<&str> =
        told.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    for node in nodes {
        if !names.contains(&node.as_str()) {
            names.push(node);
        }
    }
    Ok(names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(annotations: Value, nodes: &[&str]) -> Result<String, String> {
        let database = json!({
            "metadata": {"name": "orders", "namespace": "shop", "annotations": annotations},
            "status": {"nodes": [{"name": "a-0"}, {"name": "a-1"}, {"name": "a-2"}]},
        });
        let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        annotation(&database, &nodes).map_err(|error| error.to_string())
    }

    #[test]
    fn nodes_are_added_to_those_that_were_told_before() {
        assert_eq!(told(json!({}), &["a-2"]).unwrap(), "a-2");
        let before = json!({ANNOTATION: "a-0"});
        assert_eq!(told(before, &["a-2", "a-0"]).unwrap(), "a-0,a-2");
    }

    #[test]
    fn a_node_that_is_not_there_is_refused_with_those_that_are() {
        let refused = told(json!({}), &["a-3"]).unwrap_err();
        assert_eq!(refused, "shop/orders has no node \"a-3\"; it has a-0, a-1, a-2");
    }
}
