//! Client requests in flight: what each asked, and where its answer goes.

use crate::flow::{Bounds, Class, OperationAdmission, overloaded};
use crate::host::Reply;
use crate::metrics::Durations;
use crate::serving;
use crate::work::RequestId;
use doug_edge::answers::{Expected, Held};
use doug_proto::error::Fault;
use doug_proto::v1::{self, stream_answer::Answer};
use doug_raft::Time;
use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Where an answer goes.
#[derive(Debug)]
pub enum Sink {
    /// To a unary call.
    Unary(oneshot::Sender<Answer>),
    /// To a stream, under the operation's id.
    Stream {
        /// The stream's answers. Bounded in bytes by the account of its connection.
        answers: mpsc::UnboundedSender<(v1::StreamAnswer, Held)>,
        /// Id of the operation.
        id: u64,
        /// Its answer's place in that account.
        expected: Expected,
    },
}

impl Sink {
    /// Sends the answer. A client that went away gets none.
    pub fn answer(self, answer: Answer) {
        match self {
            Sink::Unary(sender) => drop(sender.send(answer)),
            Sink::Stream { answers, id, expected } => {
                let (answer, held) = expected.settle(answer);
                drop(answers.send((v1::StreamAnswer { id, answer: Some(answer) }, held)));
            }
        }
    }

    /// Sends an error.
    pub fn fail(self, fault: &Fault) {
        self.answer(Answer::Error(fault.to_wire()));
    }
}

/// What a request asked, as far as its answer needs it.
#[derive(Debug)]
pub enum Asked {
    /// An operation of a client.
    Operation(serving::Asked),
    /// A leadership handed over, or a status: see [`crate::host::Reply`].
    Control(oneshot::Sender<Result<Reply, Fault>>),
}

/// One request in flight.
#[derive(Debug)]
pub struct Request {
    /// The partition it is for.
    pub partition: u64,
    /// What it asked.
    pub asked: Asked,
    /// Where its answer goes; `None` for control requests.
    pub sink: Option<Sink>,
    /// Its share of the budget, given back when the request ends.
    pub permit: Permit,
}

/// All requests in flight, within a budget of bytes.
#[derive(Debug)]
pub struct Requests {
    shards: Vec<Mutex<FxHashMap<u64, Request>>>,
    next: AtomicU64,
    budget: Arc<Budget>,
    admission: Arc<Mutex<OperationAdmission>>,
    durations: Durations,
}

#[derive(Debug)]
struct Budget {
    used: AtomicU64,
    limit: u64,
}

/// A share of the budget, and once it is admitted the place of an operation.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
    place: Option<Place>,
}

/// An operation's place among those that the node works on.
#[derive(Debug)]
struct Place {
    admission: Arc<Mutex<OperationAdmission>>,
    durations: Histogram,
    class: Class,
    since: Time,
    took: Option<Duration>,
}

impl Permit {
    /// Bytes of the request itself.
    pub fn request_bytes(&self) -> u64 {
        self.bytes.saturating_sub(OVERHEAD)
    }

    /// The operation waits for others to do something: it holds no place among those that the node
    /// works on.
    pub fn waits(&mut self) {
        self.place = None;
    }

