//! `demo.json`: what a demo is and which processes run it, for `doug demo
//! status` and for the next start on the same folder.

use super::layout::{self, Layout};
use super::processes::Condition;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const FORMAT_VERSION: u32 = 1;
/// What the facade is called among the processes.
pub const FACADE: &str = "facade";
/// Where the nodes of a demo listen.
pub const LOOPBACK: &str = "127.0.0.1";

/// Everything in `demo.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    format_version: u32,
    /// The demo's own process; absent once it has ended cleanly.
    pub pid: Option<u32>,
    /// Whether every partition has taken a write since the start.
    pub ready: bool,
    /// Where the facade listens.
    pub listen: SocketAddr,
    /// Whether the folder is removed at the end.
    pub temporary: bool,
    /// What was asked for; fixed once the database exists.
    pub shape: Shape,
    /// The database's id and the node ids it is made of: written before the
    /// first node is told, so that an interrupted creation is taken up again
    /// with the same ids and no node can belong to two databases.
    pub creation: Option<Creation>,
    /// Where the running demo takes requests.
    pub control: PathBuf,
    /// The facade.
    pub facade: Facade,
    /// The nodes, by name.
    pub nodes: Vec<Node>,
}

/// How large a demo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Clusters.
    pub clusters: u32,
    /// Nodes of each cluster.
    pub nodes: u32,
    /// Partitions of `default`, over all clusters.
    pub partitions: u32,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |number: u32, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        let [clusters, nodes, partitions] = [
            count(self.clusters, "cluster"),
            count(self.nodes, "node"),
            count(self.partitions, "partition"),
        ];
        write!(f, "{clusters} of {nodes}, {partitions}")
    }
}

/// The intent to make these nodes this database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Creation {
    /// The database: 12 hexadecimal digits.
    pub database: String,
    /// Node ids by name, without those whose volumes were lost on purpose since.
    pub nodes: BTreeMap<String, String>,
}

/// The facade's process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facade {
    /// Absent: it does not run.
    pub pid: Option<u32>,
    /// What became of it.
    pub condition: Condition,
    /// Probes and metrics.
    pub http_port: u16,
    /// What it printed.
    pub log: PathBuf,
}

/// One node's process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// For instance `a-0`.
    pub name: String,
    /// For instance `a`.
    pub cluster: String,
    /// Absent: it does not run.
    pub pid: Option<u32>,
    /// What became of it.
    pub condition: Condition,
    /// Where it listens.
    pub ports: Ports,
    /// Its volume.
    pub data: PathBuf,
    /// What it printed.
    pub log: PathBuf,
}

/// A node's four ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Clients.
    pub doug: u16,
    /// Other nodes.
    pub raft: u16,
    /// Operators.
    pub admin: u16,
    /// Probes and metrics.
    pub http: u16,
}

impl Node {
    /// Where clients reach it.
    pub fn doug_address(&self) -> String {
        format!("{LOOPBACK}:{}", self.ports.doug)
    }

    /// Where operators reach it.
    pub fn admin_address(&self) -> String {
        format!("{LOOPBACK}:{}", self.ports.admin)
    }
}

impl State {
    /// The ids of all partitions: the catalog's, and those of `default`.
    pub fn partitions(&self) -> std::ops::RangeInclusive<u64> {
        1..=u64::from(self.shape.partitions) + 1
    }

    /// A demo that has not started anything yet.
    pub fn new(layout: &Layout, shape: Shape, listen: SocketAddr, temporary: bool) -> Self {
        let facade = Facade {
            pid: None,
            condition: Condition::Stopped,
            http_port: 0,
            log: layout.log(FACADE),
        };
        let names = (0..shape.clusters).flat_map(|cluster| {
            let cluster = char::from(b'a' + cluster as u8);
            (0..shape.nodes).map(move |node| (cluster, format!("{cluster}-{node}")))
        });
        let nodes = names
            .map(|(cluster, name)| Node {
                cluster: cluster.to_string(),
                pid: None,
                condition: Condition::Stopped,
                ports: Ports { doug: 0, raft: 0, admin: 0, http: 0 },
                data: layout.node(&name),
                log: layout.log(&name),
                name,
            })
            .collect();
        Self {
            format_version: FORMAT_VERSION,
            pid: None,
            ready: false,
            listen,
            temporary,
            shape,
            creation: None,
            control: layout.control(),
            facade,
            nodes,
        }
    }

    /// Reads `demo.json`; none if the folder has no demo yet.
    pub fn load(layout: &Layout) -> anyhow::Result<Option<Self>> {
        let path = layout.state();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let wrong = || format!("{} is not what a demo wrote: use another folder", path.display());
        let value: serde_json::Value = serde_json::from_slice(&text).with_context(wrong)?;
        match value["formatVersion"].as_u64() {
            Some(1) => serde_json::from_value(value).map(Some).with_context(wrong),
            version => bail!(
                "{} has format version {version:?}, and this program knows version \
                 {FORMAT_VERSION}: use the program that wrote it, or another folder",
                path.display()
            ),
        }
    }

    /// Writes `demo.json`: whoever reads it sees the old one or the new one, whole.
    pub fn save(&self, layout: &Layout) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        replace(&layout.state(), &text)
            .with_context(|| format!("writing {}", layout.state().display()))
    }

    /// Where clients of this machine reach the facade.
    pub fn endpoint(&self) -> String {
        let mut address = self.listen;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// Which demo was started last.
#[derive(Serialize, Deserialize)]
struct Pointer {
    data: PathBuf,
}

/// Remembers that the demo in `layout` was started last.
pub fn point_to(layout: &Layout) -> anyhow::Result<()> {
    let path = layout::pointer();
    let text = serde_json::to_vec(&Pointer { data: layout.root().to_owned() })?;
    replace(&path, &text).with_context(|| format!("writing {}", path.display()))
}

/// The folder of the demo started last, if this user started one.
pub fn pointed_to() -> Option<PathBuf> {
    let path = layout::pointer();
    // The folder is everybody's: a file that somebody else put there is not ours to follow.
    let owner = std::fs::symlink_metadata(&path).ok()?.uid();
    if owner != rustix::process::getuid().as_raw() {
        return None;
    }
    let pointer: Pointer = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(pointer.data)
}

/// Forgets the demo in `layout`, if it is the one started last.
pub fn point_away(layout: &Layout) {
    if pointed_to().as_deref() == Some(layout.root()) {
        let _ = std::fs::remove_file(layout::pointer());
    }
}

fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(layout: &Layout) -> State {
        let shape = Shape { clusters: 2, nodes: 3, partitions: 8 };
        State::new(layout, shape, "0.0.0.0:7400".parse().unwrap(), false)
    }

    #[test]
    fn a_state_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        assert!(State::load(&layout).unwrap().is_none());
        let state = sample(&layout);
        state.save(&layout).unwrap();
        let read = State::load(&layout).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{state:?}"));
    }

    #[test]
    fn a_state_of_a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        std::fs::write(layout.state(), r#"{"formatVersion": 2}"#).unwrap();
        assert!(State::load(&layout).unwrap_err().to_string().contains("format version"));
    }

    #[test]
    fn nodes_are_named_after_their_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let state = sample(&Layout::new(folder.path()).unwrap());
        let names: Vec<_> = state.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]);
    }

    #[test]
    fn a_facade_on_every_address_is_reached_by_loopback() {
        let folder = tempfile::tempdir().unwrap();
        let state = sample(&Layout::new(folder.path()).unwrap());
        assert_eq!(state.endpoint(), "http://127.0.0.1:7400");
    }
}
