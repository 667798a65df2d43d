//! Whether anybody can answer at all. Where every endpoint refuses connections, or is none,
//! an operation need not wait for its deadline to be told so.

use super::OpenError;
use doug_proto::error::Fault;
use std::time::Duration;
use tonic::Code;

/// What every endpoint has found, once `waited` is as long as it helps to wait: not at all
/// where each of them is a mistake, and `wait` where one may be about to start.
pub(crate) fn verdict(found: &[OpenError], waited: Duration, wait: Duration) -> Option<Fault> {
    if found.is_empty() || !found.iter().all(OpenError::bars) {
        return None;
    }
    let why = sentences(found);
    if found.iter().all(|error| matches!(error, OpenError::Mistaken(_))) {
        return Some(Fault::new(Code::Unimplemented, why).not_executed());
    }
    (waited >= wait).then(|| {
        Fault::unavailable(format!(
            "{why}; tried for {wait:?}: start a database there (`doug demo`) or give another \
             endpoint (`--timeout 30s` waits for one that is about to start)"
        ))
    })
}

/// What was found, in one sentence after the other.
pub(crate) fn sentences<'e>(errors: impl IntoIterator<Item = &'e OpenError>) -> String {
    errors.into_iter().map(OpenError::why).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn refused() -> OpenError {
        OpenError::Refused("a:1 cannot be reached: Connection refused".into())
    }

    fn mistaken() -> OpenError {
        OpenError::Mistaken("b:1 speaks HTTP/1.1".into())
    }

    #[test]
    fn a_mistake_is_told_at_once() {
        let fault = verdict(&[mistaken()], Duration::ZERO, WAIT).unwrap();
        assert!(fault.is_not_executed() && fault.message == "b:1 speaks HTTP/1.1", "{fault:?}");
    }

    #[test]
    fn one_that_refuses_may_be_about_to_start() {
        let both = [refused(), mistaken()];
        assert_eq!(verdict(&both, WAIT / 2, WAIT), None);
        let fault = verdict(&both, WAIT, WAIT).unwrap();
        assert!(fault.is_not_executed(), "{fault:?}");
        for said in ["a:1", "b:1", "tried for 1s", "--timeout"] {
            assert!(fault.message.contains(said), "{said}: {fault}");
        }
    }

    #[test]
    fn one_that_may_answer_is_waited_for() {
        let busy = OpenError::Unread("too many connections".into());
        assert_eq!(verdict(&[mistaken(), busy], WAIT, WAIT), None);
        assert_eq!(verdict(&[], WAIT, WAIT), None);
    }
}
