//! What the commands share that steer members: reaching the nodes' admin
//! services, names on the command line, and following a change to its end.

mod destination;
mod follow;
mod phase;
mod which;

pub use destination::destination;
pub use follow::{Ended, Follower};
pub use phase::{describe, goal_of};
pub use which::{Which, named, names_of};

#[cfg(test)]
pub use destination::tests::map as test_map;

use super::layers;
use crate::globals::Globals;
use anyhow::Context;
use doug_client::admin::Steering;
use std::path::PathBuf;

/// How to reach the admin services of the nodes.
#[derive(clap::Args, Clone, Debug)]
pub struct Reach {
    /// Admin address of any node; else the map that --endpoint serves says where they are
    #[arg(
        long,
        env = "DOUG_ADMIN_ENDPOINT",
        value_name = "HOST:PORT",
        help_heading = "Reaching the database"
    )]
    admin_endpoint: Option<String>,
    /// File with the token that the nodes ask for
    #[arg(
        long,
        env = "DOUG_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Reaching the database"
    )]
    token_file: Option<PathBuf>,
}

impl Reach {
    /// The database, ready to be steered.
    pub async fn steering(&self, globals: &Globals) -> anyhow::Result<Steering> {
        let access = layers::token(self.token_file.as_deref())?;
        // The variable says where the usual database is; a flag may mean another one.
        let hidden = globals.given.has("endpoint") && !globals.given.has("admin_endpoint");
        if let Some(address) = self.admin_endpoint.as_ref().filter(|_| !hidden) {
            return Ok(Steering::from_node(address, globals.timeout, access).await?);
        }
        let client = globals.builder_for(&globals.endpoint).sessions(false).connect().await?;
        let map = client.map().await.with_context(|| {
            format!(
                "the partition map says where the nodes are, and {} does not give it (the admin \
                 address of a node will do as well: --admin-endpoint)",
                globals.endpoint.join(", ")
            )
        })?;
        Ok(Steering::new((*map).clone(), globals.timeout, access))
    }
}
