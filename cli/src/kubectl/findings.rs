//! What a DougCluster's status says is wrong, worst first, and what to do.

use serde_json::Value;

/// Something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it needs somebody; otherwise it passes by itself.
    pub wrong: bool,
    /// What it is about.
    pub subject: String,
    /// What is found.
    pub problem: String,
    /// What to do.
    pub remedy: Option<String>,
}

/// The state in a line.
pub fn headline(database: &Value) -> String {
    let summary = &database["status"]["summary"];
    let count = |field: &str| summary[field].as_u64().unwrap_or(0);
    let ready = match condition(database, "Ready").map(|(status, ..)| status) {
        Some("True") => "ready",
        Some("False") => "NOT READY",
        _ => "not known to be ready",
    };
    format!(
        "{ready}; {} partitions in {} clusters, {} of {} nodes ready, map epoch {}, version {}",
        count("partitions"),
        count("clusters"),
        count("readyNodes"),
        count("nodes"),
        database["status"]["partitionMap"]["epoch"].as_u64().unwrap_or(0),
        database["status"]["version"].as_str().unwrap_or("unknown"),
    )
}

/// Everything that is found.
pub fn of(database: &Value) -> Vec<Finding> {
    let mut findings: Vec<_> = unobserved(database).into_iter().collect();
    findings.extend(degraded(database));
    findings.extend(not_ready(database));
    findings.extend(nodes(database));
    findings.extend(progressing(database));
    findings
}

/// Without an operator, nothing else here can be believed.
fn unobserved(database: &Value) -> Option<Finding> {
    let declared = &database["metadata"]["generation"];
    let observed = &database["status"]["observedGeneration"];
    (declared != observed).then(|| Finding {
        wrong: true,
        subject: "operator".to_owned(),
        problem: format!(
            "generation {declared} of the spec has not been looked at (seen: {observed})"
        ),
        remedy: Some(
            "see whether it runs, and what it logs: kubectl get pods -A -l \
             app.kubernetes.io/component=operator"
                .to_owned(),
        ),
    })
}

fn degraded(database: &Value) -> Option<Finding> {
    let (_, reason, message) = condition(database, "Degraded").filter(|one| one.0 == "True")?;
    let remedy = match reason {
        "NameTaken" => "rename the DougCluster, or delete the object that has its name",
        _ => return Some(finding(reason, message, events(database))),
    };
    Some(finding(reason, message, remedy.to_owned()))
}

fn not_ready(database: &Value) -> Option<Finding> {
    let ready = condition(database, "Ready").filter(|one| one.0 != "True")?;
    // A degraded database says why already.
    let said =
        condition(database, "Degraded").is_some_and(|one| one.0 == "True" && one.2 == ready.2);
    (!said).then(|| finding(ready.1, ready.2, events(database)))
}

fn nodes(database: &Value) -> Vec<Finding> {
    let nodes = database["status"]["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| self::node(database, node)).collect()
}

fn node(database: &Value, node: &Value) -> Option<Finding> {
    let text = |field: &str| node[field].as_str().unwrap_or_default();
    let (name, state) = (text("name"), text("state"));
    let pod = format!("{}-{name}", field(database, "name"));
    let place = format!("-n {}", field(database, "namespace"));
    let (wrong, remedy) = match state {
        "Ready" if text("message").is_empty() => return None,
        "Ready" => (true, events(database)),
        "Pending" => (true, format!("kubectl describe pod {pod} {place}")),
        "Unreachable" => (
            true,
            format!(
                "kubectl describe pod {pod} {place}; kubectl logs {pod} {place} --previous; if its \
                 machine is lost for good: kubectl doug replace {name} {place}"
            ),
        ),
        "Empty" => (
            true,
            format!(
                "wait: the operator has it join, and its partitions get members on it; whether \
                 that is hindered, Progressing says: kubectl describe dougcluster {} {place}",
                field(database, "name")
            ),
        ),
        _ => (false, format!("wait: it gets there by itself; kubectl logs {pod} {place}")),
    };
    let since = text("silentSince");
    let since = if since.is_empty() { String::new() } else { format!(", silent since {since}") };
    let why = text("message");
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let problem = format!("{state}{since}{why}");
    Some(Finding { wrong, subject: format!("node {name}"), problem, remedy: Some(remedy) })
}

fn progressing(database: &Value) -> Option<Finding> {
    let (_, reason, message) = condition(database, "Progressing").filter(|one| one.0 == "True")?;
    let (subject, problem) = (reason.to_owned(), message.to_owned());
    Some(Finding { wrong: false, subject, problem, remedy: None })
}

fn finding(reason: &str, message: &str, remedy: String) -> Finding {
    let (subject, problem) = (reason.to_owned(), message.to_owned());
    Finding { wrong: true, subject, problem, remedy: Some(remedy) }
}

fn events(database: &Value) -> String {
    let (name, namespace) = (field(database, "name"), field(database, "namespace"));
    format!("what happened before it: kubectl describe dougcluster {name} -n {namespace}")
}

fn field<'a>(database: &'a Value, name: &str) -> &'a str {
    database["metadata"][name].as_str().unwrap_or_default()
}

/// Status, reason and message of a condition.
fn condition<'a>(database: &'a Value, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = database["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    Some((text("status"), text("reason"), text("message")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn database(conditions: Value, nodes: Value) -> Value {
        json!({
            "metadata": {"name": "orders", "namespace": "shop", "generation": 2},
            "status": {
                "observedGeneration": 2, "version": "0.1.0",
                "summary": {"clusters": 1, "partitions": 4, "nodes": 3, "readyNodes": 2},
                "partitionMap": {"epoch": 7},
                "conditions": conditions, "nodes": nodes,
            },
        })
    }

    #[test]
    fn a_healthy_database_has_no_finding() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let database = database(ready, json!([{"name": "a-0", "state": "Ready"}]));
        assert_eq!(of(&database), []);
        assert_eq!(
            headline(&database),
            "ready; 4 partitions in 1 clusters, 2 of 3 nodes ready, map epoch 7, version 0.1.0"
        );
    }

    #[test]
    fn what_needs_somebody_comes_first_and_has_a_remedy() {
        let conditions = json!([
            {"type": "Ready", "status": "True"},
            {"type": "Progressing", "status": "True", "reason": "RollingUpdate", "message": "1 of \
                3"},
            {"type": "Degraded", "status": "True", "reason": "NodeStuck", "message": "a-1 does not \
                start"},
        ]);
        let nodes =
            json!([{"name": "a-1", "state": "Pending"}, {"name": "a-2", "state": "CatchingUp"}]);
        let found = of(&database(conditions, nodes));
        let order: Vec<_> = found.iter().map(|one| (one.wrong, one.subject.as_str())).collect();
        let expected = [
            (true, "NodeStuck"),
            (true, "node a-1"),
            (false, "node a-2"),
            (false, "RollingUpdate"),
        ];
        assert_eq!(order, expected);
        let remedy = found[1].remedy.as_deref();
        assert_eq!(remedy, Some("kubectl describe pod orders-a-1 -n shop"));
    }

    #[test]
    fn a_spec_that_nobody_looked_at_points_to_the_operator() {
        let mut database = database(json!([]), json!([]));
        database["metadata"]["generation"] = 3.into();
        let found = of(&database);
        assert_eq!(found[0].subject, "operator");
        assert!(found[0].wrong);
    }
}
