//! `doug operator`.

use crate::exit::Exit;
use std::net::SocketAddr;

/// Options of `doug operator`.
#[derive(clap::Args)]
#[command(after_help = "\
Finds the API server by its pod's service account, or by KUBECONFIG. Any number
may run: one of them works, the others wait for its lease.

Examples:
  doug operator --image dougdb/doug:0.1.0
  doug operator --watch-namespaces shop,stock")]
pub struct Args {
    /// Namespaces to care for, separated by commas [default: all]
    #[arg(
        long,
        env = "DOUG_OPERATOR_WATCH_NAMESPACES",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    watch_namespaces: Vec<String>,
    /// Namespace of the lease by which several operators agree who works
    #[arg(long, env = "DOUG_OPERATOR_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Name of that lease; with its namespace it names the installation
    #[arg(
        long,
        env = "DOUG_OPERATOR_LEASE",
        value_name = "NAME",
        default_value = "dougdb-operator"
    )]
    lease: String,
    /// Name of this operator among them; its pod's [default: made up]
    #[arg(long, env = "DOUG_OPERATOR_IDENTITY", value_name = "NAME")]
    identity: Option<String>,
    /// Image of databases that declare none
    #[arg(long, env = "DOUG_OPERATOR_IMAGE", default_value_t = own_image())]
    image: String,
    /// Where probes and metrics are
    #[arg(
        long,
        env = "DOUG_OPERATOR_HTTP",
        value_name = "IP:PORT",
        default_value = "127.0.0.1:7403"
    )]
    http: SocketAddr,
}

fn own_image() -> String {
    format!("dougdb/doug:{}", env!("CARGO_PKG_VERSION"))
}

/// Runs an operator until told to stop.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    serve(args).await?;
    Ok(Exit::Done)
}

#[cfg(not(feature = "kubernetes"))]
async fn serve(_args: Args) -> anyhow::Result<()> {
    Err(super::built_without_kubernetes("the roles for Kubernetes"))
}

#[cfg(feature = "kubernetes")]
async fn serve(args: Args) -> anyhow::Result<()> {
    let made_up = || format!("doug-operator-{}", std::process::id());
    let config = doug_operator::Config {
        watch_namespaces: args
            .watch_namespaces
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect(),
        namespace: args.namespace,
        lease: args.lease,
        identity: args.identity.unwrap_or_else(made_up),
        image: args.image,
        http: args.http,
    };
    doug_operator::run(config, super::stop::signal()?).await
}
