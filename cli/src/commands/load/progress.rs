//! The bar on the terminal; nothing where standard error is none.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How far the file is.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of a file of `size` bytes, if that is known.
    pub fn new(size: Option<u64>, verify: bool) -> Self {
        let what = if verify { "verified" } else { "loaded" };
        let (bar, template) = match size {
            Some(size) => (
                ProgressBar::new(size),
                "{bar:30} {percent:>3} %  {msg}  {elapsed} of about {duration}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}  {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        bar.set_style(style);
        bar.set_message(format!("0 records {what}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Everything up to byte `end` was read, and `records` are done.
    pub fn update(&self, records: u64, end: u64) {
        // Formatting every record would cost more than sending it.
        if records.is_multiple_of(256) {
            self.bar.set_position(end);
            self.bar.set_message(format!("{records} records"));
        }
    }

    /// Says something without tearing the bar.
    pub fn say(&self, message: &str) {
        self.bar.suspend(|| doug_streams::errln!("doug: {message}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
