//! What happened: a hash of everything, and a story of what matters.

use crate::time::SimTime;
use std::collections::VecDeque;

/// Lines of the story that are kept.
const STORY: usize = 60;

/// How much of a run is printed as it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing.
    #[default]
    Off,
    /// The story.
    Story,
    /// The story, and every message and answer.
    Everything,
    /// Of everything, the lines that contain this.
    Only(String),
}

/// The record of one run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    events: u64,
    tracing: Tracing,
    story: VecDeque<String>,
}

impl Trace {
    /// An empty record, printed as it is made as far as is asked.
    pub fn new(tracing: Tracing) -> Self {
        Self { tracing, ..Self::default() }
    }

    fn print(&self, line: &str) {
        match &self.tracing {
            Tracing::Only(part) if !line.contains(part.as_str()) => {}
            _ => doug_streams::outln!("{line}"),
        }
    }

    /// Two runs of one seed have the same.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last lines of the story.
    pub fn story(&self) -> impl Iterator<Item = &str> {
        self.story.iter().map(String::as_str)
    }

    /// Counts one event into the hash.
    pub fn count(&mut self, words: [u64; 4]) {
        self.events += 1;
        words.into_iter().for_each(|word| self.fold(word));
    }

    fn fold(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
    }

    /// Tells something a reader of the story wants to know.
    pub fn tell(&mut self, now: SimTime, line: &str) {
        line.bytes().for_each(|byte| self.fold(u64::from(byte)));
        let line = format!("{} {line}", clock(now));
        if self.tracing != Tracing::Off {
            self.print(&line);
        }
        if self.story.len() == STORY {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    /// Tells something only a reader of the whole trace wants to know.
    pub fn detail(&self, now: SimTime, line: impl FnOnce() -> String) {
        if matches!(self.tracing, Tracing::Everything | Tracing::Only(_)) {
            self.print(&format!("{}   {}", clock(now), line()));
        }
    }
}

/// Times stand below each other.
fn clock(now: SimTime) -> String {
    format!("{:>11}", now.to_string())
}
