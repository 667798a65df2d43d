//! Whether an operation may be tried again, where and when. Pure: this is where
//! "applied at most once" is decided.

use super::prepare::Kind;
use doug_proto::error::Fault;
use tonic::Code;

/// Whose session and sequence a write carries, so that the partition refuses to
/// apply it a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// None.
    Absent,
    /// This client's.
    Own,
    /// The caller's, to be forwarded as it is.
    Brought,
}

/// What is known of the operation when an attempt ends without an answer that
/// concludes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) kind: Kind,
    pub(crate) identity: Identity,
    /// Whether the server asked is a node, which tries once; a facade may have
    /// tried several times.
    pub(crate) straight: bool,
    /// Whether another attempt may have been applied, or may yet be.
    pub(crate) uncertain: bool,
}

impl Situation {
    /// Whether a second try is harmless even if the first was carried out.
    pub(crate) fn repeatable(self) -> bool {
        self.kind != Kind::Write || self.identity != Identity::Absent
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended<'a> {
    /// It never left this machine: no connection.
    NotSent,
    /// It never left this machine: the connection's bounds are reached.
    Full,
    /// It may have been carried out: the stream broke.
    Lost,
    /// The server answered with an error.
    Fault(&'a Fault),
}

/// Where the next try goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// To the leader that the error names.
    Hint,
    /// To another server.
    Another,
    /// To the same.
    Same,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again at once.
    Now(Where),
    /// Try again after a pause.
    Later(Where),
    /// Take a new session, and try again: the write provably was not applied.
    NewSession,
    /// End with the error as it stands.
    Fail,
    /// End with the error and the promise that the write was not applied.
    FailNotExecuted,
    /// End: the write may have been applied.
    FailUnknown,
}

/// Decides.
pub(crate) fn decide(situation: Situation, ended: Ended<'_>) -> Decision {
    match ended {
        Ended::NotSent => Decision::Now(Where::Another),
        Ended::Full => Decision::Later(Where::Same),
        Ended::Lost if situation.repeatable() => Decision::Now(Where::Another),
        Ended::Lost => Decision::FailUnknown,
        Ended::Fault(fault) => decide_fault(situation, fault),
    }
}

fn decide_fault(situation: Situation, fault: &Fault) -> Decision {
    if fault.is_session_expired() {
        return decide_expired(situation, fault);
    }
    // Without our promise even UNAVAILABLE says nothing of a write: it may
    // come from a proxy, after the server had read the request.
    if !fault.is_not_executed() && !situation.repeatable() {
        return Decision::FailUnknown;
    }
    if let Some(hint) = fault.leader_hint() {
        let known = !hint.leader_address.is_empty();
        return if known { Decision::Now(Where::Hint) } else { Decision::Later(Where::Another) };
    }
    if fault.wrong_partition().is_some() {
        return Decision::Later(Where::Another);
    }
    match fault.code {
        Code::Unavailable | Code::Aborted => Decision::Later(Where::Another),
        Code::ResourceExhausted => Decision::Later(Where::Same),
        _ if fault.is_not_executed() => conclude(situation, true),
        Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => Decision::Later(Where::Another),
        Code::Internal | Code::DataLoss if situation.kind == Kind::ReadAny => {
            Decision::Later(Where::Another)
        }
        _ => conclude(situation, false),
    }
}

/// The partition does not know the session, or the sequence lies below its
/// window: this attempt was not applied, but an earlier one may have been. A
/// facade promises `NotExecuted` if it tried only once; a node always does.
fn decide_expired(situation: Situation, fault: &Fault) -> Decision {
    let provable = !situation.uncertain && (situation.straight || fault.is_not_executed());
    match situation.identity {
        _ if !provable => Decision::FailUnknown,
        Identity::Own => Decision::NewSession,
        Identity::Brought | Identity::Absent => Decision::FailNotExecuted,
    }
}

/// An error that another try would only repeat. A definite refusal of this
/// attempt says nothing of the ones before it.
fn conclude(situation: Situation, promised: bool) -> Decision {
    let write = situation.kind == Kind::Write;
    if write && (situation.uncertain || !promised) { Decision::FailUnknown } else { Decision::Fail }
}
