//! One multiplexed `Doug.Stream` to one server: many operations in flight, each
//! with an id, bounded in count and bytes. There is no task and no timer per
//! operation: a slot in a table, swept when the earliest of them is due.

mod outbox;
mod slots;
mod stream;

pub(crate) use slots::Event;

use crate::settings::Settings;
use crate::transport::OpenError;
use doug_proto::v1::{StreamOperation, stream_operation::Operation};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use slots::{SlotId, Slots};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// The part of an operation's time, but at most so much, in which an endpoint's answer is to
/// arrive that tells at the deadline what stood in the way.
const WAY_BACK_PART: u32 = 20;
const WAY_BACK_MOST: Duration = Duration::from_millis(75);

/// A server, and the stream to it once there is something to send. Cheap to
/// clone; the stream ends with the last clone.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Handle>);

struct Handle {
    multiplexer: Arc<Multiplexer>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.multiplexer.state.lock().closed = true;
        self.multiplexer.attention.notify_one();
    }
}

/// Operations of many tasks over one stream: what the handles, the task of the stream and its
/// outbox hold together.
pub(crate) struct Multiplexer {
    pub(crate) address: String,
    pub(crate) settings: Arc<Settings>,
    /// Most of an operation's time that is kept for the answer's way back.
    way_back: Duration,
    state: Mutex<State>,
    /// Whether a waiting operation found the server silent since it was last heard.
    silent: AtomicBool,
    /// Wakes the task to look at `sweep_at` or `closed` again.
    attention: Notify,
}

struct State {
    slots: Slots,
    link: Link,
    /// When the next slot is due; the task sleeps until then.
    sweep_at: Option<Instant>,
    /// The transport's waker, when the queue ran empty.
    outbox: Option<Waker>,
    /// When anything was last received, or the stream opened.
    heard: Instant,
    closed: bool,
    /// Counts the streams. The transport may hold on to the outbox of one that
    /// broke, which must not take what is meant for the next.
    stream: u64,
    /// Failed connects in a row.
    failures: u32,
    /// Why nobody can answer there, as the last connect has found.
    barred: Option<OpenError>,
}

enum Link {
    /// No task; the next operation starts one.
    Idle,
    /// A task connects, or reads answers.
    Running,
    /// The last connect failed; none is tried before this time.
    Resting { until: Instant, error: String },
}

impl Connection {
    /// A handle to a node. Nothing is opened before the first operation.
    pub(crate) fn new(address: String, settings: Arc<Settings>) -> Self {
        Self::over(address, settings, Duration::ZERO)
    }

    /// The same to an endpoint, which may try several nodes until the deadline: it is told an
    /// earlier one, so that what it has found out is heard by then.
    pub(crate) fn to_endpoint(address: String, settings: Arc<Settings>) -> Self {
        Self::over(address, settings, WAY_BACK_MOST)
    }

    fn over(address: String, settings: Arc<Settings>, way_back: Duration) -> Self {
        let heard = settings.runtime.now();
        let state = State {
            slots: Slots::new(settings.max_in_flight, settings.max_in_flight_bytes),
            link: Link::Idle,
            sweep_at: None,
            outbox: None,
            heard,
            closed: false,
            stream: 0,
            failures: 0,
            barred: None,
        };
        let multiplexer = Multiplexer {
            address,
            settings,
            way_back,
            state: Mutex::new(state),
            silent: AtomicBool::new(false),
            attention: Notify::new(),
        };
        Self(Arc::new(Handle { multiplexer: Arc::new(multiplexer) }))
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.0.multiplexer.address
    }

    /// Why nobody can answer there, as far as is known.
    pub(crate) fn barred(&self) -> Option<OpenError> {
        self.0.multiplexer.state.lock().barred.clone()
    }

    /// Whether both are the same connection.
    pub(crate) fn same(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether an operation waits there that has found it silent, and nothing at
    /// all was heard since.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.multiplexer.silent.load(Ordering::Relaxed)
    }

    /// Queues an operation. The answer is what the attempt's events end with.
    pub(crate) fn submit(&self, operation: Operation, now: Instant, deadline: Instant) -> Attempt {
        let multiplexer = &self.0.multiplexer;
        let bytes = operation_bytes(&operation);
        // From then on its server is expected to speak.
        let speaks = now + quiet(&operation);
        let left = deadline.saturating_duration_since(now);
        let told = left - (left / WAY_BACK_PART).min(multiplexer.way_back);
        let operation = StreamOperation {
            id: 0,
            timeout_milliseconds: u32::try_from(told.as_millis()).unwrap_or(u32::MAX).max(1),
            operation: Some(operation),
        };
        let mut state = multiplexer.state.lock();
        if let Link::Resting { until, error } = &state.link {
            if now < *until {
                return Attempt::ended(Event::NotSent(error.clone()));
            }
            state.link = Link::Idle;
        }
        let due = deadline.min(speaks + multiplexer.settings.patience);
        let id = match state.slots.insert(operation, bytes, speaks, due, deadline) {
            Ok(id) => id,
            Err(full) => return Attempt::ended(Event::Full(full.message(&multiplexer.address))),
        };
        let earlier = state.sweep_at.is_none_or(|at| due < at);
        if earlier {
            state.sweep_at = Some(due);
        }
        let start = matches!(state.link, Link::Idle);
        if start {
            state.link = Link::Running;
            state.heard = now;
        }
        let outbox = state.outbox.take();
        drop(state);
        if let Some(waker) = outbox {
            waker.wake();
        }
        if start {
            multiplexer.settings.runtime.spawn(Box::pin(stream::run(multiplexer.clone())));
        } else if earlier {
            multiplexer.attention.notify_one();
        }
        Attempt { handle: Some(self.0.clone()), id, ended: None }
    }
}

