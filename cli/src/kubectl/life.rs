//! `kubectl doug restart | hibernate | wake | logs | tunnel`: what takes kubectl alone.

use super::inside::{Which, text};
use crate::exit::Exit;
use serde_json::{Value, json};
use std::time::Duration;

/// Options of `kubectl doug restart`, `hibernate` and `wake`.
#[derive(clap::Args)]
pub struct LifeArgs {
    #[command(flatten)]
    which: Which,
}

/// Options of `kubectl doug logs`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  kubectl doug logs
  kubectl doug logs a-2 --follow
  kubectl doug logs facade --since 10m")]
pub struct LogsArgs {
    /// Node (a-2), cluster (a), or `facade` [default: every pod of the database]
    of: Option<String>,
    /// Go on as lines come
    #[arg(short, long)]
    follow: bool,
    /// Only lines younger than this
    #[arg(long, value_name = "TIME", default_value = "1h")]
    since: String,
    #[command(flatten)]
    which: Which,
}

/// Options of `kubectl doug tunnel`.
#[derive(clap::Args)]
#[command(after_help = "\
Forwards a port of this machine to a facade, and again whenever that pod goes, until
Ctrl-C. In another terminal: `doug get k` (the usual endpoint is this port).

Examples:
  kubectl doug tunnel
  kubectl doug tunnel --port 17400 --database orders -n shop")]
pub struct TunnelArgs {
    /// Port of this machine
    #[arg(long, default_value_t = 7400)]
    port: u16,
    #[command(flatten)]
    which: Which,
}

/// Between two attempts to reach a facade.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes every pod anew, one at a time.
pub fn restart(args: &LifeArgs, json: bool) -> anyhow::Result<Exit> {
    let database = args.which.one()?;
    // The value is free; the version of the resource is another one each time.
    let version = text(&database, "resourceVersion");
    let patch = json!({
        "metadata": {"annotations": {"dougdb.io/restartedAt": format!("after-{version}")}},
    });
    change(args, &database, &patch, ("restarts", "every pod is made anew, one at a time"), json)
}

/// Lets the database sleep, or wakes it.
pub fn rest(args: &LifeArgs, mode: &str, json: bool) -> anyhow::Result<Exit> {
    let database = args.which.one()?;
    let said = match mode {
        "Hibernated" => ("hibernates", "its pods end, and its volumes stay"),
        _ => ("wakes", "its pods come back"),
    };
    change(args, &database, &json!({"spec": {"mode": mode}}), said, json)
}

fn change(
    args: &LifeArgs,
    database: &Value,
    patch: &Value,
    (verb, what): (&str, &str),
    json: bool,
) -> anyhow::Result<Exit> {
    let (name, namespace) = (text(database, "name"), text(database, "namespace"));
    let (object, patch) = (format!("dougclusters.dougdb.io/{name}"), patch.to_string());
    let of = ["patch", &object, "--namespace", namespace, "--type", "merge", "--patch", &patch];
    args.which.place.kubectl(&of)?;
    if json {
        let database = format!("{namespace}/{name}");
        doug_streams::outln!("{}", json!({"database": database, "does": verb}));
    } else {
        doug_streams::outln!("{namespace}/{name} {verb}: {what}");
    }
    Ok(Exit::Done)
}

/// Shows the logs of pods, each line with its pod.
pub fn logs(args: &LogsArgs) -> anyhow::Result<Exit> {
    let database = args.which.one()?;
    let arguments = logs_of(&database, args.of.as_deref(), &args.since, args.follow);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    args.which.place.pass_through(&arguments)
}

fn logs_of(database: &Value, of: Option<&str>, since: &str, follow: bool) -> Vec<String> {
    let (name, namespace) = (text(database, "name"), text(database, "namespace"));
    let nodes = database["status"]["nodes"].as_array().into_iter().flatten();
    let is_node = |of: &str| nodes.clone().any(|node| node["name"] == of);
    let all = format!("app.kubernetes.io/name=dougdb,app.kubernetes.io/instance={name}");
    let which = match of {
        Some(node) if is_node(node) => vec![format!("{name}-{node}")],
        Some("facade") => {
            vec!["--selector".to_owned(), format!("{all},app.kubernetes.io/component=facade")]
        }
        Some(cluster) => {
            vec!["--selector".to_owned(), format!("{all},dougdb.io/cluster={cluster}")]
        }
        None => vec!["--selector".to_owned(), all],
    };
    let mut arguments = vec!["logs".to_owned(), "--namespace".to_owned(), namespace.to_owned()];
    arguments.extend(which);
    // As many pods as ten clusters of five and their facades have.
    let rest = ["--all-containers", "--prefix", "--max-log-requests", "64", "--since", since];
    arguments.extend(rest.map(str::to_owned));
    arguments.extend(follow.then(|| "--follow".to_owned()));
    arguments
}

/// Forwards a port, for as long as nobody says stop.
pub fn tunnel(args: &TunnelArgs) -> anyhow::Result<Exit> {
    let database = args.which.one()?;
    let (name, namespace) = (text(&database, "name"), text(&database, "namespace"));
    let target = database["spec"]["facade"]["service"]["port"].as_u64().unwrap_or(7400);
    let (service, ports) = (format!("service/{name}-facade"), format!("{}:{target}", args.port));
    doug_streams::errln!(
        "forwarding http://127.0.0.1:{} to {namespace}/{name} until Ctrl-C",
        args.port
    );
    loop {
        // It ends when its pod does; Ctrl-C ends both processes.
        args.which.place.pass_through(&[
            "port-forward",
            "--namespace",
            namespace,
            &service,
            &ports,
        ])?;
        doug_streams::errln!("this forward has ended: beginning another");
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Value {
        json!({
            "metadata": {"name": "orders", "namespace": "shop"},
            "status": {"nodes": [{"name": "a-0"}, {"name": "a-1"}]},
        })
    }

    fn said(of: Option<&str>, follow: bool) -> String {
        logs_of(&database(), of, "1h", follow).join(" ")
    }

    #[test]
    fn logs_are_of_a_node_a_cluster_the_facades_or_all() {
        assert!(said(Some("a-1"), false).starts_with("logs --namespace shop orders-a-1 --all"));
        let instance = "app.kubernetes.io/name=dougdb,app.kubernetes.io/instance=orders";
        assert!(said(Some("a"), false).contains(&format!("{instance},dougdb.io/cluster=a")));
        assert!(said(Some("facade"), false).contains("app.kubernetes.io/component=facade"));
        assert!(said(None, true).contains(&format!("--selector {instance} --all-containers")));
        assert!(said(None, true).ends_with("--follow"));
    }
}
