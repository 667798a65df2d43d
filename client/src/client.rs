//! The client: one entry, and typed helpers over it.

use crate::engine::{Engine, prepare};
use crate::options::{At, If, Range, Read, ScanOptions};
use crate::scan::{ScanStream, merged_page, partitions_of};
use crate::settings::{Mode, Settings};
use crate::transaction::{Step, Transaction, whole_milliseconds};
use crate::watch::{Watch, WatchOptions};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::map::PartitionMap;
use doug_proto::routing::holds_one_key;
use doug_proto::status;
use doug_proto::transaction::told;
use doug_proto::v1::{self, stream_answer::Answer, stream_operation::Operation, write_operation};
use futures::{FutureExt, StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;

/// Partitions asked at the same time for the stamp of a cut.
const AT_ONCE: usize = 16;
/// Before a partition is asked again that nobody could be found for.
const PAUSE: Duration = Duration::from_millis(100);

/// A DougDB client. Cheap to clone; clones share connections, sessions and the
/// partition map. Lives on the tokio runtime it is used from.
#[derive(Clone)]
pub struct Client {
    pub(crate) engine: Arc<Engine>,
    /// Empty: `default`.
    keyspace: Arc<str>,
}

/// One write of [`Client::batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Writes a key.
    Put(Bytes, Bytes),
    /// Deletes a key.
    Delete(Bytes),
}

impl Write {
    fn to_wire(&self) -> v1::WriteOperation {
        let operation = match self.clone() {
            Write::Put(key, value) => write_operation::Operation::Put(v1::PutOperation {
                key,
                value,
                ..Default::default()
            }),
            Write::Delete(key) => write_operation::Operation::Delete(v1::DeleteOperation { key }),
        };
        v1::WriteOperation { operation: Some(operation) }
    }
}

impl Client {
    pub(crate) fn new(endpoints: Vec<String>, mode: Mode, settings: Arc<Settings>) -> Self {
        Self { engine: Engine::new(endpoints, mode, settings), keyspace: Arc::from("") }
    }

    /// This client for another keyspace: its operations go there, unless they name a
    /// keyspace or a partition themselves. A name that no keyspace has is found out by
    /// the first operation, which ends `NOT_FOUND`.
    ///
    /// The keyspace `system` holds the catalog, and can only be read.
    pub fn in_keyspace(&self, name: &str) -> Self {
        Self { keyspace: Arc::from(name), ..self.clone() }
    }

    /// Carries out one operation as it stands, by `deadline`: routed, retried
    /// where that cannot apply twice, answered with the answer of the same kind,
    /// never with [`Answer::Error`].
    ///
    /// Without a target it is routed by its key, in the keyspace that it names, or
    /// else that of [`Client::in_keyspace`]. A write without a session gets
    /// one of this client's, if [`Builder::sessions`](crate::Builder::sessions) is on; a write with
    /// the
    /// end client's own is forwarded with it. Dropping the future abandons the
    /// operation: a write then may or may not be applied.
    ///
    /// # Errors
    /// With the detail `NotExecuted`: a definite failure. With `OutcomeUnknown`:
    /// a write that may have been applied, or may yet be. Reads are never
    /// unknown: they end `DEADLINE_EXCEEDED`, `UNAVAILABLE` or as the server said.
    pub async fn execute(
        &self,
        mut operation: Operation,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let engine = &self.engine;
        prepare::place_in(&mut operation, &self.keyspace);
        engine.follow(&mut operation);
        prepare::check(&mut operation)?;
        // What concerns more than one partition, or none: a facade puts it together itself.
        let answer = match &operation {
            Operation::Status(request) if engine.is_direct() => {
                engine.status_of_all(request, deadline).await.map(Answer::Status)
            }
            Operation::Scan(scan) if engine.is_direct() && prepare::targeted(&operation) == 0 => {
                let merging = merged_page(engine, scan.clone(), deadline);
                Box::pin(merging).await.map(Answer::Scan)
            }
            _ => engine.execute(operation, deadline).await,
        }?;
        engine.track(&answer);
        Ok(answer)
    }

    /// The time, as the deadlines of [`Client::execute`] are measured: that of
    /// [`Builder::runtime`](crate::Builder::runtime).
    pub fn now(&self) -> Instant {
        self.engine.now()
    }

