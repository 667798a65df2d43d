//! How many bytes of answers a server holds for clients that have not read them
//! yet: bounded in all, and for each connection.
//!
//! A client may ask and not read. Its answers are counted from the moment they
//! exist until the kernel has taken them, and then:
//! - A connection holds at most its *share*: a quarter of what is free of the
//!   whole budget, so that many greedy clients leave room for one that reads.
//! - An operation is not begun while what the connection holds, and what the
//!   operations under way are expected to bring, fill the share. So the stream is
//!   not read, and HTTP/2 holds the client back.
//! - A read whose answer does not fit even so is answered `RESOURCE_EXHAUSTED`
//!   instead: expectations can be wrong, the bound cannot.
//! - A connection that takes nothing for [`PATIENCE`](crate::stall::PATIENCE)
//!   loses its streams, and then itself.

use crate::compact;
use doug_proto::error::Fault;
use doug_proto::transaction::is_read_only;
use doug_proto::v1::{OperationAnswer, ScanEntry, TransactResponse};
use doug_proto::v1::{stream_answer::Answer, stream_operation::Operation};
use parking_lot::Mutex;
use prost::Message;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Most bytes of answers that one connection holds, however much is free.
const MOST_SHARE: usize = 16 << 20;
/// A connection holds at most this part of what is free.
const SHARE_OF_FREE: usize = 4;
/// Encoded bytes of one connection that wait for the kernel; beyond, no answer
/// of it is encoded.
const SENDING: usize = 1 << 20;
/// What an answer takes beside its keys and values.
const ENVELOPE: usize = 256;
/// How large an answer is thought to be before the first one is known.
const FIRST_EXPECTED: usize = 256 << 10;

/// The answers of a whole server.
#[derive(Clone, Debug)]
pub struct Answers(Arc<Total>);

#[derive(Debug)]
struct Total {
    limit: usize,
    used: AtomicUsize,
    accounts: Mutex<Vec<Weak<Account>>>,
}

impl Total {
    /// What a connection may hold while `used` bytes of the budget are taken.
    fn share(&self, used: usize) -> usize {
        (self.limit.saturating_sub(used) / SHARE_OF_FREE).min(MOST_SHARE)
    }
}

impl Answers {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let (used, accounts) = (AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Total { limit, used, accounts }))
    }

    /// Bytes of answers that clients have not taken yet.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The account of a new connection.
    pub fn account(&self) -> Arc<Account> {
        let account = Arc::new(Account::new(self.0.clone()));
        self.0.accounts.lock().push(Arc::downgrade(&account));
        account
    }

    /// Whether so much is held that clients are given less time.
    pub(crate) fn is_short(&self) -> bool {
        self.used() > self.0.limit / 4 * 3
    }

    /// The connections there are.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        let mut accounts = self.0.accounts.lock();
        accounts.retain(|account| account.strong_count() > 0);
        accounts.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Operations whose answers are of like size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    Page,
    /// Transactions that change something: their answers may be large, and can be dropped, but
    /// not be replaced by an error, for they are done.
    Transact,
    /// A watch: it mostly waits, so no room is kept for what it may be told. Whoever has none then
    /// is told to ask again, and goes on from where it was.
    Watch,
    /// Writes and registrations: small, and never refused once they are done.
    Small,
}

impl Kind {
    fn of(operation: Option<&Operation>) -> Self {
        match operation {
            Some(Operation::Get(_)) => Kind::Get,
            Some(Operation::Scan(_) | Operation::Status(_)) => Kind::Page,
            Some(Operation::Transact(transact)) if is_read_only(transact) => Kind::Page,
            Some(Operation::Transact(_)) => Kind::Transact,
            Some(Operation::Watch(_)) => Kind::Watch,
            _ => Kind::Small,
        }
    }
}

/// What `stall` saw of a connection when it last looked.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) taken: usize,
    /// How long nothing was taken.
    pub(crate) idle: Duration,
}

