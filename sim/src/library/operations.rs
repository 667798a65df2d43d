//! Between the history's operations and those of the library.

use crate::context::Context;
use crate::history::{Action, Answer, Condition, Freshness};
use crate::time::millis;
use bytes::Bytes;
use doug_client::{At, Client, Fault, If, Range, Read, ScanOptions};
use doug_proto::v1::{
    self, ResponseHeader, ScanResponse, stream_answer::Answer as Told,
    stream_operation::Operation as Wire,
};
use std::time::Duration;

/// What the library is asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// One operation.
    One(Box<Wire>),
    /// All pages of a scan.
    Scan {
        /// Of this partition alone.
        partition: Option<u64>,
        /// How.
        options: ScanOptions,
    },
}

/// One page of a scan, and where the next begins.
pub type Page = ScanResponse;

/// What an answer says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The node that gave it.
    pub server: usize,
    /// Its bound on the staleness.
    pub staleness: Option<Duration>,
}

/// What the library reported.
#[derive(Debug)]
pub enum Done {
    /// An answer.
    Answered(Told),
    /// All pages.
    Scanned(Vec<Page>),
    /// An error.
    Failed(Fault),
}

impl Asked {
    /// What the library is asked for an action; `token` is the client's, `partition` and
    /// `limit` are a scan's.
    pub fn new(action: &Action, token: Bytes, partition: Option<u64>, limit: u32) -> Self {
        match action {
            Action::Register => unreachable!("the library registers sessions itself"),
            Action::Put { keys, value, condition } => match &keys[..] {
                [key] => Asked::One(Box::new(Wire::Put(v1::PutRequest {
                    key: key.clone(),
                    value: value.clone(),
                    condition: condition_of(condition).to_wire(),
                    ..Default::default()
                }))),
                several => {
                    let write = |key: &Bytes| {
                        let put = v1::PutOperation {
                            key: key.clone(),
                            value: value.clone(),
                            ..Default::default()
                        };
                        let operation = Some(v1::write_operation::Operation::Put(put));
                        v1::WriteOperation { operation }
                    };
                    let operations = several.iter().map(write).collect();
                    Asked::One(Box::new(Wire::Batch(v1::BatchRequest {
                        operations,
                        ..Default::default()
                    })))
                }
            },
            Action::Delete { key } => Asked::One(Box::new(Wire::Delete(v1::DeleteRequest {
                key: key.clone(),
                ..Default::default()
            }))),
            Action::Transact(request) => Asked::One(Box::new(Wire::Transact((**request).clone()))),
            Action::Get { key, freshness } => Asked::One(Box::new(Wire::Get(v1::GetRequest {
                key: key.clone(),
                read: read_of(*freshness, token).to_wire(),
                ..Default::default()
            }))),
            Action::Past { key: Some(key), at, .. } => {
                Asked::One(Box::new(Wire::Get(v1::GetRequest {
                    key: key.clone(),
                    at: Some(at.to_wire()),
                    read: of_the_past(*at).to_wire(),
                    ..Default::default()
                })))
            }
            Action::Past { key: None, at, reverse } => Asked::Scan {
                partition,
                options: ScanOptions {
                    reverse: *reverse,
                    page_limit: limit,
                    read: of_the_past(*at),
                    at: Some(*at),
                    ..Default::default()
                },
            },
            Action::Scan { freshness, reverse } => Asked::Scan {
                partition,
                options: ScanOptions {
                    reverse: *reverse,
                    page_limit: limit,
                    read: read_of(*freshness, token),
                    ..Default::default()
                },
            },
        }
    }

    /// Whether it may take several operations.
    pub fn is_scan(&self) -> bool {
        matches!(self, Asked::Scan { .. })
    }

    /// Has the library carry it out; every operation within `timeout`.
    pub async fn carry_out(self, client: &Client, timeout: Duration) -> Done {
        let result = match self {
            Asked::One(operation) => {
                client.execute(*operation, client.now() + timeout).await.map(Done::Answered)
            }
            Asked::Scan { partition, options } => {
                scan(client, partition, &options, timeout).await.map(Done::Scanned)
            }
        };
        result.unwrap_or_else(Done::Failed)
    }

