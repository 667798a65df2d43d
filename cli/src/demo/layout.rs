//! Where everything of a demo lies.

use std::io;
use std::path::{Path, PathBuf};

/// A Unix socket's path must fit into 108 bytes, its end included.
const SOCKET_PATH_BYTES: usize = 100;

/// The folder of one demo.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under `root`, which need not exist yet.
    pub fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { root: std::path::absolute(root)? })
    }

    /// Makes the folders.
    pub fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(self.root.join("nodes"))?;
        std::fs::create_dir_all(self.root.join("logs"))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Pids, ports and shape.
    pub fn state(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// Locked by the demo that runs on this folder.
    pub fn lock(&self) -> PathBuf {
        self.root.join("demo.lock")
    }

    /// The volume of one node.
    pub fn node(&self, name: &str) -> PathBuf {
        self.root.join("nodes").join(name)
    }

    /// What one process printed.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// Where the running demo takes requests.
    pub fn control(&self) -> PathBuf {
        let here = self.root.join("control.sock");
        if here.as_os_str().len() <= SOCKET_PATH_BYTES {
            return here;
        }
        std::env::temp_dir().join(format!("doug-demo-{}.sock", std::process::id()))
    }
}

/// The file that names the demo this user started last.
pub fn pointer() -> PathBuf {
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("doug-demo-{user}.json"))
}
