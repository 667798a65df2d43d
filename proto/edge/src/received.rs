//! How many bytes of requests a server holds that it cannot work on yet: messages that are not
//! whole, and what was sent to streams that nobody reads. Bounded in all, and for each connection.
//!
//! A client may send a message and never its end, on many calls of many connections; gRPC gathers
//! each in memory. It may also send to a stream that is not read, because the answers before were
//! not taken; HTTP/2 keeps a window of it. Neither is a request that admission could count, so:
//! - What came of messages that are not whole is counted. Beyond the bound the call fails; a
//!   message that is not whole after [`WHOLE_WITHIN`] fails, too, and so does one of which nothing
//!   came for [`PATIENCE_SHORT`] while three quarters of the bound are taken.
//! - What came for bodies that are not read is counted. Beyond the bound such connections are read
//!   more slowly, and those that hold the most are closed.

use crate::frames::Messages;
use bytes::Bytes;
use doug_proto::error::Fault;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// A message must be whole so long after its first bytes: 4 MiB at 70 KB/s.
pub const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// While three quarters of the bound are taken, so long nothing may come of a message.
pub const PATIENCE_SHORT: Duration = Duration::from_secs(5);
/// A connection holds at most this part of what is free, but always one message.
const SHARE_OF_FREE: usize = 4;

/// What a whole server has received and cannot work on yet.
#[derive(Clone, Debug)]
pub struct Received(Arc<Total>);

#[derive(Debug)]
struct Total {
    limit: usize,
    /// Bytes of messages that are not whole.
    partial: AtomicUsize,
    /// Bytes for bodies that are not read.
    unread: AtomicUsize,
    connections: Mutex<Vec<Weak<Inflow>>>,
}

impl Total {
    fn used(&self) -> usize {
        self.partial.load(SeqCst) + self.unread.load(SeqCst)
    }

    fn is_short(&self) -> bool {
        self.used() > self.limit / 4 * 3
    }
}

impl Received {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let (partial, unread, connections) = Default::default();
        Self(Arc::new(Total { limit, partial, unread, connections }))
    }

    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.0.used()
    }

    /// What a new connection sends, which ends once `closed` is cancelled.
    pub(crate) fn inflow(&self, closed: CancellationToken) -> Arc<Inflow> {
        let inflow = Arc::new(Inflow {
            total: self.0.clone(),
            partial: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            deaf: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
            polls_before: AtomicUsize::new(0),
            closed,
        });
        self.0.connections.lock().push(Arc::downgrade(&inflow));
        inflow
    }

    /// To be called each second: beyond the bound, closes those connections that hold the most of
    /// what nobody has read since the last call, until the rest is within it.
    pub(crate) fn look(&self) {
        let mut connections = self.0.connections.lock();
        connections.retain(|inflow| inflow.strong_count() > 0);
        let inflows: Vec<_> = connections.iter().filter_map(Weak::upgrade).collect();
        drop(connections);
        let holds = |inflow: &Arc<Inflow>| inflow.unread.load(SeqCst) > 0;
        let mut idle: Vec<_> =
            inflows.into_iter().filter(|inflow| inflow.was_idle() && holds(inflow)).collect();
        idle.sort_by_key(|inflow| std::cmp::Reverse(inflow.unread.load(SeqCst)));
        let mut excess = self.used().saturating_sub(self.0.limit);
        for inflow in idle {
            if excess == 0 {
                break;
            }
            let unread = inflow.unread.load(SeqCst);
            tracing::warn!(
                "a connection was closed: {unread} bytes that it sent wait to be read, while its \
                 answers are not taken and no memory is left for more"
            );
            inflow.closed.cancel();
            excess = excess.saturating_sub(unread);
        }
    }
}

/// What one connection has sent.
#[derive(Debug)]
pub(crate) struct Inflow {
    total: Arc<Total>,
    partial: AtomicUsize,
    unread: AtomicUsize,
    /// Bodies that have given something and were not asked for more yet.
    deaf: AtomicUsize,
    /// How often any body was asked for more.
    polls: AtomicUsize,
    /// The same at the last look.
    polls_before: AtomicUsize,
    closed: CancellationToken,
}

