//! Asking for the state of every node, whoever the endpoint is.

use super::View;
use doug_client::{Builder, Fault, PartitionMap};
use doug_proto::v1::StatusResponse;
use std::sync::Arc;

/// What was said at one moment.
#[derive(Debug)]
pub struct Look {
    /// The partition map.
    pub map: Arc<PartitionMap>,
    /// What all nodes said.
    pub status: StatusResponse,
}

impl Look {
    /// All of it put together.
    pub fn view(&self) -> View {
        View::new(&self.map, &self.status)
    }
}

/// A facade asks every node by itself. A node answers for itself only; then the
/// others are asked straight, by the map that it gave.
///
/// # Errors
/// `UNAVAILABLE` when nobody answers, or no map is known.
pub async fn look(builder: impl Fn() -> Builder) -> Result<Look, Fault> {
    let client = builder().connect().await?;
    let map = client.map().await?;
    let mut status = client.status().await?;
    if status.nodes.len() < map.nodes.len() {
        let direct = builder().direct_from_endpoints().connect().await?;
        status.nodes = direct.status().await?.nodes;
    }
    Ok(Look { map, status })
}

/// The same, put together.
///
/// # Errors
/// As [`look`] has them.
pub async fn ask(builder: impl Fn() -> Builder) -> Result<View, Fault> {
    look(builder).await.map(|look| look.view())
}
