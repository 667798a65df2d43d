//! One merged page: fetches from the partitions until it is complete.

use super::bounds::{Bounds, partitions};
use super::merge::{Leg, Merge};
use crate::engine::Engine;
use crate::simulation::{Bug, has_bug};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::map::{Keyspace, KeyspaceId, PartitionMap};
use doug_proto::routing::Routing;
use doug_proto::token::{Place, ScanToken, SessionToken};
use doug_proto::v1::{
    self, ResponseHeader, ScanEntry, ScanRequest, ScanResponse, Target, stream_answer::Answer,
    stream_operation::Operation,
};
use futures::stream::{StreamExt, iter};
use tokio::time::Instant;

/// Partitions fetched from at the same time: each may send a page of a MiB.
const AT_ONCE: usize = 16;

/// What all fetches of one page share.
struct Scan<'e> {
    engine: &'e Engine,
    request: ScanRequest,
    bounds: Bounds,
    keyspace: KeyspaceId,
    token: ScanToken,
    limit: usize,
    deadline: Instant,
}

/// What one partition returned.
struct Part {
    entries: Vec<ScanEntry>,
    all: bool,
    place: Option<Place>,
    header: Option<ResponseHeader>,
}

/// Carries out one page of a scan over all partitions that can hold its keys.
pub(crate) async fn merged_page(
    engine: &Engine,
    request: ScanRequest,
    deadline: Instant,
) -> Result<ScanResponse, Fault> {
    let table = engine.map.wait(deadline).await?;
    let map = &table.map;
    let keyspace = map.keyspace_named(&request.keyspace)?;
    let token = match &request.page_token[..] {
        [] => ScanToken::new(map.database, keyspace.id),
        bytes => ScanToken::from_bytes(bytes, map.database, keyspace.id)?,
    };
    let limit = match request.limit {
        0 => limits::SCAN_ENTRIES_DEFAULT,
        limit => limit,
    } as usize;
    let (start, end, reverse) = (request.start.clone(), request.end.clone(), request.reverse);
    let bounds = Bounds { start, end, reverse }.after(&token.last_key);
    if bounds.is_empty() {
        return Ok(ScanResponse::default());
    }
    let scan = Scan { engine, request, bounds, keyspace: keyspace.id, token, limit, deadline };
    let legs = scan.legs(map, keyspace);
    let of_one = scan.request.at.and_then(|at| at.at).is_some_and(|at| {
        matches!(at, v1::at::At::Revision(_)) && map.partitions_in(keyspace.id).len() > 1
    });
    if of_one {
        return Err(Fault::invalid(
            "a revision is of one partition: scan all of them at a time, or one of them by its id",
        ));
    }
    match keyspace.routing {
        Routing::Range => scan.concatenate(legs).await,
        Routing::Hash { .. } => scan.merge(legs).await,
    }
}