    /// The operation was carried out, and is answered now.
    pub fn carried_out(&mut self, now: Time) {
        if let Some(place) = &mut self.place {
            place.took = Some(now.since(place.since));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.lock().of(self.class).ended(self.took);
        if let Some(took) = self.took {
            self.durations.observe(took.as_secs_f64());
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

const SHARDS: usize = 16;
/// What a request costs beside its own bytes.
const OVERHEAD: u64 = 512;

impl Requests {
    /// A table that admits `limit` bytes, and tells `durations` what operations took.
    pub fn new(limit: u64, durations: Durations) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next: AtomicU64::new(1),
            budget: Arc::new(Budget { used: AtomicU64::new(0), limit }),
            admission: Arc::new(Mutex::new(OperationAdmission::new(Bounds::default()))),
            durations,
        }
    }

    /// Takes a share of the budget for a request of `bytes`.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when the node works on too much already.
    pub fn admit(&self, bytes: usize) -> Result<Permit, Fault> {
        let bytes = bytes as u64 + OVERHEAD;
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        let permit = Permit { budget: self.budget.clone(), bytes, place: None };
        if before + bytes > self.budget.limit {
            let limit = self.budget.limit;
            return Err(Fault::exhausted(format!(
                "this node works on {before} bytes of requests already, of at most {limit}: \
                 try again later, or send less at once"
            )));
        }
        Ok(permit)
    }

    /// Takes a place among the operations that the node works on, so few that they are
    /// answered soon.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when all are taken.
    pub fn enter(&self, permit: &mut Permit, class: Class, now: Time) -> Result<(), Fault> {
        self.admission.lock().of(class).admit(now).map_err(|limit| overloaded(class, limit))?;
        let admission = self.admission.clone();
        let durations = self.durations.of(class).clone();
        permit.place = Some(Place { admission, durations, class, since: now, took: None });
        Ok(())
    }

    /// Operations of a class under way, and how many may be.
    pub fn under_way(&self, class: Class) -> (u64, u64) {
        let mut admission = self.admission.lock();
        let limiter = admission.of(class);
        (limiter.in_flight(), limiter.limit())
    }

    /// Bytes of the requests in flight.
    pub fn bytes(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed)
    }

    /// Files a request under a name of its own.
    pub fn insert(&self, request: Request) -> RequestId {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(id).lock().insert(id, request);
        RequestId(id)
    }

    /// Takes a request out; `None` if it was answered before.
    pub fn take(&self, id: RequestId) -> Option<Request> {
        self.shard(id.0).lock().remove(&id.0)
    }

    /// Has a host asked something by `send`, and waits for its reply.
    ///
    /// # Errors
    /// What the host answers. Before `send`: `RESOURCE_EXHAUSTED`. After it, whoever asks
    /// cannot know what becomes of it: without a reply within `patience` it is unknown.
    pub async fn ask(
        &self,
        patience: Duration,
        send: impl FnOnce(RequestId),
    ) -> Result<Reply, Fault> {
        let (sender, mut receiver) = oneshot::channel();
        let permit = self.admit(0)?;
        let asked = Asked::Control(sender);
        let id = self.insert(Request { partition: 0, asked, sink: None, permit });
        send(id);
        let silent = "the node's host did not answer in time: what was asked of it may yet happen";
        let waited = tokio::time::timeout(patience, &mut receiver).await;
        let replied = match waited {
            Ok(replied) => replied,
            // Nobody replies to it any more.
            Err(_) if self.take(id).is_some() => return Err(Fault::deadline_unknown(silent)),
            // It is being replied to just now.
            Err(_) => receiver.await,
        };
        replied.unwrap_or_else(|_| Err(Fault::deadline_unknown(silent)))
    }

    fn shard(&self, id: u64) -> &Mutex<FxHashMap<u64, Request>> {
        &self.shards[id as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_budget_requests_are_refused_until_others_end() {
        let requests = Requests::new(4_000, Durations::default());
        let first = requests.admit(3_000).unwrap();
        let refused = requests.admit(3_000).unwrap_err();
        assert_eq!(refused.code, tonic::Code::ResourceExhausted);
        assert!(refused.is_not_executed());
        drop(first);
        assert_eq!(requests.bytes(), 0);
        assert!(requests.admit(3_000).is_ok());
    }

    #[tokio::test]
    async fn once_it_was_handed_over_only_the_host_can_say_that_nothing_happened() {
        let requests = Requests::new(4_000, Durations::default());
        let silent = requests.ask(Duration::from_millis(1), |_| {}).await.unwrap_err();
        assert!(silent.is_outcome_unknown() && !silent.is_not_executed(), "{silent:?}");
        assert_eq!(requests.bytes(), 0);
        let refuses = |id| {
            let Asked::Control(sender) = requests.take(id).unwrap().asked else { return };
            sender.send(Err(Fault::unavailable("not the leader"))).unwrap();
        };
        let refused = requests.ask(Duration::from_secs(10), refuses).await.unwrap_err();
        assert!(refused.is_not_executed());
    }

    #[tokio::test]
    async fn what_was_never_handed_over_did_not_happen() {
        let requests = Requests::new(1, Durations::default());
        let hand_over = |_| panic!("it is refused before");
        let refused = requests.ask(Duration::from_secs(10), hand_over).await.unwrap_err();
        assert!(refused.is_not_executed());
    }
}
