//! The sequences of one session. Pure.

use doug_proto::limits::SESSION_WINDOW;

const WORDS: usize = SESSION_WINDOW as usize / 64;

/// Hands out sequences so that none is ever further than the window above the
/// lowest unanswered one: the partition remembers no outcomes beyond that.
///
/// A write whose outcome was given up counts as answered. That is safe because
/// the partition refuses what lies below the lowest unanswered sequence it has
/// seen: a late duplicate of the write is then not applied, and until then it
/// is applied at most once, as ever.
pub(crate) struct Window {
    next: u64,
    lowest: u64,
    /// Which sequences from `lowest` on are answered: a ring of bits.
    answered: [u64; WORDS],
}

impl Default for Window {
    fn default() -> Self {
        Self { next: 1, lowest: 1, answered: [0; WORDS] }
    }
}

impl Window {
    /// The next sequence; none while the window is full.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if self.next - self.lowest >= SESSION_WINDOW {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    /// The least sequence that is not answered; the next one if all are.
    pub(crate) fn lowest_unanswered(&self) -> u64 {
        self.lowest
    }

    /// Marks a sequence answered. Whether the window moved.
    pub(crate) fn answer(&mut self, sequence: u64) -> bool {
        assert!(
            (self.lowest..self.next).contains(&sequence),
            "sequence {sequence} is answered, and {}..{} are awaited",
            self.lowest,
            self.next
        );
        let (word, bit) = place(sequence);
        self.answered[word] |= bit;
        let before = self.lowest;
        while self.lowest < self.next {
            let (word, bit) = place(self.lowest);
            if self.answered[word] & bit == 0 {
                break;
            }
            self.answered[word] &= !bit;
            self.lowest += 1;
        }
        self.lowest != before
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let position = sequence % SESSION_WINDOW;
    ((position / 64) as usize, 1 << (position % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_more_than_the_window_is_unanswered() {
        let mut window = Window::default();
        for expected in 1..=SESSION_WINDOW {
            assert_eq!(window.take(), Some(expected));
        }
        assert_eq!(window.take(), None);
        assert!(!window.answer(2), "1 is still unanswered");
        assert_eq!(window.take(), None);
        assert!(window.answer(1));
        assert_eq!(window.lowest_unanswered(), 3);
        assert_eq!(window.take(), Some(SESSION_WINDOW + 1));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set_of_unanswered_sequences(
            steps in prop::collection::vec(any::<u16>(), 1..5_000)
        ) {
            let (mut window, mut model, mut next) = (Window::default(), BTreeSet::new(), 1);
            for step in steps {
                let pick = usize::from(step) / 2;
                let answer = step % 2 == 0 && !model.is_empty();
                if answer {
                    let chosen = *model.iter().nth(pick % model.len()).unwrap();
                    model.remove(&chosen);
                    window.answer(chosen);
                } else if let Some(sequence) = window.take() {
                    prop_assert_eq!(sequence, next);
                    model.insert(sequence);
                    next += 1;
                }
                let lowest = model.first().copied().unwrap_or(next);
                prop_assert_eq!(window.lowest_unanswered(), lowest);
            }
        }
    }
}
