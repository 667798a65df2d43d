//! What changes in an interval of keys, over all its partitions, from a moment on.

use crate::options::{At, Range};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::ids::DatabaseId;
use doug_proto::map::PartitionMap;
use doug_proto::token::{Place, SessionToken};
use doug_proto::v1::{self, WatchEvent, WatchRequest, WatchResponse};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tonic::Code;

/// How long a server waits for something to tell before it only says how far it is.
pub(crate) const WAIT: Duration = Duration::from_secs(5);
/// Partitions asked at the same time where a watch begins.
const AT_ONCE: usize = 16;

/// From when on a watch tells what changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// After everything that was acknowledged before the watch began.
    #[default]
    Now,
    /// After this moment. A revision is of one partition.
    At(At),
    /// After what a watch has told ([`Watch::token`]), or what a session has seen
    /// ([`Client::session_token`](crate::Client::session_token)). A partition that the token does
    /// not list begins after all that is stamped at or below the token's stamp.
    Token(Bytes),
}

/// How to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// From when on.
    pub since: Since,
    /// Events carry values.
    pub values: bool,
}

/// What has changed in one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// The partition.
    pub partition: u64,
    /// Everything up to this revision is told.
    pub through: u64,
    /// By revision, and of one revision by key. All events of one revision come together. Empty:
    /// nothing has changed.
    pub events: Vec<WatchEvent>,
}

/// An answer, and whose it is.
type Answer = (u64, Result<WatchResponse, Fault>);
/// What was told so far of a command whose changes come in several answers.
#[derive(Debug, Default)]
struct Part {
    events: Vec<WatchEvent>,
    /// The key that the last answer ended with.
    key: Bytes,
    /// Of the command.
    revision: u64,
}

/// How a partition is asked; `true` after a pause, for it has just failed.
type Ask = Box<dyn Fn(WatchRequest, bool) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A watch: what changes in an interval of keys, every committed change once, in the order of its
/// partition. Of two partitions neither waits for the other.
///
/// It holds at most one answer a partition, and asks for the next once that is taken: who takes
/// slowly is behind, and holds nobody up. It goes on by itself over leaders that change, partitions
/// that move, and servers that die.
pub struct Watch {
    ask: Ask,
    /// What all partitions are asked.
    request: WatchRequest,
    database: DatabaseId,
    asking: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Told at the start.
    ready: VecDeque<Changes>,
    places: BTreeMap<u64, Place>,
    /// Commands of which a part was told, by partition.
    parts: BTreeMap<u64, Part>,
    stamp: u64,
    ended: Option<Fault>,
}

impl Watch {
    /// Begins one of these partitions of the map, and waits until it is known from where on it
    /// tells what changes in each.
    pub(crate) async fn begin(
        ask: Ask,
        map: &PartitionMap,
        partitions: &[u64],
        range: &Range,
        options: &WatchOptions,
    ) -> Result<Self, Fault> {
        let request = WatchRequest {
            start: range.start.clone(),
            end: range.end.clone(),
            values: options.values,
            ..Default::default()
        };
        let token = match &options.since {
            Since::Token(token) => SessionToken::of_database(token, map.database)?,
            _ => SessionToken::default(),
        };
        if let (Since::At(At::Revision(_)), [_, _, ..]) = (&options.since, partitions) {
            return Err(Fault::invalid(format!(
                "a revision is of one partition, and {} can hold keys of this interval: begin at a \
                 time, or watch one key",
                partitions.len()
            )));
        }
        let mut watch = Self {
            ask,
            request,
            database: map.database,
            asking: FuturesUnordered::new(),
            ready: VecDeque::new(),
            places: BTreeMap::new(),
            parts: BTreeMap::new(),
            stamp: token.stamp,
            ended: None,
        };
        let first = partitions.iter().map(|partition| {
            let after = match (&options.since, token.revision(*partition)) {
                (Since::At(at), _) => Some(at.to_wire()),
                (Since::Token(_), 0) if token.stamp > 0 => Some(At::Stamp(token.stamp).to_wire()),
                (Since::Now | Since::Token(_), 0) => None,
                (_, revision) => Some(At::Revision(revision).to_wire()),
            };
            (watch.ask)(watch.asked(*partition, after, Duration::ZERO), false)
        });
        let first: Vec<_> = first.collect();
        let mut first = futures::stream::iter(first).buffer_unordered(AT_ONCE);
        while let Some((partition, answer)) = first.next().await {
            let changes = watch.take(partition, answer?);
            if !changes.events.is_empty() {
                watch.ready.push_back(changes);
            }
            watch.go_on(partition, false);
        }
        Ok(watch)
    }

    /// The next that has changed, or how far a partition is where nothing has. Whoever drops the
    /// future loses nothing.
    ///
    /// # Errors
    /// The watch has ended: with [`Fault::floor`](crate::Fault::floor) where history does not reach
    /// back to where it was, because whoever watches was away for too long or is too slow. What was
    /// missed can be read by a scan; another watch goes on from there.
    pub async fn next(&mut self) -> Result<Changes, Fault> {
        if let Some(ready) = self.ready.pop_front() {
            return Ok(ready);
        }
        loop {
            if let Some(fault) = &self.ended {
                return Err(fault.clone());
            }
            match self.asking.next().await {
                Some((partition, Ok(answer))) => {
                    let changes = self.take(partition, answer);
                    self.go_on(partition, false);
                    // A part alone is nothing to tell yet: empty would say that nothing has
                    // changed, and whoever then goes on from the token reads that part for ever.
                    if !(changes.events.is_empty() && self.parts.contains_key(&partition)) {
                        return Ok(changes);
                    }
                }
                Some((partition, Err(fault))) if passes(&fault) => self.go_on(partition, true),
                Some((_, Err(fault))) => self.ended = Some(fault),
                None => self.ended = Some(Fault::invalid("no partition holds such a key")),
            }
        }
    }

