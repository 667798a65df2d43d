//! This client's sessions with partitions: registered with the first write,
//! replaced when a partition has forgotten one.

mod window;

use crate::runtime::{Runtime, before};
use doug_proto::error::Fault;
use doug_proto::limits::SESSION_WINDOW;
use doug_proto::v1;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;
use window::Window;

/// The place of one partition's session.
#[derive(Default)]
pub(crate) struct SessionSlot {
    current: Mutex<Arc<Session>>,
}

/// One session.
#[derive(Default)]
pub(crate) struct Session {
    /// From Register; empty until then.
    id: OnceCell<u64>,
    window: Mutex<Window>,
    waiting: AtomicUsize,
    moved: Notify,
}

/// A sequence of a session, in use until dropped.
pub(crate) struct Ticket {
    session: Arc<Session>,
    id: u64,
    sequence: u64,
    /// The partition of the session; it means nothing in another.
    pub(crate) partition: u64,
}

impl SessionSlot {
    /// A ticket at once, if there is a session and its window is open.
    pub(crate) fn try_take(&self, partition: u64) -> Option<Ticket> {
        let session = self.current.lock().clone();
        let id = *session.id.get()?;
        session.try_take(id, partition)
    }

    /// A ticket: registers a session with `register` if there is none, and
    /// waits while its window is full.
    ///
    /// # Errors
    /// What `register` returned; `RESOURCE_EXHAUSTED` if the window stays full
    /// until `deadline`.
    pub(crate) async fn take<F: Future<Output = Result<u64, Fault>>>(
        &self,
        partition: u64,
        runtime: &Arc<dyn Runtime>,
        deadline: Instant,
        register: impl FnOnce() -> F,
    ) -> Result<Ticket, Fault> {
        let session = self.current.lock().clone();
        // Another write may be registering, with a later deadline than this one.
        let registered = before(runtime, deadline, session.id.get_or_try_init(register)).await;
        let id = *registered.ok_or_else(|| {
            Fault::unavailable(format!(
                "no session could be registered with partition {partition} within the deadline"
            ))
        })??;
        let _waiting = Waiting::new(&session.waiting);
        before(runtime, deadline, session.wait(id, partition)).await.ok_or_else(|| {
            Fault::exhausted(format!(
                "{SESSION_WINDOW} writes to partition {partition} already await their answers: \
                 send fewer at once"
            ))
        })
    }

    /// Replaces the session of `ticket`, which the partition does not know any
    /// more; unless that has happened already.
    pub(crate) fn replace(&self, ticket: &Ticket) {
        let mut current = self.current.lock();
        if Arc::ptr_eq(&current, &ticket.session) {
            *current = Arc::default();
        }
    }
}

/// Counts a waiter, also one that is dropped while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Session {
    fn try_take(self: &Arc<Self>, id: u64, partition: u64) -> Option<Ticket> {
        let sequence = self.window.lock().take()?;
        Some(Ticket { session: self.clone(), id, sequence, partition })
    }

    async fn wait(self: &Arc<Self>, id: u64, partition: u64) -> Ticket {
        loop {
            // Listen first, then look, or a move in between goes unheard.
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if let Some(ticket) = self.try_take(id, partition) {
                return ticket;
            }
            moved.await;
        }
    }
}

impl Ticket {
    /// What the write carries. `lowest_unanswered` is as of now.
    pub(crate) fn to_wire(&self) -> v1::Session {
        let lowest_unanswered = self.session.window.lock().lowest_unanswered();
        v1::Session { id: self.id, sequence: self.sequence, lowest_unanswered }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let moved = self.session.window.lock().answer(self.sequence);
        if moved && self.session.waiting.load(Ordering::SeqCst) > 0 {
            self.session.moved.notify_waiters();
        }
    }
}
