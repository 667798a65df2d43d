//! Whether to take, to renew or to wait. No I/O.

use std::time::Duration;
use tokio::time::Instant;

/// What a Lease says: client-go calls it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElectionRecord {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Changes whenever it is renewed.
    pub version: String,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody holds it, or its holder has been silent for the whole term.
    Take,
    /// It is ours.
    Renew,
    /// Someone else's.
    Wait,
}

/// How long the record has stood still, by this process's clock.
pub struct Term {
    length: Duration,
    seen: Option<(LeaderElectionRecord, Instant)>,
}

impl Term {
    /// Nothing seen yet.
    pub fn new(length: Duration) -> Self {
        Self { length, seen: None }
    }

    /// Decides about what was found at `now`.
    pub fn decide(
        &mut self,
        now: Instant,
        found: Option<&LeaderElectionRecord>,
        identity: &str,
    ) -> Decision {
        let Some(found) = found else { return Decision::Take };
        if found.holder == identity {
            return Decision::Renew;
        }
        if found.holder.is_empty() {
            return Decision::Take;
        }
        match &self.seen {
            Some((seen, since)) if seen == found => {
                let lapsed = now.duration_since(*since) >= self.length;
                if lapsed { Decision::Take } else { Decision::Wait }
            }
            _ => {
                self.seen = Some((found.clone(), now));
                Decision::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(15);

    fn held(holder: &str, version: u32) -> LeaderElectionRecord {
        LeaderElectionRecord { holder: holder.into(), version: version.to_string() }
    }

    #[test]
    fn what_nobody_holds_is_taken_at_once() {
        let mut term = Term::new(LENGTH);
        assert_eq!(term.decide(Instant::now(), None, "me"), Decision::Take);
        assert_eq!(term.decide(Instant::now(), Some(&held("", 1)), "me"), Decision::Take);
    }

    #[test]
    fn the_holder_renews() {
        let mut term = Term::new(LENGTH);
        assert_eq!(term.decide(Instant::now(), Some(&held("me", 1)), "me"), Decision::Renew);
    }

    #[test]
    fn a_holder_that_renews_keeps_it() {
        let (mut term, start) = (Term::new(LENGTH), Instant::now());
        for second in 0..60 {
            let now = start + Duration::from_secs(u64::from(second));
            assert_eq!(term.decide(now, Some(&held("other", second)), "me"), Decision::Wait);
        }
    }

    #[test]
    fn a_holder_that_is_silent_for_the_whole_term_loses_it() {
        let (mut term, start) = (Term::new(LENGTH), Instant::now());
        let silent = held("other", 1);
        assert_eq!(term.decide(start, Some(&silent), "me"), Decision::Wait);
        let almost = start + LENGTH - Duration::from_millis(1);
        assert_eq!(term.decide(almost, Some(&silent), "me"), Decision::Wait);
        assert_eq!(term.decide(start + LENGTH, Some(&silent), "me"), Decision::Take);
    }
}