/// How long a server may have nothing to say to an operation.
fn quiet(operation: &Operation) -> Duration {
    match operation {
        Operation::Watch(watch) => Duration::from_millis(watch.wait_milliseconds.into()),
        _ => Duration::ZERO,
    }
}

/// About how many bytes an operation holds; exact where it matters.
fn operation_bytes(operation: &Operation) -> usize {
    const ENVELOPE: usize = 64;
    ENVELOPE
        + match operation {
            Operation::Get(get) => get.key.len(),
            Operation::Put(put) => put.key.len() + put.value.len(),
            Operation::Delete(delete) => delete.key.len(),
            Operation::Batch(batch) => prost::Message::encoded_len(batch),
            Operation::Transact(transact) => prost::Message::encoded_len(transact),
            Operation::Scan(scan) => scan.start.len() + scan.end.len() + scan.page_token.len(),
            Operation::Watch(watch) => watch.start.len() + watch.end.len(),
            Operation::Register(_) | Operation::Status(_) => 0,
        }
}

/// One operation given to one server. Dropping it withdraws the operation if it
/// was not sent yet, and lets go of the answer otherwise.
pub(crate) struct Attempt {
    /// None once ended. The handle, so that the stream outlives the attempt.
    handle: Option<Arc<Handle>>,
    id: SlotId,
    ended: Option<Event>,
}

impl Attempt {
    fn ended(event: Event) -> Self {
        Self { handle: None, id: SlotId::NONE, ended: Some(event) }
    }

    /// The next event. After [`Event::Silent`] there are more; after any other none.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let Some(handle) = &self.handle else {
            return self.ended.take().map_or(Poll::Pending, Poll::Ready);
        };
        let event =
            std::task::ready!(handle.multiplexer.state.lock().slots.poll(self.id, context.waker()));
        if !matches!(event, Event::Silent) {
            self.handle = None;
        }
        Poll::Ready(event)
    }

    /// Takes the operation back, unless it may have left this machine already.
    /// Whether it was taken back.
    pub(crate) fn withdraw(&mut self) -> bool {
        let Some(handle) = &self.handle else { return false };
        let withdrawn = handle.multiplexer.state.lock().slots.withdraw(self.id);
        if withdrawn {
            self.handle = None;
        }
        withdrawn
    }

    /// The next event, to be awaited.
    pub(crate) fn event(&mut self) -> impl Future<Output = Event> {
        std::future::poll_fn(|context| self.poll_event(context))
    }

    /// Whether the operation may have left this machine.
    pub(crate) fn possibly_sent(&self) -> bool {
        self.handle
            .as_ref()
            .is_some_and(|handle| handle.multiplexer.state.lock().slots.possibly_sent(self.id))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.multiplexer.state.lock().slots.forget(self.id);
        }
    }
}

impl Multiplexer {
    /// Sleeps until slots are due and sweeps them, for as long as it is polled.
    async fn sweep(&self) {
        loop {
            let (sweep_at, closed) = {
                let state = self.state.lock();
                (state.sweep_at, state.closed)
            };
            if closed {
                return;
            }
            let sleep: BoxFuture<'static, ()> = match sweep_at {
                Some(at) => self.settings.runtime.sleep_until(at),
                None => Box::pin(std::future::pending()),
            };
            tokio::select! {
                biased;
                () = sleep => self.sweep_due(),
                () = self.attention.notified() => {}
            }
        }
    }

    fn sweep_due(&self) {
        let now = self.settings.runtime.now();
        let mut wake = Vec::new();
        let mut state = self.state.lock();
        let (heard, patience) = (state.heard, self.settings.patience);
        let swept = state.slots.sweep(now, heard, patience, &mut wake);
        state.sweep_at = swept.next;
        if swept.found_silent {
            self.silent.store(true, Ordering::Relaxed);
        } else if swept.next.is_none() {
            // Nobody waits any more, so the next operation may find out anew.
            self.silent.store(false, Ordering::Relaxed);
        }
        drop(state);
        wake.into_iter().for_each(Waker::wake);
    }

    fn rest(&self, failures: u32) -> Duration {
        let shift = failures.min(5);
        let base = self.settings.reconnect_first * (1 << shift);
        self.settings.jitter.spread(base.min(self.settings.reconnect_most))
    }
}
