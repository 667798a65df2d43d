//! The operations in flight on one connection, as a table of slots: which answer belongs to whom,
//! and how many there may be. Pure: time is an argument, and nobody is woken here.

mod sweep;
#[cfg(test)]
mod tests;

use doug_proto::v1::{StreamAnswer, StreamOperation, stream_answer::Answer};
use std::collections::VecDeque;
use std::task::{Poll, Waker};
use tokio::time::Instant;

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
