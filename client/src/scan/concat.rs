//! One page under range routing: the partitions follow each other.

use super::merge::Leg;
use super::page::{Headers, Scan};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::{ScanEntry, ScanResponse};

/// Reads partition after partition until the page is full.
pub(super) async fn page(scan: &Scan<'_>, legs: Vec<Leg>) -> Result<ScanResponse, Fault> {
    let mut headers = Headers::default();
    let mut entries: Vec<ScanEntry> = Vec::new();
    let mut bytes = 0;
    let mut legs = legs.into_iter().peekable();
    while let Some(mut leg) = legs.next() {
        let left = u32::try_from(scan.limit - entries.len()).expect("a page has at most 10,000");
        let part = scan.fetch(&leg, left).await?;
        headers.add(part.header);
        leg.place = part.place;
        bytes += part.entries.iter().map(|e| e.key.len() + e.value.len()).sum::<usize>();
        entries.extend(part.entries);
        let full = entries.len() >= scan.limit || bytes >= limits::SCAN_PAGE_BYTES;
        // A page of a partition ends early only because of its bytes.
        if !part.all || (full && legs.peek().is_some()) {
            let next_page_token = token(scan, &entries, &leg, part.all);
            return Ok(ScanResponse { header: headers.merged(), entries, next_page_token });
        }
    }
    Ok(ScanResponse { header: headers.merged(), entries, next_page_token: Bytes::new() })
}

/// Partitions before this one need no mention: the last key lies beyond them.
fn token(scan: &Scan<'_>, entries: &[ScanEntry], leg: &Leg, all: bool) -> Bytes {
    let last = entries.last().map(|entry| entry.key.clone()).unwrap_or_default();
    let (places, done) = match (all, leg.place) {
        (true, _) => (Vec::new(), vec![leg.partition]),
        (false, place) => (place.into_iter().collect(), Vec::new()),
    };
    scan.token.after(last, places, done).to_bytes()
}
