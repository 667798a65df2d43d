//! Asking everyone there is to ask.

use super::checks::Finding;
use crate::commands::status::View;
use crate::globals::Globals;
use anyhow::Context;
use doug_client::Client;

/// What was learnt.
pub struct Reached {
    /// What the nodes said.
    pub view: View,
    /// Version of this program.
    pub own_version: String,
}

/// Asks each endpoint by itself, so that one that works does not hide another.
///
/// # Errors
/// An endpoint that is none.
pub async fn reach_all(
    globals: &Globals,
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Option<Reached>> {
    let mut reached = None;
    for endpoint in &globals.endpoint {
        let client = Client::builder()
            .endpoints([endpoint.clone()])
            .timeout(globals.timeout)
            .connect()
            .await
            .with_context(|| format!("--endpoint {endpoint}"))?;
        match reach(&client).await {
            Ok(view) => reached = reached.or(Some(view)),
            Err(fault) => findings.push(Finding {
                subject: format!("endpoint {endpoint}"),
                problem: fault.to_string(),
                remedy: "start it (`doug demo`, or `doug facade`), or give the right one with \
                         --endpoint or DOUG_ENDPOINT"
                    .into(),
            }),
        }
    }
    let own_version = doug_proto::VERSION.to_owned();
    Ok(reached.map(|view| Reached { view, own_version }))
}

async fn reach(client: &Client) -> Result<View, doug_client::Fault> {
    let map = client.map().await?;
    let status = client.status().await?;
    Ok(View::new(&map, &status))
}
