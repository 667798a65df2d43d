//! When pods that run may be taken down, to be made anew in another form. Pure: the same time gives
//! the same answer, whatever was done before.
//!
//! Only the beginning of disruptive work is held back: what has begun goes on, for a node that is
//! down helps nobody. What mends something never waits.

use crate::duration::parse_duration;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use doug_crds::MaintenanceWindow;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use std::time::Duration;

/// Shortest window: a node is down for a good part of a minute, and one follows another.
const SHORTEST: Duration = Duration::from_secs(600);
/// Longest window. One that lasts longer than from its beginning to the next is open all the time.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);

/// All windows of a database; none: it is always open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Windows(Vec<Window>);

#[derive(Clone, Debug, PartialEq)]
struct Window {
    starts: Cron,
    zone: TimeZone,
    /// In real time: a clock that is set forward or back meanwhile changes nothing about it.
    duration: SignedDuration,
}

/// Whether disruptive work may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// It may.
    Open,
    /// It waits. Until when, in the window's own time; none: for ever, as the pattern has no
    /// further start.
    Closed(Option<String>),
}

impl Windows {
    /// Reads what is declared.
    ///
    /// # Errors
    /// What is wrong, as a sentence with the remedy.
    pub fn parse(declared: &[MaintenanceWindow]) -> Result<Self, String> {
        declared.iter().map(Window::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether disruptive work may begin now.
    pub fn at(&self, now: Timestamp) -> Maintenance {
        if self.0.is_empty() || self.0.iter().any(|window| window.is_open(now)) {
            return Maintenance::Open;
        }
        let next = self.0.iter().filter_map(|window| window.next(now)).min();
        Maintenance::Closed(next.map(|next| in_words(&next)))
    }
}

impl Window {
    fn parse(declared: &MaintenanceWindow) -> Result<Self, String> {
        let MaintenanceWindow { start, duration, time_zone } = declared;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
        let starts = parser.build().parse(start).map_err(|error| {
            let error = error.to_string();
            let error = error.trim_end_matches('.');
            format!(
                "maintenanceWindows has the start {start:?}, which is no cron expression \
                 ({error}): write minute, hour, day of the month, month and day of the week, for \
                 instance \"0 2 * * SAT\""
            )
        })?;
        let zone = TimeZone::get(time_zone).map_err(|_| {
            format!(
                "maintenanceWindows has the timeZone {time_zone:?}, which is none: give a name of \
                 the IANA database, such as Europe/Berlin or UTC"
            )
        })?;
        let length = parse_duration(duration).ok_or_else(|| {
            format!("maintenanceWindows has the duration {duration:?}: write for instance 3h")
        })?;
        let fits = (SHORTEST..=LONGEST).contains(&length);
        let length = SignedDuration::try_from(length).ok().filter(|_| fits).ok_or_else(|| {
            format!(
                "a window in maintenanceWindows lasts {duration}: give 10m to 168h, since a few \
                 nodes are to be replaced one after the other in it"
            )
        })?;
        Ok(Self { starts, zone, duration: length })
    }

    fn is_open(&self, now: Timestamp) -> bool {
        let here = now.to_zoned(self.zone.clone());
        let start = self.starts.find_previous_occurrence(&here, true);
        start.is_ok_and(|start| now.duration_since(start.timestamp()) < self.duration)
    }

    fn next(&self, now: Timestamp) -> Option<Zoned> {
        let here = now.to_zoned(self.zone.clone());
        self.starts.find_next_occurrence(&here, false).ok()
    }
}

/// As the status writes it: to the minute, with the zone.
fn in_words(time: &Zoned) -> String {
    let zone = time.time_zone().iana_name().unwrap_or("UTC");
    format!("{} ({zone})", time.strftime("%Y-%m-%d %H:%M"))
}

#[cfg(test)]
mod tests;
