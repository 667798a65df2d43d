//! The map from a file, watched by reading it twice a second: unlike change
//! notifications this also works on network volumes and mounted ConfigMaps.

use super::{MapReceiver, MapSender, MapSource};
use doug_proto::map::PartitionMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const POLL: Duration = Duration::from_millis(500);

/// A map document in a file.
pub struct FileSource {
    path: PathBuf,
}

impl FileSource {
    /// Watches `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl MapSource for FileSource {
    fn start(self: Box<Self>) -> MapReceiver {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(watch_file(self.path, sender));
        receiver
    }
}

async fn watch_file(path: PathBuf, sender: MapSender) {
    let mut seen = Err(String::new());
    while !sender.is_closed() {
        let now = tokio::fs::read_to_string(&path).await.map_err(|error| error.to_string());
        if now != seen {
            match now.clone().and_then(|text| read_map(&text, &sender)) {
                Ok(map) => publish(map, &sender),
                Err(error) => keep_old(&path.display().to_string(), &error, &sender),
            }
            seen = now;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A file of another database is a mistake: this facade's clients would find
/// none of their keys.
fn read_map(text: &str, sender: &MapSender) -> Result<PartitionMap, String> {
    let map = PartitionMap::from_json(text).map_err(|fault| fault.to_string())?;
    match &*sender.borrow() {
        Some(old) if old.database != map.database => Err(format!(
            "it is the map of database {}, and this facade serves {}: restart the facade to change",
            map.database, old.database
        )),
        _ => Ok(map),
    }
}

fn publish(map: PartitionMap, sender: &MapSender) {
    tracing::info!(database = %map.database, epoch = map.epoch, "read the partition map");
    sender.send_replace(Some(Arc::new(map)));
}

fn keep_old(path: &str, error: &str, sender: &MapSender) {
    match &*sender.borrow() {
        Some(old) => tracing::warn!(
            "the partition map {path} is unusable ({error}); going on with epoch {}",
            old.epoch
        ),
        None => tracing::warn!("no partition map yet: {path}: {error}"),
    }
}
