//! How many operations of clients a node works on at once: as many as it answers soon.
//!
//! A queue in front of a server that is saturated adds waiting and no throughput: what is
//! taken in beyond what the server can answer in a moment only waits, until callers give
//! up on work that is then done for nobody. So the node measures how long operations take
//! from its door to their answer, and takes in fewer at once while that is more than
//! [`DELAY`] above what it takes without a queue; the others are refused at once, with the
//! promise that nothing happened, and their callers try again (as CoDel and TCP Vegas do
//! for packets: it is delay that tells of a queue, not its length).

use doug_proto::error::Fault;
use doug_raft::Time;
use std::time::Duration;

/// What operations wait for, and so how long they take when nothing queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A majority's disks.
    Write,
    /// Word of the leader, or of a majority.
    Read,
    /// Nothing: it sees whatever is applied.
    StaleRead,
}

/// Between which numbers of operations a limit moves.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// So many are always taken in.
    pub least: u64,
    /// The limit at first.
    pub first: u64,
    /// Never more.
    pub most: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { least: 64, first: 1_024, most: 16_384 }
    }
}

/// Queueing that is borne, on average.
const DELAY: Duration = Duration::from_millis(40);
/// After this long the limit is thought over.
const WINDOW: Duration = Duration::from_millis(100);
/// What an operation takes without a queue is the least of the last one or two of these.
const MEMORY: Duration = Duration::from_secs(10);

impl Class {
    /// All of them.
    pub const ALL: [Class; 3] = [Class::Write, Class::Read, Class::StaleRead];

    /// Its name in metrics and errors.
    pub fn name(self) -> &'static str {
        match self {
            Class::Write => "write",
            Class::Read => "read",
            Class::StaleRead => "stale_read",
        }
    }
}

/// What a caller is told whose operation is not taken in: nothing happened.
pub fn overloaded(class: Class, limit: u64) -> Fault {
    let class = class.name();
    Fault::exhausted(format!(
        "this node is overloaded: it works on {limit} operations of the kind {class} already, as \
         many as it answers soon: try again later"
    ))
}

/// The limits of all classes.
#[derive(Debug)]
pub struct OperationAdmission {
    classes: [Limiter; 3],
}

impl OperationAdmission {
    /// Within `bounds`, for each class.
    pub fn new(bounds: Bounds) -> Self {
        Self { classes: std::array::from_fn(|_| Limiter::new(bounds)) }
    }

    /// The limit of one class.
    pub fn of(&mut self, class: Class) -> &mut Limiter {
        &mut self.classes[class as usize]
    }
}

/// The limit of one class of operations.
#[derive(Debug)]
pub struct Limiter {
    bounds: Bounds,
    limit: u64,
    in_flight: u64,
    window: Window,
    /// Least time of an operation in the present and in the former [`MEMORY`].
    floors: [Option<Duration>; 2],
    floors_end: Time,
}

/// What was measured since the limit was last thought over.
#[derive(Debug)]
struct Window {
    ends: Time,
    answered: u32,
    total: Duration,
    refused: bool,
}

