//! How far a measurement is, on the terminal; nothing where standard error is none.

use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is drawn: seldom, for it is no part of what is measured.
const TICK: Duration = Duration::from_millis(250);

/// A bar for one part of a measurement.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    ended: Arc<AtomicU64>,
    drawing: Option<JoinHandle<()>>,
}

impl Progress {
    /// Of the keys that are written before the measurement.
    pub fn of_keys(keys: u64) -> Self {
        let bar = ProgressBar::new(keys);
        bar.set_style(style("{bar:30} {percent:>3} %  {pos} of {len} keys written  {elapsed}"));
        Self { bar, ended: Arc::default(), drawing: None }
    }

    /// Of a measurement that takes as long as is known.
    pub fn of_time(warm_up: Duration, duration: Duration) -> Self {
        let whole = warm_up + duration;
        let bar = ProgressBar::new(milliseconds(whole));
        bar.set_style(style("{bar:30} {percent:>3} %  {msg}"));
        let ended = Arc::<AtomicU64>::default();
        // Where nobody looks, nothing runs beside the measurement.
        let drawing =
            (!bar.is_hidden()).then(|| tokio::spawn(draw(bar.clone(), ended.clone(), warm_up)));
        Self { bar, ended, drawing }
    }

    /// A key was written.
    pub fn wrote_key(&self) {
        self.bar.inc(1);
    }

    /// An operation ended.
    pub fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(drawing) = &self.drawing {
            drawing.abort();
        }
        self.bar.finish_and_clear();
    }
}

async fn draw(bar: ProgressBar, ended: Arc<AtomicU64>, warm_up: Duration) {
    let (start, mut ticks, mut before) = (Instant::now(), interval(TICK), 0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = start;
    loop {
        ticks.tick().await;
        let (now, count) = (Instant::now(), ended.load(Ordering::Relaxed));
        bar.set_position(milliseconds(now - start));
        bar.set_message(said(now - start, warm_up, count - before, now - drawn));
        (drawn, before) = (now, count);
    }
}

/// What stands beside the bar after a time: what goes on, and how fast.
fn said(elapsed: Duration, warm_up: Duration, ended: u64, within: Duration) -> String {
    let what = if elapsed < warm_up { "warming up" } else { "measuring" };
    if within.is_zero() {
        return what.into();
    }
    format!("{what}: {:.0} operations a second", ended as f64 / within.as_secs_f64())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_and_how_fast() {
        let (second, tick) = (Duration::from_secs(1), Duration::from_millis(250));
        assert_eq!(said(Duration::ZERO, second, 0, Duration::ZERO), "warming up");
        assert_eq!(said(tick, second, 25, tick), "warming up: 100 operations a second");
        assert_eq!(said(second, second, 300, tick), "measuring: 1200 operations a second");
    }

    #[tokio::test]
    async fn where_nobody_looks_nothing_runs_beside_the_measurement() {
        // The standard error of a test is no terminal, unless a person looks at it.
        let progress = Progress::of_time(Duration::ZERO, Duration::from_secs(1));
        assert_eq!(progress.drawing.is_some(), doug_streams::err::is_terminal());
        progress.ended();
        let keys = Progress::of_keys(3);
        keys.wrote_key();
        assert_eq!(keys.bar.position(), 1);
    }
}