    /// What was told so far: another watch of the same interval goes on from there
    /// ([`Since::Token`]), and reads by [`Read::Session`](crate::Read::Session) see it.
    pub fn token(&self) -> Bytes {
        // What was answered at the start and is not told yet does not count.
        let mut places = self.places.clone();
        for untold in &self.ready {
            if let Some(place) = places.get_mut(&untold.partition) {
                let first = untold.events.first().map_or(untold.through, |event| event.revision);
                place.revision = first.saturating_sub(1);
            }
        }
        let Some(first) = places.values().next() else { return Bytes::new() };
        let mut token = SessionToken::of(self.database, *first, self.stamp);
        token.places = places.into_values().collect();
        token.to_bytes()
    }

    fn asked(&self, partition: u64, after: Option<v1::At>, wait: Duration) -> WatchRequest {
        WatchRequest {
            after,
            wait_milliseconds: wait.as_millis() as u32,
            target: Some(v1::Target { partition, ..Default::default() }),
            ..self.request.clone()
        }
    }

    /// Takes an answer in. Of a command that was told in part nothing is passed on before the rest
    /// is there: so what is passed on are whole commands.
    fn take(&mut self, partition: u64, answer: WatchResponse) -> Changes {
        let header = answer.header.unwrap_or_default();
        let mut events = answer.events;
        if let Some(part) = self.parts.remove(&partition) {
            events.splice(0..0, part.events);
        }
        let mut through = header.revision;
        if !answer.told_key.is_empty() {
            let whole = events.partition_point(|event| event.revision < header.revision);
            let rest = events.split_off(whole);
            let part = Part { events: rest, key: answer.told_key, revision: header.revision };
            self.parts.insert(partition, part);
            through = header.revision.saturating_sub(1);
        }
        let seen = SessionToken::from_bytes(&header.session_token).unwrap_or_default();
        let known = seen.places.iter().find(|place| place.partition == partition).copied();
        let place = known.unwrap_or_default();
        self.places.insert(partition, Place { partition, revision: through, ..place });
        self.stamp = self.stamp.max(header.stamp);
        Changes { partition, through, events }
    }

    fn go_on(&mut self, partition: u64, has_failed: bool) {
        let whole = self.places.get(&partition).map_or(0, |place| place.revision);
        let part = self.parts.get(&partition).map(|part| (part.revision, part.key.clone()));
        let (revision, after_key) = part.unwrap_or((whole, Bytes::new()));
        let after = Some(At::Revision(revision).to_wire());
        let request = WatchRequest { after_key, ..self.asked(partition, after, WAIT) };
        self.asking.push((self.ask)(request, has_failed));
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("places", &self.places).finish_non_exhaustive()
    }
}

/// Whether it may go better the next time.
fn passes(fault: &Fault) -> bool {
    matches!(
        fault.code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::map::testing::sample;
    use doug_proto::v1::ResponseHeader;
    use doug_proto::v1::at::At as Moment;

    /// Answers a watch of a command at revision 8 that has changed `a`, `b` and `c`, one key an
    /// answer; then nothing changes any more.
    fn torn(request: &WatchRequest) -> WatchResponse {
        let after = request.after.as_ref().and_then(|after| after.at);
        let told = |revision, keys: &[&'static str], told_key: &'static str| WatchResponse {
            header: Some(ResponseHeader { revision, ..Default::default() }),
            events: keys
                .iter()
                .map(|key| WatchEvent { revision, key: Bytes::from(*key), ..Default::default() })
                .collect(),
            told_key: Bytes::from(told_key),
        };
        match (after, &request.after_key[..]) {
            (None, _) => told(7, &[], ""),
            (Some(Moment::Revision(7)), _) => told(8, &["a"], "a"),
            (_, b"a") => told(8, &["b"], "b"),
            (_, b"b") => told(8, &["c"], ""),
            _ => told(9, &[], ""),
        }
    }

    /// It said that nothing has changed, and whoever went on from its token after so few answers
    /// never came to the end of the command (seeds 598, 854 and 900 of the simulator).
    #[tokio::test]
    async fn of_a_command_that_is_told_in_parts_nothing_is_passed_on_before_it_is_whole() {
        let ask: Ask = Box::new(|request, _| {
            let answer = torn(&request);
            Box::pin(async move { (2, Ok(answer)) })
        });
        let options = WatchOptions { since: Since::Now, values: false };
        let begun = Watch::begin(ask, &sample(2), &[2], &Range::all(), &options).await;
        let mut watch = begun.expect("the partition answers");
        let first = watch.next().await.expect("it goes on");
        let keys: Vec<_> = first.events.iter().map(|event| &event.key[..]).collect();
        assert_eq!((first.through, keys), (8, vec![&b"a"[..], b"b", b"c"]));
        let second = watch.next().await.expect("it goes on");
        assert_eq!((second.through, second.events), (9, vec![]));
    }
}
