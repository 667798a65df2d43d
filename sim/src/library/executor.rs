//! Runs a program's tasks on simulated time, in one thread: whatever was woken is
//! polled, in an order that the seed draws, until nothing can go on.

use crate::random::Random;
use crate::time::SimTime;
use doug_client::Runtime;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// More polls than this at one moment are a task that wakes itself without end.
const MOST_POLLS: u64 = 100_000;

/// The tasks of one process.
pub struct Executor {
    clock: Clock,
    tasks: BTreeMap<u64, (BoxFuture<'static, ()>, Waker)>,
    random: Random,
}

/// The time of one process, and its tasks' door to it.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// What [`SimTime::ZERO`] is. Only differences of instants mean anything.
    origin: Instant,
    state: Mutex<State>,
    ready: Arc<Ready>,
}

#[derive(Default)]
struct State {
    now: SimTime,
    timers: BTreeMap<(SimTime, u64), Waker>,
    named: u64,
    spawned: Vec<BoxFuture<'static, ()>>,
}

/// Tasks that were woken, each once and in the order of their numbers, so that it does not
/// matter who was woken first: tokio's own channels wake in no fixed order.
type Ready = Mutex<Vec<u64>>;

fn make_ready(ready: &Ready, number: u64) {
    let mut ready = ready.lock();
    if let Err(place) = ready.binary_search(&number) {
        ready.insert(place, number);
    }
}

struct Task {
    number: u64,
    ready: Arc<Ready>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        make_ready(&self.ready, self.number);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        make_ready(&self.ready, self.number);
    }
}

impl Clock {
    fn at(&self, time: SimTime) -> Instant {
        self.0.origin + time.elapsed()
    }

    /// The first microsecond at which `instant` has passed.
    fn time(&self, instant: Instant) -> SimTime {
        let since = instant.saturating_duration_since(self.0.origin);
        SimTime::ZERO + (since + Duration::from_nanos(999))
    }
}

impl Runtime for Clock {
    fn now(&self) -> Instant {
        self.at(self.0.state.lock().now)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { clock: self.clone(), at: self.time(at), name: None })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.state.lock().spawned.push(task);
    }
}

struct Sleep {
    clock: Clock,
    at: SimTime,
    name: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.clock.0.state.lock();
        if state.now >= this.at {
            return Poll::Ready(());
        }
        let name = *this.name.get_or_insert_with(|| {
            state.named += 1;
            state.named
        });
        state.timers.insert((this.at, name), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(name) = self.name {
            self.clock.0.state.lock().timers.remove(&(self.at, name));
        }
    }
}

impl Executor {
    /// Without tasks.
    pub fn new(random: Random) -> Self {
        let inner =
            Inner { origin: Instant::now(), state: Mutex::default(), ready: Arc::default() };
        Self { clock: Clock(Arc::new(inner)), tasks: BTreeMap::new(), random }
    }

    /// What its tasks live on.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Begins a task.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.clock.spawn(Box::pin(task));
    }

    /// Lets it be `now`, and everything go on that can.
    ///
    /// # Panics
    /// If a task wakes itself without end.
    pub fn run(&mut self, now: SimTime) {
        self.pass(now);
        for poll in 0.. {
            assert!(poll < MOST_POLLS, "a task of the client library wakes itself without end");
            self.begin_spawned();
            let Some(number) = self.pick() else { return };
            let Some((task, waker)) = self.tasks.get_mut(&number) else { continue };
            if task.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
                self.tasks.remove(&number);
            }
        }
    }

    fn pass(&self, now: SimTime) {
        let mut state = self.clock.0.state.lock();
        state.now = state.now.max(now);
        let mut due = Vec::new();
        while let Some(timer) = state.timers.first_entry().filter(|timer| timer.key().0 <= now) {
            due.push(timer.remove());
        }
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    fn begin_spawned(&mut self) {
        let mut state = self.clock.0.state.lock();
        for task in std::mem::take(&mut state.spawned) {
            state.named += 1;
            let ready = self.clock.0.ready.clone();
            make_ready(&ready, state.named);
            let waker = Waker::from(Arc::new(Task { number: state.named, ready }));
            self.tasks.insert(state.named, (task, waker));
        }
    }

    fn pick(&mut self) -> Option<u64> {
        let mut ready = self.clock.0.ready.lock();
        let turn = match ready.len() {
            0 => return None,
            1 => 0,
            several => self.random.below(several as u64) as usize,
        };
        Some(ready.remove(turn))
    }

    /// When the first of its timers is due.
    pub fn next_timer(&self) -> Option<SimTime> {
        self.clock.0.state.lock().timers.keys().next().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_task_sleeps_until_its_time_and_not_a_microsecond_less() {
        let mut executor = Executor::new(Random::new(1));
        let (clock, woke) = (executor.clock(), Arc::new(AtomicU64::new(0)));
        let seen = woke.clone();
        executor.spawn(async move {
            clock.sleep_until(clock.now() + Duration::from_nanos(1_500)).await;
            seen.store(clock.time(clock.now()).as_micros(), Ordering::Relaxed);
        });
        executor.run(SimTime::from_micros(10));
        assert_eq!(executor.next_timer(), Some(SimTime::from_micros(12)));
        executor.run(SimTime::from_micros(11));
        assert_eq!(woke.load(Ordering::Relaxed), 0);
        executor.run(SimTime::from_micros(12));
        assert_eq!(woke.load(Ordering::Relaxed), 12);
        assert!(executor.tasks.is_empty());
    }

    #[test]
    fn a_sleep_that_is_given_up_leaves_no_timer() {
        let mut executor = Executor::new(Random::new(1));
        let clock = executor.clock();
        executor.spawn(async move {
            let mut sleep = clock.sleep_until(clock.now() + Duration::from_secs(1));
            std::future::poll_fn(|context| {
                assert!(sleep.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        });
        executor.run(SimTime::ZERO);
        assert_eq!(executor.next_timer(), None);
    }
}
