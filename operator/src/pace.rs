//! How soon a database is looked at again. Pure.
//!
//! What changes with objects is seen by watching them, at once. Nodes have to be asked, so one that
//! may answer is asked every few seconds. Where nobody runs, looking again is for what comes by no
//! watch at all: time that passes, and events. That is seldom, and the more seldom the longer
//! nothing has changed; or a thousand databases that get no pods would keep the API server busy for
//! ever.

use std::time::Duration;

/// While something is under way.
pub const SOON: Duration = Duration::from_secs(2);
/// When all is well; nodes fall silent without an event.
const CALM: Duration = Duration::from_secs(10);
/// Where nobody runs and nothing changes.
const LONGEST: Duration = Duration::from_secs(300);

/// What a round has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Nothing is under way, and nothing is amiss that passes by itself.
    pub calm: bool,
    /// Somebody else changed an object, which is to be put back.
    pub disturbed: bool,
    /// Somebody has to be asked: the process of some node or facade runs.
    pub runs: bool,
    /// How many rounds in a row have found the same.
    pub unchanged: u32,
}

/// How soon to look again. Where nobody runs it doubles with each round that finds nothing new, so
/// that what comes with time alone is seen at most twice as late as it might be.
pub fn pause(found: Found) -> Duration {
    let usual = if found.calm { CALM } else { SOON };
    if found.disturbed {
        SOON
    } else if found.runs {
        usual
    } else {
        SOON.saturating_mul(1 << found.unchanged.min(16)).clamp(usual, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(found: impl Fn(u32) -> Found) -> Vec<u64> {
        (0..10).map(|unchanged| pause(found(unchanged)).as_secs()).collect()
    }

    #[test]
    fn who_may_answer_is_asked_as_often_as_ever() {
        let runs = Found { runs: true, ..Found::default() };
        assert_eq!(seconds(|unchanged| Found { unchanged, ..runs }), [2; 10]);
        assert_eq!(seconds(|unchanged| Found { unchanged, calm: true, ..runs }), [10; 10]);
    }

    #[test]
    fn a_database_that_gets_no_pods_is_looked_at_ever_more_seldom() {
        let rests = |unchanged| Found { unchanged, ..Found::default() };
        assert_eq!(seconds(rests), [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        let sleeps = |unchanged| Found { calm: true, ..rests(unchanged) };
        assert_eq!(seconds(sleeps), [10, 10, 10, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn what_others_changed_is_put_back_whoever_runs() {
        let disturbed = Found { disturbed: true, unchanged: 9, calm: true, runs: false };
        assert_eq!(pause(disturbed), SOON);
    }
}
