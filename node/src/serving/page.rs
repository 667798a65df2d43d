//! One page of a scan of one partition.

use super::answers::{ReadFailure, Served};
use super::moment::Moment;
use super::scan_pins::ScanPins;
use crate::apply::ReplicaData;
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::routing::next_key;
use doug_proto::token::{Place, ScanToken};
use doug_proto::v1;
use doug_raft::Time;
use doug_storage::tree::{ReadError, ScanRange, View};

/// Reads one page. All pages of a scan see the snapshot of the first: its
/// revision travels in the token, and a scan pin keeps it readable.
///
/// # Errors
/// A token of another scan, or a snapshot that is gone.
pub fn page(
    partition: &ReplicaData,
    scan: &v1::ScanRequest,
    served: Served,
    scan_pins: &ScanPins,
    now: Time,
) -> Result<v1::ScanResponse, ReadFailure> {
    let (database, keyspace) = (served.database, served.descriptor.keyspace);
    let token = match &scan.page_token[..] {
        [] => None,
        bytes => Some(ScanToken::from_bytes(bytes, database, keyspace)?),
    };
    let id = partition.key().partition;
    let revision = match &token {
        Some(token) => {
            let revision = snapshot_revision(token, id)?;
            scan_pins.renew(id, revision, now);
            revision
        }
        None if scan.at.is_some() => {
            let moment = Moment::of(partition, scan.at.as_ref())?;
            let pin = partition.reader().pin(moment.revision);
            scan_pins.keep(id, pin.map_err(|error| moment.failed(error))?, now);
            moment.revision
        }
        None => {
            let pin = partition.reader().pin_newest();
            let revision = pin.revision();
            scan_pins.keep(id, pin, now);
            revision
        }
    };
    let view = partition.reader().view();
    let page = read(&view, range(scan, token.as_ref()), revision, scan)?;
    // The pin outlives the last page: whoever merges several partitions may
    // drop some of its entries, and ask for them again.
    let place = Place::new(served.descriptor, revision);
    let next_page_token = page.last_key.map_or_else(Bytes::new, |last_key| {
        ScanToken::new(database, keyspace).after(last_key, vec![place], Vec::new()).to_bytes()
    });
    let header = Some(served.header(revision, partition.stamp()));
    Ok(v1::ScanResponse { header, entries: page.entries, next_page_token })
}

/// The revision a page token holds for this partition.
///
/// # Errors
/// A token that does not list the partition.
pub fn snapshot_revision(token: &ScanToken, partition: u64) -> Result<u64, Fault> {
    let place = token.places.iter().find(|place| place.partition == partition);
    place.map(|place| place.revision).ok_or_else(|| {
        Fault::invalid(format!(
            "the page token is of a scan that does not cover partition {partition}"
        ))
    })
}

struct Page {
    entries: Vec<v1::ScanEntry>,
    /// Set if there may be more.
    last_key: Option<Bytes>,
}

fn read(
    view: &View,
    range: ScanRange,
    revision: u64,
    scan: &v1::ScanRequest,
) -> Result<Page, ReadError> {
    let most = match scan.limit {
        0 => limits::SCAN_ENTRIES_DEFAULT,
        limit => limit.min(limits::SCAN_ENTRIES),
    } as usize;
    let mut entries: Vec<v1::ScanEntry> = Vec::new();
    let mut bytes = 0;
    for entry in view.scan(range, Some(revision))? {
        if entries.len() >= most || bytes >= limits::SCAN_PAGE_BYTES {
            let last_key = entries.last().map(|entry| entry.key.clone());
            return Ok(Page { entries, last_key });
        }
        let entry = entry?;
        let value = if scan.keys_only { Bytes::new() } else { entry.value };
        bytes += entry.key.len() + value.len();
        entries.push(v1::ScanEntry { key: entry.key, value, revision: entry.revision });
    }
    Ok(Page { entries, last_key: None })
}

fn range(scan: &v1::ScanRequest, token: Option<&ScanToken>) -> ScanRange {
    let mut start = scan.start.clone();
    let mut end = (!scan.end.is_empty()).then(|| scan.end.clone());
    // A token with an empty last key: this partition was not begun yet.
    if let Some(last_key) = token.map(|t| &t.last_key).filter(|key| !key.is_empty()) {
        if scan.reverse {
            end = Some(last_key.clone());
        } else {
            start = start.max(next_key(last_key));
        }
    }
    ScanRange { start, end, reverse: scan.reverse }
}
