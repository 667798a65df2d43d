//! Where the facade's partition map comes from, behind one trait.

mod file;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod nodes;

pub use file::FileSource;
#[cfg(feature = "kubernetes")]
pub use kubernetes::KubernetesSource;
pub use nodes::NodesSource;

use doug_proto::map::PartitionMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The map as it is known now; `None` until the first one arrives.
pub type MapReceiver = watch::Receiver<Option<Arc<PartitionMap>>>;

pub(crate) type MapSender = watch::Sender<Option<Arc<PartitionMap>>>;

/// Something that knows the partition map and hears of its changes.
///
/// A source never goes back to `None`: without news, the last map stays.
pub trait MapSource: Send {
    /// Starts watching, until the last receiver is dropped.
    fn start(self: Box<Self>) -> MapReceiver;
}

/// Which source to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapOrigin {
    /// A document in a file, read again whenever it changes.
    File(PathBuf),
    /// `WatchMap` of nodes, by `host:port`.
    Nodes(Vec<String>),
    /// The status of a DougCluster.
    #[cfg(feature = "kubernetes")]
    Kubernetes {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Nodes that are asked while the API server does not answer, by `host:port`.
        nodes: Vec<String>,
    },
}

impl MapOrigin {
    /// The source itself.
    pub fn source(&self) -> Box<dyn MapSource> {
        match self {
            MapOrigin::File(path) => Box::new(FileSource::new(path.clone())),
            #[cfg(feature = "kubernetes")]
            MapOrigin::Kubernetes { namespace, name, nodes } => {
                let nodes = nodes.clone();
                Box::new(KubernetesSource::new(namespace.clone(), name.clone(), nodes))
            }
            MapOrigin::Nodes(seeds) => Box::new(NodesSource::new(seeds.clone())),
        }
    }
}
