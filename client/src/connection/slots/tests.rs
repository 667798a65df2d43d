//! How the table behaves, the sweep included.

use super::sweep::Swept;
use super::*;
use doug_proto::v1::GetResponse;
use std::time::Duration;

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
