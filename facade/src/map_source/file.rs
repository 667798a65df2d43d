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
    let mut seen = Seen { path: path.display().to_string(), content: Err(String::new()) };
    while !sender.is_closed() {
        let now = tokio::fs::read_to_string(&path).await.map_err(|error| error.to_string());
        seen.take(now, &sender);
        tokio::time::sleep(POLL).await;
    }
}

/// What the file was when it was last looked at, so that each change is judged,
/// and said, once.
struct Seen {
    path: String,
    content: Result<String, String>,
}

impl Seen {
    fn take(&mut self, now: Result<String, String>, sender: &MapSender) {
        if now == self.content {
            return;
        }
        match now.as_ref().map_err(String::clone).and_then(|text| read_map(text, sender)) {
            Ok(map) => publish(map, sender),
            Err(error) => keep_old(&self.path, &error, sender),
        }
        self.content = now;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::map;
    use doug_proto::ids::DatabaseId;

    fn epoch(sender: &MapSender) -> Option<u64> {
        sender.borrow().as_ref().map(|map| map.epoch)
    }

    fn seen() -> (Seen, MapSender) {
        let seen = Seen { path: "map.json".into(), content: Err(String::new()) };
        (seen, watch::channel(None).0)
    }

    #[test]
    fn while_the_file_is_broken_or_gone_the_last_good_map_stays() {
        let (mut seen, sender) = seen();
        seen.take(Ok(map(2, 3).to_json()), &sender);
        for unusable in [Ok("{\"formatVersion\": 1, half"), Ok(""), Err("no such file")] {
            seen.take(unusable.map(str::to_owned).map_err(str::to_owned), &sender);
            assert_eq!(epoch(&sender), Some(3), "{unusable:?}");
        }
        seen.take(Ok(map(2, 4).to_json()), &sender);
        assert_eq!(epoch(&sender), Some(4));
    }

    #[test]
    fn the_map_of_another_database_is_not_taken() {
        let (mut seen, sender) = seen();
        seen.take(Ok(map(2, 3).to_json()), &sender);
        let mut other = map(2, 9);
        other.database = DatabaseId::from_bits(0xbad);
        seen.take(Ok(other.to_json()), &sender);
        assert_eq!(epoch(&sender), Some(3));
    }
}