    /// When an operation that begins now ends, by [`Builder::timeout`](crate::Builder::timeout).
    pub fn deadline(&self) -> Instant {
        self.now() + self.engine.settings.timeout
    }

    /// Reads one key. A missing key is an answer with `found` false.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn get(&self, key: impl Into<Bytes>, read: Read) -> Result<v1::GetResponse, Fault> {
        let (key, read) = (key.into(), read.to_wire());
        self.get_as(v1::GetRequest { key, read, ..Default::default() }).await
    }

    /// Reads one key as it was at a moment.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`Fault::floor`](crate::Fault::floor) says from where on the
    /// partition can be read, where that is later.
    pub async fn get_at(
        &self,
        key: impl Into<Bytes>,
        at: At,
        read: Read,
    ) -> Result<v1::GetResponse, Fault> {
        let (key, read, at) = (key.into(), read.to_wire(), Some(at.to_wire()));
        self.get_as(v1::GetRequest { key, read, at, ..Default::default() }).await
    }

    /// The versions of one key as far as history reaches, the newest first, at most so many of 1 to
    /// 1,000; they end at about 1 MiB as well.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn history(
        &self,
        key: impl Into<Bytes>,
        versions: u32,
    ) -> Result<Vec<v1::KeyVersion>, Fault> {
        let request = v1::GetRequest { key: key.into(), versions, ..Default::default() };
        Ok(self.get_as(request).await?.versions)
    }

    /// A moment that sees every write, of whichever partition of the keyspace, that was acknowledged
    /// before this call: what a scan at it reads is one cut over all of them.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn cut(&self) -> Result<At, Fault> {
        let map = self.map().await?;
        let keyspace = map.keyspace_named(&self.keyspace)?;
        let partitions: Vec<u64> =
            map.partitions_in(keyspace.id).iter().map(|partition| partition.id).collect();
        let stamps = partitions.into_iter().map(|partition| async move {
            let target = Some(v1::Target { partition, ..Default::default() });
            let scan = v1::ScanRequest { limit: 1, keys_only: true, target, ..Default::default() };
            match self.execute(Operation::Scan(scan), self.deadline()).await? {
                Answer::Scan(answer) => Ok(answer.header.map_or(0, |header| header.stamp)),
                other => Err(mismatch("scan", &other)),
            }
        });
        let stamps = futures::stream::iter(stamps).buffer_unordered(AT_ONCE);
        Ok(At::Stamp(stamps.try_fold(0, |one, other| async move { Ok(one.max(other)) }).await?))
    }

    async fn get_as(&self, request: v1::GetRequest) -> Result<v1::GetResponse, Fault> {
        match self.execute(Operation::Get(request), self.deadline()).await? {
            Answer::Get(answer) => Ok(answer),
            other => Err(mismatch("get", &other)),
        }
    }

    /// Writes one key if `condition` holds. An unmet condition is an answer with
    /// `condition_met` false.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        condition: If,
    ) -> Result<v1::PutResponse, Fault> {
        let request = v1::PutRequest {
            key: key.into(),
            value: value.into(),
            condition: condition.to_wire(),
            ..Default::default()
        };
        match self.execute(Operation::Put(request), self.deadline()).await? {
            Answer::Put(answer) => Ok(answer),
            other => Err(mismatch("put", &other)),
        }
    }

    /// Like [`Client::put`], and the key expires `ttl` (1 millisecond to ten years, in whole
    /// milliseconds) after the write, by the partition's clock: never before, and soon after. A
    /// later put that says no time clears that.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn put_expiring(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        condition: If,
        ttl: Duration,
    ) -> Result<v1::PutResponse, Fault> {
        let request = v1::PutRequest {
            key: key.into(),
            value: value.into(),
            condition: condition.to_wire(),
            ttl_milliseconds: Some(whole_milliseconds(ttl)),
            ..Default::default()
        };
        match self.execute(Operation::Put(request), self.deadline()).await? {
            Answer::Put(answer) => Ok(answer),
            other => Err(mismatch("put", &other)),
        }
    }

    /// Deletes one key if `condition` holds. A key that was missing is an answer
    /// with `existed` false.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn delete(
        &self,
        key: impl Into<Bytes>,
        condition: If,
    ) -> Result<v1::DeleteResponse, Fault> {
        let request = v1::DeleteRequest {
            key: key.into(),
            condition: condition.to_wire(),
            ..Default::default()
        };
        match self.execute(Operation::Delete(request), self.deadline()).await? {
            Answer::Delete(answer) => Ok(answer),
            other => Err(mismatch("delete", &other)),
        }
    }

    /// Applies all writes at once if all conditions hold. All keys must lie in
    /// one partition.
    ///
    /// # Errors
    /// As [`Client::execute`]; `INVALID_ARGUMENT` names two keys of different
    /// partitions.
    pub async fn batch(
        &self,
        conditions: Vec<v1::Condition>,
        writes: &[Write],
    ) -> Result<v1::BatchResponse, Fault> {
        let request = v1::BatchRequest {
            conditions,
            operations: writes.iter().map(Write::to_wire).collect(),
            ..Default::default()
        };
        match self.execute(Operation::Batch(request), self.deadline()).await? {
            Answer::Batch(answer) => Ok(answer),
            other => Err(mismatch("batch", &other)),
        }
    }

    /// Carries out one list of the transaction, as its conditions decide: atomically, at one
    /// revision, with an answer to each operation. All keys must lie in one partition. One that
    /// only reads is answered like a linearizable read.
    ///
    /// What the keys hold may be an [obstacle](v1::Obstacle), for instance text where a number
    /// is to be incremented: then nothing was carried out.
    ///
    /// # Errors
    /// As [`Client::execute`]; `INVALID_ARGUMENT` names two keys of different partitions, and
    /// what would bring them together.
    pub async fn transact(&self, transaction: Transaction) -> Result<v1::TransactResponse, Fault> {
        let request = transaction.into_wire();
        match self.execute(Operation::Transact(request), self.deadline()).await? {
            Answer::Transact(answer) => Ok(answer),
            other => Err(mismatch("transaction", &other)),
        }
    }

    /// Adds `by` to the number at `key`, and gives the sum. A missing key counts as 0. The
    /// value is decimal text of a signed 64-bit number.
    ///
    /// # Errors
    /// As [`Client::execute`]. `FAILED_PRECONDITION` with `NotExecuted`: the value is no such
    /// number, or the sum would be none. `UNKNOWN` where it was incremented but the sum is lost:
    /// see [`TransactResponse::answers_dropped`](v1::TransactResponse::answers_dropped).
    pub async fn increment(&self, key: impl Into<Bytes>, by: i64) -> Result<i64, Fault> {
        let transaction = Transaction::new().then(Step::increment(key, by));
        let done = self.transact(transaction).await?;
        if let Some(obstacle) = &done.obstacle {
            return Err(Fault::new(Code::FailedPrecondition, told(obstacle)).not_executed());
        }
        match done.answers.first().and_then(|answer| answer.answer.as_ref()) {
            Some(v1::operation_answer::Answer::Increment(sum)) => Ok(sum.value),
            _ => Err(Fault::unknown("the key was incremented, but the sum is not known: read it")),
        }
    }

    /// Reads one page of `range`, in order. `page_token` is empty for the first
    /// page, then `next_page_token` of the page before, until that is empty.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn scan_page(
        &self,
        range: &Range,
        options: &ScanOptions,
        page_token: Bytes,
    ) -> Result<v1::ScanResponse, Fault> {
        let request = options.to_wire(range, page_token);
        match self.execute(Operation::Scan(request), self.deadline()).await? {
            Answer::Scan(answer) => Ok(answer),
            other => Err(mismatch("scan", &other)),
        }
    }

    /// All entries of `range`, in order, page by page; while one page is
    /// consumed the next is fetched.
    pub fn scan(&self, range: Range, options: ScanOptions) -> ScanStream {
        let client = self.clone();
        ScanStream::new(move |token| {
            let (client, range, options) = (client.clone(), range.clone(), options.clone());
            Box::pin(async move { client.scan_page(&range, &options, token).await })
        })
    }

    /// Tells what changes in `range`, from a moment on: every committed change once. A watch that
    /// begins at the moment of a scan ([`ScanOptions::at`], [`Client::cut`]) tells exactly what the
    /// scan has not seen.
    ///
    /// # Errors
    /// As [`Client::execute`]; [`Fault::floor`](crate::Fault::floor) where history does not reach
    /// back to the moment.
    pub async fn watch(&self, range: Range, options: WatchOptions) -> Result<Watch, Fault> {
        let map = self.map().await?;
        let keyspace = map.keyspace_named(&self.keyspace)?;
        let partitions = if holds_one_key(&range.start, &range.end) {
            vec![map.partition_in(keyspace, &range.start).id]
        } else {
            partitions_of(&map, keyspace, &range)
        };
        let client = self.clone();
        let ask = move |request: v1::WatchRequest, has_failed: bool| {
            let client = client.clone();
            let asking = async move {
                if has_failed {
                    client.engine.settings.runtime.sleep_until(client.now() + PAUSE).await;
                }
                let partition = request.target.as_ref().map_or(0, |target| target.partition);
                let wait = Duration::from_millis(request.wait_milliseconds.into());
                let deadline = client.deadline() + wait;
                let answer = match client.execute(Operation::Watch(request), deadline).await {
                    Ok(Answer::Watch(answer)) => Ok(answer),
                    Ok(other) => Err(mismatch("watch", &other)),
                    Err(fault) => Err(fault),
                };
                (partition, answer)
            };
            asking.boxed()
        };
        Watch::begin(Box::new(ask), &map, &partitions, &range, &options).await
    }

    /// Registers a session with one partition, for callers that number their
    /// writes themselves. Others need not: see [`Builder::sessions`](crate::Builder::sessions).
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn register(&self, partition: u64) -> Result<v1::RegisterResponse, Fault> {
        let target = v1::Target { partition, ..Default::default() };
        let request = v1::RegisterRequest { target: Some(target) };
        match self.execute(Operation::Register(request), self.deadline()).await? {
            Answer::Register(answer) => Ok(answer),
            other => Err(mismatch("register", &other)),
        }
    }

    /// Who leads, who lags, and since when. Nodes that do not answer are listed
    /// as unreachable.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no endpoint answers, or no map is known.
    pub async fn status(&self) -> Result<v1::StatusResponse, Fault> {
        status::whole(false, |request| async move {
            match self.execute(Operation::Status(request), self.deadline()).await? {
                Answer::Status(answer) => Ok(answer),
                other => Err(mismatch("status", &other)),
            }
        })
        .await
    }

    /// The partition map, as far as this client knows; fetched if it knows none.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is none within [`Builder::timeout`](crate::Builder::timeout).
    pub async fn map(&self) -> Result<Arc<PartitionMap>, Fault> {
        Ok(self.engine.map.wait(self.deadline()).await?.map.clone())
    }

    /// The partition map, now and whenever it changes. `None` until it is known.
    pub fn watch_map(&self) -> watch::Receiver<Option<Arc<PartitionMap>>> {
        self.engine.map.subscribe()
    }

    /// What all answers to this client have seen, for [`Read::Session`]. Empty
    /// unless [`Builder::track_session`](crate::Builder::track_session) is on and something was
    /// answered.
    pub fn session_token(&self) -> Bytes {
        self.engine.session_token()
    }

    /// Forgets what answers have seen, as a client does that begins. What follows is not ordered
    /// behind what this client has read and written so far: for when that is no longer possible,
    /// because a database whose clocks were wrong gave out stamps of the future
    /// ([`Fault::clock_ahead_by`]).
    pub fn forget_session_token(&self) {
        self.engine.forget_session_token();
    }
}

fn mismatch(asked: &str, answer: &Answer) -> Fault {
    let got = match answer {
        Answer::Error(_) => "an error",
        Answer::Get(_) => "a get",
        Answer::Put(_) => "a put",
        Answer::Delete(_) => "a delete",
        Answer::Scan(_) => "a scan",
        Answer::Watch(_) => "a watch",
        Answer::Batch(_) => "a batch",
        Answer::Transact(_) => "a transaction",
        Answer::Register(_) => "a register",
        Answer::Status(_) => "a status",
    };
    // What such a server did with a write nobody can know.
    Fault::unknown(format!(
        "a {asked} was answered with the answer to {got}: the server does not speak dougdb.v1"
    ))
}
