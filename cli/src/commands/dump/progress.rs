//! How much of a dump is written, on the terminal; nothing where standard error is none, or where
//! the entries themselves go there.

use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::time::Duration;

/// How much was written so far.
pub struct Progress {
    bar: ProgressBar,
    entries: Cell<u64>,
    bytes: Cell<u64>,
}

impl Progress {
    /// Of nothing yet.
    pub fn new(onto_terminal: bool) -> Self {
        let bar = if onto_terminal { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let template = "{spinner} {msg}  {bytes}, {bytes_per_sec}  {elapsed}";
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        bar.set_style(style);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, entries: Cell::new(0), bytes: Cell::new(0) }
    }

    /// One more line was written, of so many bytes without its end.
    pub fn wrote(&self, line: usize) {
        self.bytes.set(self.bytes.get() + line as u64 + 1);
        self.entries.set(self.entries.get() + 1);
        // Formatting for every entry would cost more than writing it.
        if self.entries.get().is_multiple_of(256) {
            self.bar.set_position(self.bytes.get());
            self.bar.set_message(format!("{} entries", self.entries.get()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_with_their_ends_and_shown_now_and_then() {
        let progress = Progress::new(true);
        for _ in 0..600 {
            progress.wrote(9);
        }
        assert_eq!((progress.entries.get(), progress.bytes.get()), (600, 6_000));
        assert_eq!(
            (progress.bar.position(), progress.bar.message()),
            (5_120, "512 entries".into())
        );
    }
}
