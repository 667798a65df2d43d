//! Asking for the state of every node, whoever the endpoint is.

use super::View;
use doug_client::{Builder, Fault};

/// A facade asks every node by itself. A node answers for itself only; then the
/// others are asked straight, by the map that it gave.
///
/// # Errors
/// `UNAVAILABLE` when nobody answers, or no map is known.
pub async fn ask(builder: impl Fn() -> Builder) -> Result<View, Fault> {
    let client = builder().connect().await?;
    let map = client.map().await?;
    let mut status = client.status().await?;
    if status.nodes.len() < map.nodes.len() {
        let direct = builder().direct_from_endpoints().connect().await?;
        status.nodes = direct.status().await?.nodes;
    }
    Ok(View::new(&map, &status))
}
