//! The operations in flight on one connection, as a table of slots. Pure: time
//! is an argument, and nobody is woken here.

use doug_proto::v1::{StreamAnswer, StreamOperation, stream_answer::Answer};
use std::collections::VecDeque;
use std::task::{Poll, Waker};
use tokio::time::{Duration, Instant};

/// What becomes of an operation given to a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// The server answered.
    Answer(Answer),
    /// It never left this machine, and why.
    NotSent(String),
    /// The connection's bounds are reached; it never left this machine.
    Full(String),
    /// It was sent, and then the stream broke.
    Lost(String),
    /// The deadline passed; whether it had been sent.
    Deadline {
        /// Whether it may have left this machine.
        possibly_sent: bool,
    },
    /// Nothing at all was heard from the server for a while. More will follow.
    Silent,
}

/// Names a slot and its use: a later operation in the same slot has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotId(u64);

impl SlotId {
    pub(super) const NONE: SlotId = SlotId(0);

    fn new(index: usize, turn: u32) -> Self {
        Self((u64::from(turn) << 32) | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    fn turn(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

struct Slot {
    /// Counts the uses of the slot, from 1, so that a late answer to an earlier
    /// use meets nobody.
    turn: u32,
    bytes: usize,
    submitted: Instant,
    deadline: Instant,
    stage: Stage,
    silent: bool,
    waker: Option<Waker>,
}

enum Stage {
    Free,
    Queued(StreamOperation),
    Sent,
    /// Forgotten by its caller after it was sent: keeps its place in the bounds
    /// until the answer, the deadline or the end of the stream.
    Orphan,
    Ended(Event),
}

/// A bound that was reached.
pub(super) enum Full {
    Count(usize),
    Bytes(usize),
}

impl Full {
    pub(super) fn message(&self, address: &str) -> String {
        match self {
            Full::Count(limit) => {
                format!("{limit} operations are already in flight to {address}: send fewer at once")
            }
            Full::Bytes(limit) => format!(
                "{limit} bytes of operations are already in flight to {address}: send fewer at once"
            ),
        }
    }
}

/// What a sweep found.
pub(super) struct Swept {
    /// When to sweep again; none if nothing waits.
    pub(super) next: Option<Instant>,
    /// Whether some operation found the server silent.
    pub(super) found_silent: bool,
}

/// The table.
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// When each slot is due, apart from the slots so that a sweep stays in cache.
    due: Vec<Option<Instant>>,
    free: Vec<usize>,
    queue: VecDeque<SlotId>,
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
}

impl Slots {
    pub(super) fn new(max_count: usize, max_bytes: usize) -> Self {
        Self {
            slots: Vec::new(),
            due: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            count: 0,
            bytes: 0,
            max_count,
            max_bytes,
        }
    }

    /// Queues an operation. One larger than the whole byte bound still goes
    /// alone, or it would never go.
    pub(super) fn insert(
        &mut self,
        mut operation: StreamOperation,
        bytes: usize,
        now: Instant,
        due: Instant,
        deadline: Instant,
    ) -> Result<SlotId, Full> {
        if self.count >= self.max_count {
            return Err(Full::Count(self.max_count));
        }
        if self.count > 0 && self.bytes + bytes > self.max_bytes {
            return Err(Full::Bytes(self.max_bytes));
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                turn: 0,
                bytes: 0,
                submitted: now,
                deadline,
                stage: Stage::Free,
                silent: false,
                waker: None,
            });
            self.due.push(None);
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        slot.turn = slot.turn.wrapping_add(1).max(1);
        let id = SlotId::new(index, slot.turn);
        operation.id = id.0;
        slot.bytes = bytes;
        slot.submitted = now;
        slot.deadline = deadline;
        slot.silent = false;
        slot.stage = Stage::Queued(operation);
        self.due[index] = Some(due);
        self.count += 1;
        self.bytes += bytes;
        self.queue.push_back(id);
        Ok(id)
    }

    /// Takes queued operations to send, up to about `budget` bytes.
    pub(super) fn take_queued(&mut self, budget: usize, most: usize) -> Vec<StreamOperation> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < most {
            let Some(&id) = self.queue.front() else { break };
            let slot = &mut self.slots[id.index()];
            let queued = slot.turn == id.turn() && matches!(slot.stage, Stage::Queued(_));
            if queued && !taken.is_empty() && bytes + slot.bytes > budget {
                break;
            }
            self.queue.pop_front();
            if !queued {
                continue;
            }
            bytes += slot.bytes;
            if let Stage::Queued(operation) = std::mem::replace(&mut slot.stage, Stage::Sent) {
                taken.push(operation);
            }
        }
        taken
    }

    /// Hands an answer to whom it belongs; late ones meet nobody.
    pub(super) fn answer(&mut self, answer: StreamAnswer, wake: &mut Vec<Waker>) {
        let id = SlotId(answer.id);
        let Some(slot) = self.slots.get_mut(id.index()).filter(|s| s.turn == id.turn()) else {
            return;
        };
        match slot.stage {
            Stage::Orphan => self.release(id.index()),
            Stage::Sent => {
                let event = match answer.answer {
                    Some(answer) => Event::Answer(answer),
                    None => Event::Lost("the server sent an answer without content".to_owned()),
                };
                self.end(id.index(), event, wake);
            }
            Stage::Free | Stage::Queued(_) | Stage::Ended(_) => {}
        }
    }

    fn end(&mut self, index: usize, event: Event, wake: &mut Vec<Waker>) {
        let slot = &mut self.slots[index];
        slot.stage = Stage::Ended(event);
        self.due[index] = None;
        wake.extend(slot.waker.take());
    }

    fn release(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.stage = Stage::Free;
        slot.waker = None;
        self.due[index] = None;
        self.count -= 1;
        self.bytes -= slot.bytes;
        self.free.push(index);
        // Withdrawn operations leave their ids in the queue; a stream that
        // takes none must not let them pile up.
        if self.queue.len() > 64 + 2 * self.count {
            let slots = &self.slots;
            self.queue.retain(|id| {
                let slot = &slots[id.index()];
                slot.turn == id.turn() && matches!(slot.stage, Stage::Queued(_))
            });
        }
    }

    /// The slot's event, if it has one; otherwise remembers whom to wake.
    pub(super) fn poll(&mut self, id: SlotId, waker: &Waker) -> Poll<Event> {
        let slot = &mut self.slots[id.index()];
        assert_eq!(slot.turn, id.turn(), "an attempt outlived its slot");
        if let Stage::Ended(_) = slot.stage {
            let Stage::Ended(event) = std::mem::replace(&mut slot.stage, Stage::Free) else {
                unreachable!("the stage was just matched")
            };
            self.release(id.index());
            return Poll::Ready(event);
        }
        if std::mem::take(&mut slot.silent) {
            return Poll::Ready(Event::Silent);
        }
        match &mut slot.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    pub(super) fn possibly_sent(&self, id: SlotId) -> bool {
        matches!(
            self.slots[id.index()].stage,
            Stage::Sent
                | Stage::Ended(Event::Answer(_) | Event::Lost(_))
                | Stage::Ended(Event::Deadline { possibly_sent: true })
        )
    }

    /// Takes back what is still queued. Whether it was.
    pub(super) fn withdraw(&mut self, id: SlotId) -> bool {
        let slot = &self.slots[id.index()];
        assert_eq!(slot.turn, id.turn(), "an attempt outlived its slot");
        let queued = matches!(slot.stage, Stage::Queued(_));
        if queued {
            self.release(id.index());
        }
        queued
    }

    /// The caller no longer waits: withdraws what was not sent.
    pub(super) fn forget(&mut self, id: SlotId) {
        let slot = &mut self.slots[id.index()];
        assert_eq!(slot.turn, id.turn(), "an attempt outlived its slot");
        if let Stage::Sent = slot.stage {
            slot.stage = Stage::Orphan;
            slot.waker = None;
        } else {
            self.release(id.index());
        }
    }

    /// Ends what is past its deadline, marks what is silent, and says when to
    /// sweep again.
    pub(super) fn sweep(
        &mut self,
        now: Instant,
        heard: Instant,
        patience: Duration,
        wake: &mut Vec<Waker>,
    ) -> Swept {
        let mut swept = Swept { next: None, found_silent: false };
        for index in 0..self.due.len() {
            let Some(due) = self.due[index] else { continue };
            if due <= now {
                swept.found_silent |= self.sweep_one(index, now, heard, patience, wake);
            }
            if let Some(due) = self.due[index] {
                swept.next = Some(swept.next.map_or(due, |next| next.min(due)));
            }
        }
        swept
    }

    /// Whether the slot is found silent now.
    fn sweep_one(
        &mut self,
        index: usize,
        now: Instant,
        heard: Instant,
        patience: Duration,
        wake: &mut Vec<Waker>,
    ) -> bool {
        let slot = &mut self.slots[index];
        if now >= slot.deadline {
            if let Stage::Orphan = slot.stage {
                self.release(index);
            } else {
                let possibly_sent = matches!(slot.stage, Stage::Sent);
                self.end(index, Event::Deadline { possibly_sent }, wake);
            }
            return false;
        }
        let silent_at = slot.submitted.max(heard) + patience;
        if now < silent_at {
            self.due[index] = Some(silent_at.min(slot.deadline));
            return false;
        }
        slot.silent = true;
        wake.extend(slot.waker.take());
        self.due[index] = Some(slot.deadline);
        true
    }

    /// The stream ended: ends all that was sent as lost, and all that was not
    /// as not sent.
    pub(super) fn break_off(&mut self, why: &str, wake: &mut Vec<Waker>) {
        self.queue.clear();
        for index in 0..self.slots.len() {
            match self.slots[index].stage {
                Stage::Queued(_) => self.end(index, Event::NotSent(why.to_owned()), wake),
                Stage::Sent => self.end(index, Event::Lost(why.to_owned()), wake),
                Stage::Orphan => self.release(index),
                Stage::Free | Stage::Ended(_) => {}
            }
        }
    }

    /// As [`Slots::break_off`], where the server promised to have read nothing.
    pub(super) fn break_off_unread(&mut self, why: &str, wake: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            if let Stage::Sent = slot.stage {
                slot.stage = Stage::Ended(Event::NotSent(why.to_owned()));
                wake.extend(slot.waker.take());
            }
        }
        self.break_off(why, wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::GetResponse;

    const PATIENCE: Duration = Duration::from_millis(150);

    struct Table {
        slots: Slots,
        now: Instant,
        woken: Vec<Waker>,
    }

    impl Table {
        fn new(max_count: usize, max_bytes: usize) -> Self {
            let now = Instant::now();
            Self { slots: Slots::new(max_count, max_bytes), now, woken: Vec::new() }
        }

        fn insert(&mut self, bytes: usize) -> Option<SlotId> {
            let (now, operation) = (self.now, StreamOperation::default());
            let deadline = now + Duration::from_secs(1);
            self.slots.insert(operation, bytes, now, now + PATIENCE, deadline).ok()
        }

        fn answer(&mut self, id: SlotId) {
            let answer = Some(Answer::Get(GetResponse::default()));
            self.slots.answer(StreamAnswer { id: id.0, answer }, &mut self.woken);
        }

        fn poll(&mut self, id: SlotId) -> Poll<Event> {
            self.slots.poll(id, Waker::noop())
        }

        fn sweep(&mut self, after: Duration) -> Swept {
            self.slots.sweep(self.now + after, self.now, PATIENCE, &mut self.woken)
        }

        fn send(&mut self) -> usize {
            self.slots.take_queued(usize::MAX, usize::MAX).len()
        }
    }

    #[test]
    fn an_answer_reaches_the_operation_whose_id_it_carries() {
        let mut table = Table::new(8, 1_000);
        let (first, second) = (table.insert(1).unwrap(), table.insert(1).unwrap());
        assert_eq!(table.send(), 2);
        table.answer(second);
        assert!(matches!(table.poll(second), Poll::Ready(Event::Answer(_))));
        assert!(table.poll(first).is_pending());
    }

    #[test]
    fn a_late_answer_never_meets_a_later_operation_in_the_same_slot() {
        let mut table = Table::new(1, 1_000);
        let former = table.insert(1).unwrap();
        table.send();
        table.answer(former);
        assert!(table.poll(former).is_ready());
        let later = table.insert(1).unwrap();
        table.send();
        assert_eq!(former.index(), later.index());
        table.answer(former);
        assert!(table.poll(later).is_pending());
    }

    #[test]
    fn count_and_bytes_are_bounded_and_given_back() {
        let mut table = Table::new(2, 100);
        let (first, second) = (table.insert(60).unwrap(), table.insert(40).unwrap());
        assert!(table.insert(0).is_none(), "two are in flight");
        table.slots.forget(second);
        assert!(table.insert(41).is_none(), "60 bytes are in flight");
        table.slots.forget(first);
        assert!(table.insert(1_000).is_some(), "alone, a large one goes");
    }

    #[test]
    fn an_abandoned_operation_keeps_its_place_until_it_is_answered() {
        let mut table = Table::new(1, 100);
        let abandoned = table.insert(1).unwrap();
        table.send();
        table.slots.forget(abandoned);
        assert!(table.insert(1).is_none());
        table.answer(abandoned);
        assert!(table.insert(1).is_some());
    }

    #[test]
    fn only_what_was_not_sent_can_be_withdrawn() {
        let mut table = Table::new(8, 100);
        let queued = table.insert(1).unwrap();
        assert!(table.slots.withdraw(queued));
        assert_eq!(table.send(), 0);
        let sent = table.insert(1).unwrap();
        table.send();
        assert!(!table.slots.withdraw(sent));
    }

    #[test]
    fn when_the_stream_breaks_what_was_sent_is_lost_and_the_rest_was_not_sent() {
        let mut table = Table::new(8, 100);
        let sent = table.insert(1).unwrap();
        table.send();
        let queued = table.insert(1).unwrap();
        table.slots.break_off("reset", &mut table.woken);
        assert!(matches!(table.poll(sent), Poll::Ready(Event::Lost(_))));
        assert!(matches!(table.poll(queued), Poll::Ready(Event::NotSent(_))));
        assert_eq!(table.send(), 0, "nothing of it goes into the next stream");
    }

    #[test]
    fn silence_is_told_once_and_then_the_deadline() {
        let mut table = Table::new(8, 100);
        let id = table.insert(1).unwrap();
        table.send();
        let swept = table.sweep(PATIENCE);
        assert!(swept.found_silent);
        assert!(matches!(table.poll(id), Poll::Ready(Event::Silent)));
        assert!(table.poll(id).is_pending());
        assert!(table.sweep(Duration::from_secs(1)).next.is_none());
        let ended = table.poll(id);
        assert!(matches!(ended, Poll::Ready(Event::Deadline { possibly_sent: true })));
    }

    #[test]
    fn whoever_hears_anything_from_the_server_waits_on() {
        let mut table = Table::new(8, 100);
        let id = table.insert(1).unwrap();
        let heard = table.now + Duration::from_millis(100);
        let now = table.now + PATIENCE;
        let swept = table.slots.sweep(now, heard, PATIENCE, &mut table.woken);
        assert!(!swept.found_silent);
        assert_eq!(swept.next, Some(heard + PATIENCE));
        assert!(table.poll(id).is_pending());
    }

    #[test]
    fn a_message_is_closed_at_its_budget() {
        let mut table = Table::new(8, 1_000);
        for _ in 0..5 {
            table.insert(40).unwrap();
        }
        let sizes = [100, 100, 100].map(|budget| table.slots.take_queued(budget, 8).len());
        assert_eq!(sizes, [2, 2, 1]);
    }
}
