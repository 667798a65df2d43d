//! Exit codes: what a script can tell apart without reading messages.

use doug_proto::error::Fault;
use tonic::Code;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: what was asked is done.
    Done = 0,
    /// 1: it failed, and nothing below says it better.
    Error = 1,
    /// 2: the command line is wrong.
    Usage = 2,
    /// 3: the key does not exist.
    NotFound = 3,
    /// 4: the condition did not hold; nothing was written.
    ConditionFailed = 4,
    /// 5: nobody could serve it in time; it was not and never will be applied.
    Unavailable = 5,
    /// 6: a write may have been applied, or may yet be.
    OutcomeUnknown = 6,
    /// 7: what was asked is done, but standard output could not be written.
    OutputLost = 7,
}

impl Exit {
    /// What a status of this program means; none for what it never ends with.
    pub fn of_status(status: i32) -> Option<Self> {
        Some(match status {
            0 => Exit::Done,
            1 => Exit::Error,
            2 => Exit::Usage,
            3 => Exit::NotFound,
            4 => Exit::ConditionFailed,
            5 => Exit::Unavailable,
            6 => Exit::OutcomeUnknown,
            7 => Exit::OutputLost,
            _ => return None,
        })
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Error => "error",
            Exit::Usage => "usage",
            Exit::NotFound => "notFound",
            Exit::ConditionFailed => "conditionFailed",
            Exit::Unavailable => "unavailable",
            Exit::OutcomeUnknown => "outcomeUnknown",
            Exit::OutputLost => "outputLost",
        }
    }
}

impl Exit {
    /// What to do after an end like this, whatever the message says of this one. None where
    /// nothing is wrong, or only the message can say it.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Exit::Done | Exit::Error | Exit::NotFound | Exit::ConditionFailed => None,
            Exit::Usage => Some("correct the command line: `doug COMMAND --help` has its options"),
            Exit::Unavailable => Some(
                "it was not carried out: try again, and if that does not help, see `doug doctor`",
            ),
            Exit::OutcomeUnknown => Some(
                "read the key to find out what became of the write before you repeat it, or make \
                 writes conditional",
            ),
            Exit::OutputLost => Some(
                "it was carried out: make room where the output goes, and read again what it was",
            ),
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command line that clap could not know to be wrong.
#[derive(Debug)]
pub struct UsageError(pub String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Shorthand for a usage error.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// The exit code of an error: the first link of its chain that has one.
pub fn of_error(error: &anyhow::Error) -> Exit {
    for link in error.chain() {
        if link.is::<UsageError>() {
            return Exit::Usage;
        }
        if let Some(fault) = link.downcast_ref::<Fault>() {
            return of_fault(fault);
        }
    }
    Exit::Error
}

/// Unknown comes first: a write that may have happened must never look like
/// one that did not.
fn of_fault(fault: &Fault) -> Exit {
    if fault.is_outcome_unknown() {
        return Exit::OutcomeUnknown;
    }
    match fault.code {
        // Unimplemented: what answers there is no server of ours.
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Unimplemented => Exit::Unavailable,
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn code(fault: Fault) -> Exit {
        of_error(&anyhow::Error::from(fault).context("while writing \"k\""))
    }

    #[test]
    fn a_write_that_may_have_been_applied_is_unknown_whatever_its_code() {
        assert_eq!(code(Fault::deadline_unknown("late")), Exit::OutcomeUnknown);
        assert_eq!(code(Fault::unknown("lost")), Exit::OutcomeUnknown);
    }

    #[test]
    fn nobody_able_to_serve_is_unavailable() {
        assert_eq!(code(Fault::unavailable("no leader")), Exit::Unavailable);
        assert_eq!(code(Fault::exhausted("full")), Exit::Unavailable);
        assert_eq!(code(Fault::new(Code::DeadlineExceeded, "late read")), Exit::Unavailable);
    }

    #[test]
    fn a_request_beyond_a_limit_is_an_error() {
        assert_eq!(code(Fault::limit("key bytes", 4096, 5000)), Exit::Error);
    }

    #[test]
    fn a_status_means_what_it_was_made_from() {
        for status in 0..8 {
            assert_eq!(Exit::of_status(status).map(|exit| exit as i32), Some(status));
        }
        assert_eq!(Exit::of_status(8), None);
    }

    #[test]
    fn wrong_usage_and_plain_errors_differ() {
        assert_eq!(of_error(&usage("no such encoding")), Exit::Usage);
        let io = std::fs::read("/does/not/exist").context("reading").unwrap_err();
        assert_eq!(of_error(&io), Exit::Error);
    }
}