impl Scan<'_> {
    /// The partitions that may have more, in the order of the scan.
    fn legs(&self, map: &PartitionMap, keyspace: &Keyspace) -> Vec<Leg> {
        let ids = partitions(map, keyspace, &self.bounds).into_iter().map(|p| p.id);
        let left = ids.filter(|id| !self.token.done.contains(id));
        let place = |id| self.token.places.iter().find(|place| place.partition == id).copied();
        left.map(|id| Leg::new(id, place(id))).collect()
    }

    /// A page under range routing, where partitions follow each other: one after the
    /// other until it is full.
    async fn concatenate(&self, legs: Vec<Leg>) -> Result<ScanResponse, Fault> {
        let mut headers = Headers::default();
        let mut entries: Vec<ScanEntry> = Vec::new();
        let mut bytes = 0;
        let mut legs = legs.into_iter().peekable();
        while let Some(mut leg) = legs.next() {
            let left =
                u32::try_from(self.limit - entries.len()).expect("a page has at most 10,000");
            let part = self.fetch(&leg, left).await?;
            headers.add(part.header);
            leg.place = part.place;
            bytes += part.entries.iter().map(|e| e.key.len() + e.value.len()).sum::<usize>();
            entries.extend(part.entries);
            let full = entries.len() >= self.limit || bytes >= limits::SCAN_PAGE_BYTES;
            // A page of a partition ends early only because of its bytes.
            if !part.all || (full && legs.peek().is_some()) {
                let next_page_token = self.token_after(&entries, &leg, part.all);
                return Ok(ScanResponse { header: headers.merged(), entries, next_page_token });
            }
        }
        Ok(ScanResponse { header: headers.merged(), entries, next_page_token: Bytes::new() })
    }

    /// Partitions before this one need no mention: the last key lies beyond them.
    fn token_after(&self, entries: &[ScanEntry], leg: &Leg, all: bool) -> Bytes {
        let last = entries.last().map(|entry| entry.key.clone()).unwrap_or_default();
        let (places, done) = if all {
            (Vec::new(), vec![leg.partition])
        } else {
            (leg.place.into_iter().collect(), Vec::new())
        };
        self.token.after(last, places, done).to_bytes()
    }

    /// A page under hash routing, where the keys of partitions interleave.
    async fn merge(&self, legs: Vec<Leg>) -> Result<ScanResponse, Fault> {
        let mut headers = Headers::default();
        let mut merge = Merge::new(legs, self.bounds.reverse, self.limit);
        let share = merge.share(merge.legs.len());
        loop {
            let wanting = merge.wanting();
            if wanting.is_empty() {
                break;
            }
            let fetches: Vec<_> = wanting
                .into_iter()
                .map(|number| {
                    let leg = merge.legs[number].clone();
                    async move { (number, self.fetch(&leg, share).await) }
                })
                .collect();
            let mut fetched = iter(fetches).buffer_unordered(AT_ONCE);
            while let Some((number, part)) = fetched.next().await {
                let part = part?;
                headers.add(part.header);
                merge.legs[number].place = part.place;
                merge.add(number, part.entries, part.all);
            }
        }
        let (entries, legs) = merge.finish();
        let next_page_token = self.next_token(&entries, &legs);
        Ok(ScanResponse { header: headers.merged(), entries, next_page_token })
    }

    fn next_token(&self, entries: &[ScanEntry], legs: &[Leg]) -> Bytes {
        let left: Vec<_> = legs.iter().filter(|leg| !leg.is_done()).collect();
        let Some(last) = entries.last().filter(|_| !left.is_empty()) else {
            return Bytes::new();
        };
        let places = left.iter().filter_map(|leg| leg.place).collect();
        let done = legs.iter().filter(|leg| leg.is_done()).map(|leg| leg.partition);
        let done = self.token.done.iter().copied().chain(done).collect();
        self.token.after(last.key.clone(), places, done).to_bytes()
    }

    /// Fetches up to `limit` further entries of one partition, at its snapshot.
    async fn fetch(&self, leg: &Leg, limit: u32) -> Result<Part, Fault> {
        let last = leg.last_key();
        let bounds = self.bounds.clone().after(&last);
        // The bounds say already where to go on, so the token only names the snapshot.
        let page_token = match leg.place {
            Some(place) if !has_bug(Bug::SnapshotForgotten) => {
                self.token.after(Bytes::new(), vec![place], Vec::new()).to_bytes()
            }
            _ => Bytes::new(),
        };
        let request = ScanRequest {
            start: bounds.start,
            end: bounds.end,
            limit,
            page_token,
            target: Some(Target { partition: leg.partition, ..Default::default() }),
            ..self.request.clone()
        };
        let fetching = self.engine.execute(Operation::Scan(request), self.deadline);
        let Answer::Scan(page) = Box::pin(fetching).await? else {
            return Err(Fault::unavailable("a scan was answered with something else"));
        };
        let all = page.next_page_token.is_empty();
        if page.entries.is_empty() && !all {
            let partition = leg.partition;
            return Err(Fault::new(
                tonic::Code::Internal,
                format!("partition {partition} sent an empty page that is not its last"),
            ));
        }
        let place = leg.place.or_else(|| place_of(page.header.as_ref(), self.keyspace));
        Ok(Part { entries: page.entries, all, place, header: page.header })
    }
}

/// The snapshot that a partition's first page was read at.
fn place_of(header: Option<&ResponseHeader>, keyspace: KeyspaceId) -> Option<Place> {
    let ResponseHeader { partition, generation, revision, .. } = *header?;
    Some(Place { partition, generation, revision, keyspace: keyspace.number() })
}

/// The headers of the parts of a page, made one.
#[derive(Default)]
struct Headers {
    last: Option<ResponseHeader>,
    seen: SessionToken,
    stalest: Option<u64>,
    unknown: bool,
    followed: bool,
}

impl Headers {
    fn add(&mut self, header: Option<ResponseHeader>) {
        let Some(header) = header else { return };
        if let Ok(token) = SessionToken::from_bytes(&header.session_token) {
            self.seen.merge(&token);
        }
        self.stalest = self.stalest.max(header.staleness_milliseconds);
        self.unknown |= header.staleness_milliseconds.is_none();
        self.followed |= !header.leader;
        self.last = Some(header);
    }

    /// Of the last part, except what must hold for all of them.
    fn merged(self) -> Option<ResponseHeader> {
        let mut header = self.last?;
        header.session_token = self.seen.to_bytes();
        header.stamp = self.seen.stamp;
        header.staleness_milliseconds = self.stalest.filter(|_| !self.unknown);
        header.leader = !self.followed;
        Some(header)
    }
}
