//! Before anything is started: which folder, which shape, which ports.

use super::args::Start;
use super::layout::Layout;
use super::lock::{self, Lock};
use super::ports;
use super::state::{self, Shape, State};
use crate::exit::usage;
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;

const DEFAULT: Shape = Shape { clusters: 2, nodes: 5, partitions: 8 };
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7400);
const TEMPORARY: &str = "doug-demo-data-";

/// A folder of one's own, and what is to run on it.
#[derive(Debug)]
pub struct Prepared {
    /// Where everything lies.
    pub layout: Layout,
    /// What is to run.
    pub state: State,
    /// The folder, if it is to be removed at the end. Before the lock, so that
    /// it is gone before anybody else may take it.
    pub temporary: Option<TempDir>,
    /// Held to the end.
    _lock: Lock,
}

/// Finds the folder, locks it, and decides what is to run on it.
///
/// # Errors
/// A demo that already runs there, a port that is taken, a shape that is not
/// the one of the data: each with what to do.
pub async fn prepare(args: &Start) -> anyhow::Result<Prepared> {
    remove_leftover();
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix(TEMPORARY).tempdir()?),
    };
    let folder = args.data.as_deref().or(temporary.as_ref().map(TempDir::path));
    let layout = Layout::new(folder.context("no folder")?)?;
    layout.create().with_context(|| format!("making {}", layout.root().display()))?;
    let lock = lock::take(&layout).await?;
    let mut state = decide(args, &layout, temporary.is_some())?;
    ports::assign(&mut state)?;
    Ok(Prepared { layout, state, temporary, _lock: lock })
}

fn decide(args: &Start, layout: &Layout, temporary: bool) -> anyhow::Result<State> {
    let stored = State::load(layout)?;
    let shape = shape(args, stored.as_ref().map(|state| state.shape), layout.root())?;
    let listen = args.listen.or(stored.as_ref().map(|state| state.listen));
    let listen = listen.unwrap_or(DEFAULT_LISTEN);
    let mut state = State::new(layout, shape, listen, temporary);
    let Some(stored) = stored else { return Ok(state) };
    // The folder may have been moved: of what was stored, only the ids and
    // ports still hold.
    state.creation = stored.creation;
    state.facade.http_port = stored.facade.http_port;
    for node in &mut state.nodes {
        if let Some(stored) = stored.nodes.iter().find(|stored| stored.name == node.name) {
            node.ports = stored.ports;
        }
    }
    Ok(state)
}

fn shape(args: &Start, stored: Option<Shape>, folder: &Path) -> anyhow::Result<Shape> {
    let base = stored.unwrap_or(DEFAULT);
    let asked = Shape {
        clusters: args.clusters.unwrap_or(base.clusters),
        nodes: args.nodes.unwrap_or(base.nodes),
        partitions: args.partitions.unwrap_or(base.partitions),
    };
    if let Some(stored) = stored.filter(|stored| *stored != asked) {
        return Err(usage(format!(
            "the database in {} has {stored}, which a demo cannot change: leave --clusters, \
             --nodes and --partitions away, or give another --data",
            folder.display()
        )));
    }
    if asked.partitions < asked.clusters {
        let Shape { clusters, partitions, .. } = asked;
        return Err(usage(format!(
            "{partitions} partitions cannot be spread over {clusters} clusters: give at least \
             --partitions {clusters}"
        )));
    }
    Ok(asked)
}

/// A demo that was killed could not remove its temporary folder: the next does.
fn remove_leftover() {
    let Some(folder) = state::pointed_to() else { return };
    let is_ours = folder.starts_with(std::env::temp_dir())
        && folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY));
    let Ok(layout) = Layout::new(&folder) else { return };
    if is_ours && !lock::is_held(&layout) {
        let _ = std::fs::remove_dir_all(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(clusters: Option<u32>, partitions: Option<u32>) -> Start {
        Start { clusters, nodes: None, partitions, data: None, listen: None, tour: false }
    }

    fn shape_of(args: &Start, stored: Option<Shape>) -> Result<Shape, String> {
        shape(args, stored, Path::new("shop")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_as_stored() {
        let stored = Shape { clusters: 1, nodes: 3, partitions: 2 };
        assert_eq!(shape_of(&args(None, None), Some(stored)), Ok(stored));
        assert_eq!(shape_of(&args(Some(1), Some(2)), Some(stored)), Ok(stored));
        assert_eq!(shape_of(&args(None, None), None), Ok(DEFAULT));
    }

    #[test]
    fn another_shape_than_stored_is_refused_and_the_stored_one_named() {
        let error = shape_of(&args(Some(3), None), Some(DEFAULT)).unwrap_err();
        assert!(error.contains("2 clusters of 5 nodes, 8 partitions"), "{error}");
    }

    #[test]
    fn every_cluster_needs_a_partition() {
        assert!(shape_of(&args(Some(9), None), None).unwrap_err().contains("--partitions 9"));
    }
}