/// What one connection holds.
#[derive(Debug)]
pub struct Account {
    total: Arc<Total>,
    /// Answers that wait to be encoded.
    queued: AtomicUsize,
    /// Encoded, and not taken by the kernel yet.
    sending: AtomicUsize,
    /// What the operations under way are expected to be answered with.
    expected: AtomicUsize,
    /// How large the answers to gets, scans and transactions were of late.
    sizes: [AtomicUsize; 3],
    /// Counts what was taken, for whoever looks whether anything is.
    taken: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
    pub(crate) watched: Mutex<Watched>,
    pub(crate) stalled: CancellationToken,
    pub(crate) closed: CancellationToken,
}

impl Account {
    fn new(total: Arc<Total>) -> Self {
        Self {
            total,
            queued: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            expected: AtomicUsize::new(0),
            sizes: [const { AtomicUsize::new(FIRST_EXPECTED) }; 3],
            taken: AtomicUsize::new(0),
            wakers: Mutex::default(),
            watched: Mutex::default(),
            stalled: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Bytes of answers held for this connection.
    pub fn held(&self) -> usize {
        self.queued.load(Ordering::SeqCst) + self.sending.load(Ordering::SeqCst)
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Completes once the client has taken nothing for too long: its streams end.
    pub async fn stalled(&self) {
        self.stalled.cancelled().await;
    }

    /// Whether it has.
    pub fn is_stalled(&self) -> bool {
        self.stalled.is_cancelled()
    }

    /// Completes once there is room for the answer that `operation` is expected to
    /// have. With nothing held and nothing under way there always is.
    pub async fn room(&self, operation: Option<&Operation>) {
        poll_fn(|context| self.poll(context, |account| account.has_room(operation))).await;
    }

    /// Whether there is.
    pub fn has_room(&self, operation: Option<&Operation>) -> bool {
        let kind = Kind::of(operation);
        let taken = self.held() + self.expected.load(Ordering::SeqCst);
        let share = self.total.share(self.total.used.load(Ordering::SeqCst));
        taken == 0 || taken + self.expectation(kind) <= share
    }

    /// Ready once one more piece may be handed to the transport.
    pub(crate) fn poll_send(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll(context, |account| account.sending.load(Ordering::SeqCst) < SENDING)
    }

    fn poll(&self, context: &mut Context<'_>, ready: impl Fn(&Self) -> bool) -> Poll<()> {
        if ready(self) {
            return Poll::Ready(());
        }
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        drop(wakers);
        // What was given back in between has woken nobody.
        if ready(self) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn expectation(&self, kind: Kind) -> usize {
        match kind {
            Kind::Get => self.sizes[0].load(Ordering::Relaxed),
            Kind::Page => self.sizes[1].load(Ordering::Relaxed),
            Kind::Transact => self.sizes[2].load(Ordering::Relaxed),
            Kind::Watch | Kind::Small => ENVELOPE,
        }
    }

    /// Notes an answer's size: larger ones count at once, smaller ones slowly.
    fn learn(&self, kind: Kind, bytes: usize) {
        let size = match kind {
            Kind::Get => &self.sizes[0],
            Kind::Page => &self.sizes[1],
            Kind::Transact => &self.sizes[2],
            Kind::Watch | Kind::Small => return,
        };
        let known = size.load(Ordering::Relaxed);
        size.store(bytes.max(known - known / 8), Ordering::Relaxed);
    }

    /// Counts an operation that begins; to be settled with its answer.
    pub fn expect(self: &Arc<Self>, operation: Option<&Operation>) -> Expected {
        let kind = Kind::of(operation);
        let bytes = self.expectation(kind);
        self.expected.fetch_add(bytes, Ordering::SeqCst);
        Expected { account: self.clone(), kind, bytes }
    }

    /// Counts an answer, if there is room for it or it must not be refused.
    fn hold(self: &Arc<Self>, bytes: usize, refusable: bool) -> Option<Held> {
        let own =
            self.queued.fetch_add(bytes, Ordering::SeqCst) + self.sending.load(Ordering::SeqCst);
        let used = self.total.used.fetch_add(bytes, Ordering::SeqCst);
        let held = Held { account: self.clone(), bytes };
        let fits = own + bytes <= self.total.share(used);
        let alone = own == 0 && used + bytes <= self.total.limit;
        (fits || alone || !refusable).then_some(held)
    }

    /// Counts encoded bytes that were handed to the transport.
    pub(crate) fn send(self: &Arc<Self>, bytes: usize) -> Sending {
        self.sending.fetch_add(bytes, Ordering::SeqCst);
        self.total.used.fetch_add(bytes, Ordering::SeqCst);
        Sending { account: self.clone(), bytes }
    }
}

/// An operation under way, and how large its answer is expected to be.
#[derive(Debug)]
pub struct Expected {
    account: Arc<Account>,
    kind: Kind,
    bytes: usize,
}

impl Expected {
    /// Counts the answer until the client has it. A read's that does not fit is
    /// replaced by an error, for it has done nothing; a transaction's loses what its
    /// operations answer, and says so.
    pub fn settle(self, answer: Answer) -> (Answer, Held) {
        let bytes = size(&answer);
        let refusable = !matches!(answer, Answer::Error(_)) && self.kind != Kind::Small;
        if refusable {
            self.account.learn(self.kind, bytes);
        }
        match self.account.hold(bytes, refusable) {
            // Somebody is behind: an answer that waits holds its own bytes, not the
            // whole message or block that it was cut from.
            Some(held) if self.account.held() > bytes => (compact::answer(answer), held),
            Some(held) => (answer, held),
            None => {
                let answer = match answer {
                    Answer::Transact(done) if self.kind == Kind::Transact => {
                        let (answers, answers_dropped) = (Vec::new(), true);
                        Answer::Transact(TransactResponse { answers, answers_dropped, ..done })
                    }
                    _ => Answer::Error(refused(bytes).to_wire()),
                };
                let held = self.account.hold(size(&answer), false);
                (answer, held.expect("what says so little is never refused"))
            }
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.account.expected.fetch_sub(self.bytes, Ordering::SeqCst);
        self.account.wake();
    }
}

/// Why a read got no answer though it was carried out.
fn refused(bytes: usize) -> Fault {
    Fault::exhausted(format!(
        "the answer of {bytes} bytes has no room beside those that this connection has not read \
         yet: read them, or ask for less at once"
    ))
}

/// Answers counted until they are encoded.
#[derive(Debug)]
pub struct Held {
    account: Arc<Account>,
    bytes: usize,
}

impl Held {
    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes two one, which ends when both would.
    ///
    /// # Panics
    /// If they are of different connections.
    pub fn join(&mut self, mut other: Held) {
        assert!(Arc::ptr_eq(&self.account, &other.account), "answers of two connections");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.queued.fetch_sub(self.bytes, Ordering::SeqCst);
            self.account.total.used.fetch_sub(self.bytes, Ordering::SeqCst);
            self.account.wake();
        }
    }
}

/// Encoded bytes counted until the kernel has taken them.
#[derive(Debug)]
pub(crate) struct Sending {
    account: Arc<Account>,
    bytes: usize,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.account.sending.fetch_sub(self.bytes, Ordering::SeqCst);
        self.account.total.used.fetch_sub(self.bytes, Ordering::SeqCst);
        self.account.taken.fetch_add(1, Ordering::Relaxed);
        self.account.wake();
    }
}

/// About how many bytes an answer holds; exact where it can be large.
fn size(answer: &Answer) -> usize {
    ENVELOPE
        + match answer {
            Answer::Get(get) => get.value.len(),
            Answer::Scan(scan) => scan.entries.iter().map(size_of_entry).sum(),
            Answer::Watch(watch) => {
                let event = |e: &doug_proto::v1::WatchEvent| e.key.len() + e.value.len() + 64;
                watch.events.iter().map(event).sum()
            }
            Answer::Status(status) => 2 * status.encoded_len(),
            Answer::Transact(transact) => transact.answers.iter().map(size_in_transaction).sum(),
            Answer::Error(error) => error.encoded_len(),
            _ => 0,
        }
}

fn size_of_entry(entry: &ScanEntry) -> usize {
    entry.key.len() + entry.value.len() + 64
}

fn size_in_transaction(answer: &OperationAnswer) -> usize {
    use doug_proto::v1::operation_answer::Answer;
    64 + match &answer.answer {
        Some(Answer::Get(get)) => get.value.len(),
        Some(Answer::Scan(scan)) => scan.entries.iter().map(size_of_entry).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
