//! Which of several installed operators looks after a DougCluster.
//!
//! Those of one installation agree by a Lease. Two releases hold two Leases, and none of those says
//! whose the DougClusters are. So each DougCluster names the one that looks after it, in its status,
//! and another that is to look after it, too, asks there. Whoever is named answers, calls a person,
//! and goes on; the other stands back. Who does not answer in time is gone, and the other takes
//! over.
//!
//! This keeps two from contradicting each other; that two may overlap for a moment does no harm,
//! since whatever is decided is carried out under preconditions.

use crate::status::Finding;
use doug_crds::{Caretaker, Rival};
use std::time::Duration;
use tokio::time::Instant;

/// How long one that is named has to answer. A restart on another machine takes less.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often one that stands back asks again.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// One that has not asked for so long is there no more.
const GONE: Duration = Duration::from_secs(60);

/// What stands in the status, and since when it has stood there, by this process's clock: clocks of
/// different machines are never compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen(Option<(Caretaker, Instant)>);

impl Seen {
    /// How long the same has been seen.
    fn look(&mut self, found: &Caretaker, now: Instant) -> Duration {
        match &self.0 {
            Some((seen, since)) if seen == found => now.duration_since(*since),
            _ => {
                self.0 = Some((found.clone(), now));
                Duration::ZERO
            }
        }
    }
}

/// What an operator does about a DougCluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It looks after it.
    Ours,
    /// It writes this first, and looks again.
    Write(Caretaker),
    /// Another one looks after it: look again after this long.
    Theirs(Duration),
}

/// Decides. `us` is this installation, and `time` what the clock shows, of which nothing but its
/// difference from another counts.
pub fn standing(
    us: &str,
    found: Option<&Caretaker>,
    seen: &mut Seen,
    now: Instant,
    time: &str,
) -> Standing {
    let ours = || Caretaker { name: us.to_owned(), rival: None };
    let Some(found) = found else { return Standing::Write(ours()) };
    let stood = seen.look(found, now);
    if found.name == us {
        return match &found.rival {
            None => Standing::Ours,
            Some(_) if stood >= GONE => Standing::Write(ours()),
            Some(rival) if !rival.answered => {
                let rival = Some(Rival { answered: true, ..rival.clone() });
                Standing::Write(Caretaker { rival, ..found.clone() })
            }
            Some(_) => Standing::Ours,
        };
    }
    let ask = || {
        let rival = Rival { name: us.to_owned(), asked: time.to_owned(), answered: false };
        Standing::Write(Caretaker { rival: Some(rival), ..found.clone() })
    };
    match &found.rival {
        Some(rival) if rival.name == us && !rival.answered => {
            if stood >= PATIENCE {
                Standing::Write(ours())
            } else {
                // An answer is seen at once, or else soon enough to ask again before we were gone.
                Standing::Theirs(ASK_AGAIN.min(PATIENCE - stood))
            }
        }
        Some(rival) if rival.name == us && stood < ASK_AGAIN => Standing::Theirs(ASK_AGAIN - stood),
        // A third one that asks is waited for in turn.
        Some(rival) if rival.name != us && stood < ASK_AGAIN => Standing::Theirs(ASK_AGAIN - stood),
        Some(_) | None => ask(),
    }
}

/// What is said of another that is to look after it, too.
pub fn contested(caretaker: Option<&Caretaker>) -> Option<Finding> {
    let Caretaker { name, rival } = caretaker?;
    let rival = &rival.as_ref()?.name;
    Some(Finding::yes("TwoOperators", told(name, rival)))
}

/// The same for the events of the one that stands back.
pub fn told(caretaker: &str, rival: &str) -> String {
    format!(
        "two operators are to look after this DougCluster: {caretaker} does, and {rival} stands \
         back. Uninstall one of the two, or give each watchNamespaces of its own"
    )
}

#[cfg(test)]
mod tests;