    /// The history's form of an answer to one operation, and what its header says.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub fn understand(
        &self,
        told: &Told,
        partition: u64,
        cx: &Context,
    ) -> Result<(Answer, Header), String> {
        let Asked::One(asked) = self else { unreachable!("scans have pages") };
        let (header, answer): (_, Box<dyn Fn(u64) -> Answer>) = match (&**asked, told) {
            (Wire::Put(_), Told::Put(put)) => {
                let (met, current) = (put.condition_met, put.current_revision);
                (&put.header, written(met, false, current))
            }
            (Wire::Batch(_), Told::Batch(batch)) => {
                let (met, current) = (batch.conditions_met, batch.current_revision);
                (&batch.header, written(met, false, current))
            }
            (Wire::Delete(_), Told::Delete(delete)) => {
                let (met, current) = (delete.condition_met, delete.current_revision);
                (&delete.header, written(met, delete.existed, current))
            }
            (Wire::Transact(_), Told::Transact(transact)) => {
                let outcome = v1::Outcome {
                    conditions_met: transact.conditions_met,
                    failed_condition: transact.failed_condition,
                    current_revision: transact.current_revision,
                    answers: transact.answers.clone(),
                    answers_dropped: transact.answers_dropped,
                    obstacle: transact.obstacle,
                    ..Default::default()
                };
                let at = move |revision| {
                    Answer::Transacted(Box::new(v1::Outcome { revision, ..outcome.clone() }))
                };
                (&transact.header, Box::new(at))
            }
            (Wire::Get(_), Told::Get(get)) => {
                let found = get.found.then(|| (get.value.clone(), get.value_revision));
                (
                    &get.header,
                    Box::new(move |revision| Answer::Got { revision, found: found.clone() }),
                )
            }
            (asked, told) => return Err(format!("{asked:?} was answered with {told:?}")),
        };
        let header =
            header.as_ref().ok_or_else(|| format!("an answer without header: {told:?}"))?;
        if header.partition != partition {
            return Err(format!("partition {partition} was asked, and {header:?} answers"));
        }
        let staleness = header.staleness_milliseconds.map(millis);
        Ok((answer(header.revision), Header { server: server_of(header, cx), staleness }))
    }
}

fn written(met: bool, existed: bool, current: u64) -> Box<dyn Fn(u64) -> Answer> {
    Box::new(move |revision| Answer::Written { revision, met, existed, current })
}

fn server_of(header: &ResponseHeader, cx: &Context) -> usize {
    let node = header.served_by.parse().ok().and_then(|node| cx.database.index_of(node));
    node.unwrap_or(crate::history::ANY_SERVER)
}

async fn scan(
    client: &Client,
    partition: Option<u64>,
    options: &ScanOptions,
    timeout: Duration,
) -> Result<Vec<Page>, Fault> {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let token = pages.last().map_or_else(Bytes::new, |page| page.next_page_token.clone());
        let mut request = options.to_wire(&Range::all(), token);
        request.target = partition.map(|partition| v1::Target { partition, ..Default::default() });
        match client.execute(Wire::Scan(request), client.now() + timeout).await? {
            Told::Scan(page) => pages.push(page),
            _ => return Err(Fault::new(tonic::Code::Internal, "a scan was answered otherwise")),
        }
        if pages.last().is_some_and(|page| page.next_page_token.is_empty()) {
            return Ok(pages);
        }
    }
}

fn condition_of(condition: &Condition) -> If {
    match condition {
        Condition::None => If::Always,
        Condition::Absent => If::Absent,
        Condition::Revision(revision, _) => If::Revision(*revision),
        Condition::Value(value) => If::Value(value.clone()),
    }
}

/// A time that is closed any replica can answer. Whether a revision is in the future only a leader
/// can say.
fn of_the_past(at: At) -> Read {
    match at {
        At::Revision(_) => Read::Linearizable,
        At::Stamp(_) => Read::Eventual,
    }
}

fn read_of(freshness: Freshness, token: Bytes) -> Read {
    match freshness {
        Freshness::Linearizable => Read::Linearizable,
        Freshness::Bounded(lag) => Read::Bounded(lag),
        Freshness::Session(_) => Read::Session(token),
        Freshness::Eventual => Read::Eventual,
    }
}
