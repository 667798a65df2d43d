//! Fake nodes that hold data: every page of a scan is answered as a node would,
//! at the snapshot that the token names.

use super::{DATABASE, Net, Reply, address, header, place, willing};
use bytes::Bytes;
use doug_client::{Fault, PartitionMap};
use doug_proto::map::KeyspaceId;
use doug_proto::token::ScanToken;
use doug_proto::v1::{self, stream_answer::Answer, stream_operation::Operation};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What was written, in order: the revision is the place in the list, from 1.
#[derive(Clone, Default)]
pub struct Data {
    written: Arc<Mutex<Vec<(Bytes, Bytes)>>>,
}

impl Data {
    pub fn put(&self, key: Bytes, value: Bytes) {
        self.written.lock().unwrap().push((key, value));
    }

    fn at(&self, revision: u64) -> BTreeMap<Bytes, v1::ScanEntry> {
        let written = self.written.lock().unwrap();
        let entries = written.iter().enumerate().take(revision as usize);
        entries
            .map(|(i, (key, value))| {
                let (key, value) = (key.clone(), value.clone());
                (key.clone(), v1::ScanEntry { key, value, revision: i as u64 + 1 })
            })
            .collect()
    }

    fn revision(&self) -> u64 {
        self.written.lock().unwrap().len() as u64
    }
}

/// Serves every partition of `map` at its first voter; returns their data.
pub fn serve(net: &Net, map: &PartitionMap) -> BTreeMap<u64, Data> {
    let mut all = BTreeMap::new();
    for partition in &map.partitions {
        let data = Data::default();
        all.insert(partition.id, data.clone());
        let id = partition.id;
        let number = partition.voters[0].node.bits();
        net.serve(&address(number), move |operation| match &operation.operation {
            Some(Operation::Scan(scan)) => page(id, &data, scan),
            _ => willing(operation),
        });
    }
    all
}

fn page(id: u64, data: &Data, scan: &v1::ScanRequest) -> Reply {
    if scan.target.as_ref().is_none_or(|target| target.partition != id) {
        return Reply::Fault(Fault::invalid("a node scans one partition"));
    }
    let token = (!scan.page_token.is_empty()).then(|| read(&scan.page_token));
    let revision = match &token {
        None => data.revision(),
        Some(token) => {
            let place = token.places.iter().find(|place| place.partition == id);
            place.expect("a token names the partition it is sent to").revision
        }
    };
    let last = token.map(|token| token.last_key).unwrap_or_default();
    let inside = |key: &Bytes| {
        *key >= scan.start
            && (scan.end.is_empty() || *key < scan.end)
            && (last.is_empty() || if scan.reverse { *key < last } else { *key > last })
    };
    let mut entries: Vec<_> = data.at(revision).into_values().filter(|e| inside(&e.key)).collect();
    if scan.reverse {
        entries.reverse();
    }
    let more = entries.len() > scan.limit as usize;
    entries.truncate(scan.limit as usize);
    let place = place(id, revision);
    let next_page_token = match entries.last() {
        Some(last) if more => {
            let token = ScanToken::new(DATABASE, KeyspaceId::DEFAULT);
            token.after(last.key.clone(), vec![place], vec![]).to_bytes()
        }
        _ => Bytes::new(),
    };
    Reply::Answer(Answer::Scan(v1::ScanResponse {
        header: header(id, revision),
        entries,
        next_page_token,
    }))
}

fn read(token: &Bytes) -> ScanToken {
    ScanToken::from_bytes(token, DATABASE, KeyspaceId::DEFAULT).unwrap()
}