impl Inflow {
    /// Whether more is to be read of the connection at once: it holds nobody's memory, or there is
    /// some.
    pub(crate) fn may_read(&self) -> bool {
        self.deaf.load(SeqCst) == 0 || self.total.used() <= self.total.limit
    }

    /// Counts bytes for bodies that were read from the socket.
    pub(crate) fn came(&self, bytes: usize) {
        self.unread.fetch_add(bytes, SeqCst);
        self.total.unread.fetch_add(bytes, SeqCst);
    }

    /// Nothing is left of `bytes`, or of all where every body waits for more: then what bodies
    /// dropped unread has gone, too.
    fn went(&self, bytes: usize) {
        let all = self.deaf.load(SeqCst) == 0;
        let taken = |unread: usize| Some(if all { 0 } else { unread.saturating_sub(bytes) });
        if let Ok(before) = self.unread.fetch_update(SeqCst, SeqCst, taken) {
            let after = taken(before).unwrap_or(0);
            self.total.unread.fetch_sub(before - after, SeqCst);
        }
    }

    /// Whether bodies hold something and none was asked for more since the last call.
    fn was_idle(&self) -> bool {
        let polls = self.polls.load(SeqCst);
        let before = self.polls_before.swap(polls, SeqCst);
        polls == before && self.deaf.load(SeqCst) > 0
    }

    /// Counts that a call holds `now` bytes of a message that is not whole, and no longer `before`.
    /// Whether there was room.
    fn hold(&self, before: usize, now: usize) -> bool {
        let used = self.total.used() - before;
        let others = self.partial.load(SeqCst) - before;
        let share = self.total.limit.saturating_sub(used) / SHARE_OF_FREE;
        let alone = others == 0 && used + now <= self.total.limit;
        if now > before && others + now > share && !alone {
            return false;
        }
        for count in [&self.partial, &self.total.partial] {
            count.fetch_add(now, SeqCst);
            count.fetch_sub(before, SeqCst);
        }
        true
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        self.total.unread.fetch_sub(*self.unread.get_mut(), SeqCst);
    }
}

/// Looks after a message that is not whole, every [`PATIENCE_SHORT`].
struct Late {
    begun: Instant,
    look: Pin<Box<Sleep>>,
    /// How much of it had come at the last look.
    partial: usize,
}

impl Late {
    fn new() -> Self {
        Self { begun: Instant::now(), look: Box::pin(sleep(PATIENCE_SHORT)), partial: 0 }
    }

    /// Ready once the call is to fail, with the reason.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        partial: usize,
        is_short: impl Fn() -> bool,
    ) -> Poll<String> {
        loop {
            ready!(self.look.as_mut().poll(context));
            if self.begun.elapsed() >= WHOLE_WITHIN {
                let within = WHOLE_WITHIN.as_secs();
                return Poll::Ready(format!(
                    "a request was not whole {within} s after its first bytes: send it faster"
                ));
            }
            if self.partial == partial && is_short() {
                let patience = PATIENCE_SHORT.as_secs();
                return Poll::Ready(format!(
                    "nothing came of a request for {patience} s, and no memory is left to wait for \
                     the rest: send it at once"
                ));
            }
            self.partial = partial;
            self.look.as_mut().reset(Instant::now() + PATIENCE_SHORT);
        }
    }
}

/// The body of a request, counted until its messages are whole.
pub(crate) struct ReceivedBody<B> {
    inner: B,
    inflow: Arc<Inflow>,
    messages: Messages,
    /// Bytes counted of the message that is not whole, and how long it may be so.
    partial: usize,
    late: Option<Late>,
    deaf: bool,
}

impl<B> ReceivedBody<B> {
    pub(crate) fn new(inner: B, inflow: Arc<Inflow>) -> Self {
        Self { inner, inflow, messages: Messages::default(), partial: 0, late: None, deaf: false }
    }

