//! `--at`: a moment of the past.
#![allow(clippy::disallowed_types)] // what is so long ago only the wall clock tells

use crate::units;
use doug_client::At;
use doug_proto::instant;
use std::time::{SystemTime, UNIX_EPOCH};

/// The option, the same for every command that reads.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct Args {
    /// As it was: at a time (2026-11-30T12:00:00Z, or 10m for ten minutes ago), or at
    /// a revision of its partition
    #[arg(long, value_name = "WHEN", value_parser = parse)]
    at: Option<At>,
}

impl Args {
    /// The moment, if one was given.
    pub fn at(&self) -> Option<At> {
        self.at
    }
}

/// Reads a moment.
///
/// # Errors
/// A sentence: it is none, or in the future.
pub fn parse(text: &str) -> Result<At, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    parse_at(text, now.as_millis() as u64)
}

/// `now`: milliseconds since 1970.
fn parse_at(text: &str, now: u64) -> Result<At, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(At::Revision).map_err(|_| format!("{text} is no revision"));
    }
    let milliseconds = match (instant::read(text), units::parse_duration(text)) {
        (Some(milliseconds), _) => milliseconds,
        (None, Ok(ago)) => now.saturating_sub(ago.as_millis() as u64),
        (None, Err(_)) => {
            return Err(format!(
                "{text:?} is no moment: write a time as 2026-11-30T12:00:00Z, 10m for ten minutes \
                 ago, or a revision as `doug get -v` prints it"
            ));
        }
    };
    if milliseconds > now {
        return Err(format!("{text} is in the future: nobody knows yet what will be there"));
    }
    Ok(At::milliseconds(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_796_043_599_007;

    #[test]
    fn digits_alone_are_a_revision_and_all_else_is_a_time() {
        assert_eq!(parse_at("1234", NOW), Ok(At::Revision(1234)));
        assert_eq!(parse_at("10m", NOW), Ok(At::milliseconds(NOW - 600_000)));
        let noon = At::milliseconds(1_796_040_000_000);
        assert_eq!(parse_at("2026-11-30T12:00:00Z", NOW), Ok(noon));
        assert_eq!(parse_at("2026-11-30T13:00:00+01:00", NOW), Ok(noon));
    }

    #[test]
    fn a_time_means_the_last_stamp_of_its_millisecond() {
        assert_eq!(At::milliseconds(2), At::Stamp(0x2_ffff));
    }

    #[test]
    fn the_future_and_what_is_no_moment_are_refused_with_a_sentence() {
        assert!(parse_at("2099-01-01T00:00:00Z", NOW).unwrap_err().contains("in the future"));
        for text in ["", "soon", "-5m", "12:00", "99999999999999999999999"] {
            assert!(parse_at(text, NOW).is_err(), "{text}");
        }
        assert!(parse_at("yesterday", NOW).unwrap_err().contains("10m"));
    }
}