impl Limiter {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: bounds.first,
            in_flight: 0,
            window: Window::until(Time(0)),
            floors: [None; 2],
            floors_end: Time(0),
        }
    }

    /// Takes one operation in; it must be given back by [`ended`](Self::ended).
    ///
    /// # Errors
    /// How many there are at most: it is refused.
    pub fn admit(&mut self, now: Time) -> Result<(), u64> {
        self.think_over(now);
        if self.in_flight >= self.limit {
            self.window.refused = true;
            return Err(self.limit);
        }
        self.in_flight += 1;
        Ok(())
    }

    /// An operation that was taken in has ended. `took`: from the door to its answer;
    /// `None` if it was not carried out, which says nothing of queues.
    pub fn ended(&mut self, took: Option<Duration>) {
        self.in_flight -= 1;
        let Some(took) = took else { return };
        self.window.answered += 1;
        self.window.total += took;
        self.floors[0] = Some(self.floors[0].map_or(took, |floor| floor.min(took)));
    }

    /// Operations under way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many may be.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn think_over(&mut self, now: Time) {
        if now < self.window.ends {
            return;
        }
        if now >= self.floors_end {
            self.floors = [None, self.floors[0]];
            self.floors_end = now.after(MEMORY);
        }
        let window = std::mem::replace(&mut self.window, Window::until(now.after(WINDOW)));
        let floor = self.floors.iter().flatten().min();
        let mean = window.total.checked_div(window.answered);
        if let (Some(mean), Some(&floor)) = (mean, floor)
            && mean > floor + DELAY
        {
            // In proportion, for the queue is what is above the floor; at most by half.
            let borne = (floor + DELAY).as_micros() as u64;
            let shrunk = self.limit * borne / mean.as_micros() as u64;
            self.limit = shrunk.max(self.limit / 2).max(self.bounds.least);
        } else if window.refused {
            self.limit = (self.limit + self.limit / 8 + 1).min(self.bounds.most);
        }
    }
}

impl Window {
    fn until(ends: Time) -> Self {
        Self { ends, answered: 0, total: Duration::ZERO, refused: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A server that answers one operation after the other, `rate` a second, each after at
    /// least `floor`; behind callers that always want `callers` at once.
    struct Model {
        limiter: Limiter,
        now: Time,
        rate: u64,
        floor: Duration,
        callers: u64,
        waiting: VecDeque<Time>,
        took: Vec<Duration>,
        answered: u64,
    }

    impl Model {
        fn new(rate: u64, floor_millis: u64, callers: u64) -> Self {
            let limiter = Limiter::new(Bounds::default());
            let floor = Duration::from_millis(floor_millis);
            let waiting = VecDeque::new();
            Self {
                limiter,
                now: Time(1),
                rate,
                floor,
                callers,
                waiting,
                took: Vec::new(),
                answered: 0,
            }
        }

        fn run(&mut self, seconds: u64) {
            self.took.clear();
            self.answered = 0;
            let end = self.now.after(Duration::from_secs(seconds));
            while self.now < end {
                self.now = self.now.after(Duration::from_millis(1));
                while (self.waiting.len() as u64) < self.callers {
                    if self.limiter.admit(self.now).is_err() {
                        break;
                    }
                    self.waiting.push_back(self.now);
                }
                for _ in 0..self.rate / 1_000 {
                    let Some(at) = self.waiting.front().copied() else { break };
                    let took = self.now.since(at);
                    if took < self.floor {
                        break;
                    }
                    self.waiting.pop_front();
                    self.limiter.ended(Some(took));
                    self.took.push(took);
                    self.answered += 1;
                }
            }
        }

        fn median(&mut self) -> Duration {
            self.took.sort_unstable();
            self.took[self.took.len() / 2]
        }
    }

    #[test]
    fn at_saturation_what_is_admitted_is_answered_soon_and_nothing_is_lost_of_the_throughput() {
        let mut server = Model::new(18_000, 2, 16_384);
        server.run(5);
        server.run(10);
        assert!(server.median() < Duration::from_millis(100), "{:?}", server.median());
        assert!(server.answered > 170_000, "{} in ten seconds", server.answered);
    }

    #[test]
    fn a_distant_majority_is_no_queue() {
        let mut server = Model::new(50_000, 150, 4_000);
        server.run(5);
        server.run(10);
        assert!(server.answered > 200_000, "{} in ten seconds", server.answered);
    }

    #[test]
    fn a_limit_shrinks_while_operations_queue_and_grows_again_afterwards() {
        let mut server = Model::new(2_000, 2, 16_384);
        server.run(5);
        let low = server.limiter.limit();
        assert!(low < 250, "{low}");
        server.rate = 40_000;
        server.run(10);
        assert!(server.limiter.limit() > 4 * low, "{}", server.limiter.limit());
    }

    #[test]
    fn a_few_are_always_taken_in() {
        let mut server = Model::new(1_000, 500, 64);
        server.run(5);
        assert!(server.limiter.limit() >= 64);
    }
}
