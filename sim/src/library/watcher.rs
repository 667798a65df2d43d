//! A client's watches: each begins somewhere, is taken up again from its token now and then, and
//! begins anew where history does not reach back to where it was.

use crate::checks::{Violation, WatchId};
use crate::context::Context;
use crate::random::Random;
use crate::time::{millis, seconds};
use bytes::Bytes;
use doug_client::{At, Changes, Client, Fault, Range, Runtime, Since, WatchOptions};
use doug_proto::token::SessionToken;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// Pause before a watch that could not begin is tried again.
const PAUSE: Duration = millis(300);
/// How far back a watch may begin.
const BACK: Duration = seconds(2);

/// What a watch reports.
#[derive(Debug)]
enum Report {
    /// It begins, in the past or where the token says.
    Begins(Since, Bytes),
    /// It is told this.
    Told(Changes),
    /// It could not begin there.
    Refused(Since, Fault),
    /// It has ended.
    Ended(Fault),
}

/// One watch, as the checkers know it.
pub struct Watcher {
    id: WatchId,
    /// What it watches.
    pub range: Range,
    reports: Arc<Mutex<VecDeque<Report>>>,
}

/// How a watch goes about.
struct Habits {
    /// It is taken up again from its token after so many answers.
    resumes_after: u64,
    /// It begins in the past.
    begins_back: bool,
}

impl Watcher {
    /// Begins a watch.
    pub fn begin(
        id: WatchId,
        client: Client,
        runtime: Arc<dyn Runtime>,
        random: &mut Random,
        cx: &Context,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let keys = cx.plan.workload.keys;
        let range = match random.below(3) {
            0 => Range::key(crate::workload::key(random.below(keys))),
            1 => Range::between(crate::workload::key(random.below(keys)), ""),
            _ => Range::all(),
        };
        let habits = Habits {
            resumes_after: *random.pick(&[3, 30, 1_000]),
            begins_back: random.chance(500),
        };
        let reports = Arc::<Mutex<VecDeque<Report>>>::default();
        let watch = watch(client, runtime, range.clone(), habits, reports.clone());
        (Self { id, range, reports }, watch)
    }

    /// Takes in what it was told.
    ///
    /// # Errors
    /// It is not what has changed.
    pub fn take_reports(&self, cx: &mut Context) -> Result<(), Violation> {
        for report in std::mem::take(&mut *self.reports.lock()) {
            cx.trace.detail(cx.now, || format!("watch {:?} reports {report:?}", self.id));
            match report {
                // Where it was it is still: what lies between must be told.
                Report::Begins(Since::Token(_), _) => cx.coverage.hit("watch goes on from a token"),
                Report::Begins(since, token) => {
                    cx.coverage.hit("watch begins");
                    let token = SessionToken::from_bytes(&token).unwrap_or_default();
                    let places = token.places.iter().map(|p| (p.partition, p.revision));
                    let at = if let Since::At(at) = since { Some(at) } else { None };
                    cx.checks.watch_begins(self.id, &places.collect::<Vec<_>>(), at);
                }
                Report::Told(changes) => {
                    let events = changes.events.len() as u64;
                    cx.coverage.add("changes told to watches", events);
                    cx.checks.watch_told(self.id, &self.range, &changes)?;
                }
                Report::Refused(Since::At(at), fault) => match fault.floor() {
                    Some(floor) => {
                        cx.coverage.hit("watch refused: compacted");
                        cx.checks.watch_refused(self.id, at, floor)?;
                    }
                    None => self.ended(&fault, cx)?,
                },
                Report::Refused(_, fault) | Report::Ended(fault) => self.ended(&fault, cx)?,
            }
        }
        Ok(())
    }

    fn ended(&self, fault: &Fault, cx: &mut Context) -> Result<(), Violation> {
        if let Some(floor) = fault.floor() {
            cx.coverage.hit("watch ended: compacted");
            return cx.checks.watch_compacted(self.id, floor);
        }
        let passes = matches!(
            fault.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted
        );
        if passes || fault.clock_ahead_by().is_some() {
            cx.coverage.hit("watch could not begin");
            return Ok(());
        }
        let what = format!("watch {:?} ends: {fault:?}", self.id);
        Err(Violation::new("watches end for a reason", what))
    }
}

async fn watch(
    client: Client,
    runtime: Arc<dyn Runtime>,
    range: Range,
    habits: Habits,
    reports: Arc<Mutex<VecDeque<Report>>>,
) {
    let mut since = if habits.begins_back { back(&client) } else { Since::Now };
    loop {
        let options = WatchOptions { since: since.clone(), values: true };
        let mut watch = match client.watch(range.clone(), options).await {
            Ok(watch) => watch,
            Err(fault) => {
                let begins = std::mem::take(&mut since);
                if fault.floor().is_none() {
                    since = begins.clone();
                }
                reports.lock().push_back(Report::Refused(begins, fault));
                runtime.sleep_until(runtime.now() + PAUSE).await;
                continue;
            }
        };
        reports.lock().push_back(Report::Begins(since, watch.token()));
        for _ in 0..habits.resumes_after {
            match watch.next().await {
                Ok(changes) => reports.lock().push_back(Report::Told(changes)),
                Err(fault) => {
                    reports.lock().push_back(Report::Ended(fault));
                    break;
                }
            }
        }
        since = Since::Token(watch.token());
    }
}

/// A while before what its client has seen.
fn back(client: &Client) -> Since {
    let seen = SessionToken::from_bytes(&client.session_token()).unwrap_or_default();
    if seen.stamp == 0 {
        return Since::Now;
    }
    let back = (BACK.as_millis() as u64) << 16;
    Since::At(At::Stamp(seen.stamp.saturating_sub(back)))
}
