//! What will happen and when: simulated time moves from one event to the next.

use crate::time::SimTime;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events in the order of their times; those of one time in the order they were added.
///
/// The heap moves small keys only; the events stay where they are until their time comes. A key is
/// one number, so that comparing two takes no branch: time, then order, then place.
#[derive(Debug)]
pub struct Schedule<E> {
    heap: BinaryHeap<Reverse<u128>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    added: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), added: 0 }
    }
}

/// Bits of a key for the place of an event: sixteen million may wait at once.
const PLACE: u32 = 24;
/// Bits of a key for the order of adding; a run has far fewer events than these can count.
const ORDER: u32 = 64 - PLACE;

fn key(at: SimTime, added: u64, place: u32) -> u128 {
    assert!(added >> ORDER == 0 && place >> PLACE == 0, "the schedule cannot count so far");
    (u128::from(at.as_micros()) << 64) | (u128::from(added) << PLACE) | u128::from(place)
}

impl<E> Schedule<E> {
    /// Adds an event.
    pub fn add(&mut self, at: SimTime, event: E) {
        self.added += 1;
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                (self.events.len() - 1) as u32
            }
        };
        self.heap.push(Reverse(key(at, self.added, place)));
    }

    /// The next event and its time.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        let Reverse(key) = self.heap.pop()?;
        let place = key as u32 & ((1 << PLACE) - 1);
        self.free.push(place);
        Some((SimTime::from_micros((key >> 64) as u64), self.events[place as usize].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_their_times_and_those_of_one_time_as_they_were_added() {
        let mut schedule = Schedule::default();
        let at = SimTime::from_micros;
        let end = SimTime::END;
        for (at, event) in [(at(7), "c"), (at(3), "a"), (end, "e"), (at(7), "d"), (at(3), "b")] {
            schedule.add(at, event);
        }
        assert_eq!(schedule.pop(), Some((at(3), "a")));
        schedule.add(at(3), "b, later");
        let rest: Vec<_> = std::iter::from_fn(|| schedule.pop()).collect();
        let late = [(at(7), "c"), (at(7), "d"), (end, "e")];
        assert_eq!(rest[..2], [(at(3), "b"), (at(3), "b, later")]);
        assert_eq!(rest[2..], late);
    }
}