    fn take(&mut self, bytes: &Bytes) -> Result<(), Status> {
        let partial = self.messages.partial(bytes);
        if !self.inflow.hold(self.partial, partial) {
            return Err(self.fault(format!(
                "this server holds {} bytes of requests that are not whole yet, and has no room \
                 for more: try again later, or send less at once",
                self.inflow.total.used()
            )));
        }
        self.partial = partial;
        if partial == 0 {
            self.late = None;
        } else if self.late.is_none() {
            self.late = Some(Late::new());
        }
        Ok(())
    }

    /// Of a call none of whose messages was whole, nothing can have been executed.
    fn fault(&self, why: String) -> Status {
        let fault = Fault::new(Code::ResourceExhausted, why);
        let fault = if self.messages.any_whole() { fault } else { fault.not_executed() };
        fault.to_status()
    }

    fn listen(&mut self) {
        self.inflow.polls.fetch_add(1, SeqCst);
        if std::mem::take(&mut self.deaf) {
            self.inflow.deaf.fetch_sub(1, SeqCst);
        }
    }
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for ReceivedBody<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.listen();
        let polled = Pin::new(&mut self.inner).poll_frame(context)?;
        let Self { late, inflow, partial, .. } = &mut *self;
        if polled.is_pending()
            && let Some(late) = late
        {
            let why = ready!(late.poll(context, *partial, || inflow.total.is_short()));
            return Poll::Ready(Some(Err(self.fault(why))));
        }
        let Some(frame) = ready!(polled) else { return Poll::Ready(None) };
        if let Some(bytes) = frame.data_ref() {
            let taken = self.take(bytes);
            self.deaf = true;
            self.inflow.deaf.fetch_add(1, SeqCst);
            self.inflow.went(bytes.len());
            taken?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for ReceivedBody<B> {
    fn drop(&mut self) {
        self.listen();
        self.inflow.hold(self.partial, 0);
        self.inflow.went(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::Waker;

    /// Gives its pieces, and then nothing more for ever.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let piece = self.0.pop_front();
            piece.map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
        }
    }

    /// A message of so many bytes, cut behind so many of them.
    fn message(bytes: usize, cut: usize) -> [Bytes; 2] {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        let mut first = Bytes::from([&[0][..], &length, &vec![0; bytes]].concat());
        let second = first.split_off(5 + cut);
        [first, second]
    }

    type Reading = Pin<Box<ReceivedBody<Pieces>>>;

    fn body(inflow: &Arc<Inflow>, pieces: &[Bytes]) -> Reading {
        Box::pin(ReceivedBody::new(Pieces(pieces.to_vec().into()), inflow.clone()))
    }

    fn poll(body: &mut Reading) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn fault(polled: Poll<Option<Result<Frame<Bytes>, Status>>>) -> Fault {
        let Poll::Ready(Some(Err(status))) = polled else { panic!("it goes on: {polled:?}") };
        Fault::from_status(&status)
    }

    fn given(polled: &Poll<Option<Result<Frame<Bytes>, Status>>>) -> bool {
        matches!(polled, Poll::Ready(Some(Ok(_))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_counts_until_it_is_whole_or_its_call_ends() {
        let received = Received::new(1 << 20);
        let inflow = received.inflow(CancellationToken::new());
        let [first, second] = message(1_000, 400);
        let mut whole = body(&inflow, &[first.clone(), second]);
        assert!(given(&poll(&mut whole)));
        assert_eq!(received.used(), 405);
        assert!(given(&poll(&mut whole)));
        assert_eq!(received.used(), 0);
        let mut ended = body(&inflow, &[first]);
        assert!(given(&poll(&mut ended)));
        drop(ended);
        assert_eq!(received.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn many_messages_in_part_are_refused_and_one_alone_or_a_whole_one_is_not() {
        let received = Received::new(1 << 20);
        let inflow = received.inflow(CancellationToken::new());
        let [first, _] = message(1 << 20, 600 << 10);
        let mut alone = body(&inflow, std::slice::from_ref(&first));
        assert!(given(&poll(&mut alone)), "a message that is alone has all the room");
        let mut beside = body(&inflow, std::slice::from_ref(&first));
        let refused = fault(poll(&mut beside));
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.is_not_executed(), "{refused}");
        let other = received.inflow(CancellationToken::new());
        let refused = fault(poll(&mut body(&other, &[first])));
        assert!(refused.message.contains("no room"), "{refused}");
        let [all, rest] = message(500 << 10, 500 << 10);
        assert!(given(&poll(&mut body(&other, &[all, rest]))), "a whole one is admission's");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_had_a_whole_message_does_not_promise_that_nothing_was_executed() {
        let received = Received::new(1 << 20);
        let inflow = received.inflow(CancellationToken::new());
        let [all, rest] = message(10, 10);
        let [part, _] = message(2 << 20, 1 << 20);
        let mut stream = body(&inflow, &[all, rest, part]);
        assert!(given(&poll(&mut stream)) && given(&poll(&mut stream)));
        assert!(!fault(poll(&mut stream)).is_not_executed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_not_whole_in_time_is_refused() {
        let received = Received::new(1 << 20);
        let inflow = received.inflow(CancellationToken::new());
        let [first, _] = message(1_000, 400);
        let mut slow = body(&inflow, &[first]);
        assert!(given(&poll(&mut slow)));
        assert!(poll(&mut slow).is_pending());
        tokio::time::advance(WHOLE_WITHIN).await;
        let refused = fault(poll(&mut slow));
        assert!(refused.message.contains("60 s"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_of_which_nothing_comes_makes_room_while_memory_is_short() {
        let received = Received::new(1_000);
        let inflow = received.inflow(CancellationToken::new());
        let [first, _] = message(1_000, 700);
        let mut idle = body(&inflow, &[first]);
        assert!(given(&poll(&mut idle)) && poll(&mut idle).is_pending());
        tokio::time::advance(PATIENCE_SHORT).await;
        assert!(poll(&mut idle).is_pending(), "it came since the last look");
        tokio::time::advance(PATIENCE_SHORT).await;
        assert!(poll(&mut idle).is_pending(), "less than three quarters are taken");
        inflow.came(100);
        tokio::time::advance(PATIENCE_SHORT).await;
        let refused = fault(poll(&mut idle));
        assert!(refused.message.contains("nothing came"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_the_connection_that_nobody_reads_and_holds_most_is_closed() {
        let received = Received::new(1_000);
        let connections = [900, 300, 400].map(|bytes| {
            let closed = CancellationToken::new();
            let inflow = received.inflow(closed.clone());
            let [all, rest] = message(10, 10);
            let mut body = body(&inflow, &[all, rest]);
            inflow.came(bytes + 15);
            // It is given what is whole, and asks for no more.
            assert!(given(&poll(&mut body)));
            (inflow, closed, body)
        });
        // One more holds nothing, though it is not read either.
        let idle = received.inflow(CancellationToken::new());
        let [all, rest] = message(10, 10);
        let mut unasked = body(&idle, &[all, rest]);
        assert!(given(&poll(&mut unasked)));
        assert_eq!(received.used(), 1_600);
        assert!(!connections[0].0.may_read());
        received.look();
        received.look();
        let closed = connections.each_ref().map(|(_, closed, _)| closed.is_cancelled());
        assert_eq!(closed, [true, false, false]);
        assert!(!idle.closed.is_cancelled());
        drop(connections);
        assert_eq!(received.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_streams_are_read_is_never_closed_nor_held_up() {
        let received = Received::new(1_000);
        let closed = CancellationToken::new();
        let inflow = received.inflow(closed.clone());
        let mut reads = body(&inflow, &[]);
        assert!(poll(&mut reads).is_pending());
        inflow.came(5_000);
        received.look();
        received.look();
        assert!(inflow.may_read() && !closed.is_cancelled());
    }
}
