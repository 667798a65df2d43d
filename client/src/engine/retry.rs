//! Whether an operation may be tried again, where and when. Pure: this is where
//! "applied at most once" is decided.

use super::prepare::Kind;
use crate::simulation::{Bug, has_bug};
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
        Ended::Lost if situation.repeatable() || has_bug(Bug::LostWriteRepeated) => {
            Decision::Now(Where::Another)
        }
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
    if fault.wrong_partition().is_some() && !has_bug(Bug::MisroutingTold) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::{self, error_detail::Detail};
    use proptest::prelude::*;

    fn write(identity: Identity, uncertain: bool) -> Situation {
        Situation { kind: Kind::Write, identity, straight: true, uncertain }
    }

    fn expired() -> Fault {
        Fault::new(Code::FailedPrecondition, "expired")
            .with(Detail::SessionExpired(v1::SessionExpired::default()))
    }

    fn situations() -> impl Strategy<Value = Situation> {
        let kinds = prop::sample::select(vec![
            Kind::Write,
            Kind::ReadAny,
            Kind::ReadLeader,
            Kind::Register,
        ]);
        let identities =
            prop::sample::select(vec![Identity::Absent, Identity::Own, Identity::Brought]);
        (kinds, identities, any::<bool>(), any::<bool>()).prop_map(
            |(kind, identity, straight, uncertain)| Situation {
                kind,
                identity,
                straight,
                uncertain,
            },
        )
    }

    fn faults() -> impl Strategy<Value = Fault> {
        let details = prop::collection::vec(
            prop::sample::select(vec![
                Detail::NotExecuted(v1::NotExecuted {}),
                Detail::OutcomeUnknown(v1::OutcomeUnknown {}),
                Detail::SessionExpired(v1::SessionExpired::default()),
                Detail::WrongPartition(v1::WrongPartition::default()),
                Detail::NotLeader(v1::NotLeader::default()),
            ]),
            0..3,
        );
        (1..=16_i32, details).prop_map(|(code, details)| Fault {
            code: Code::from_i32(code),
            message: "a fault".to_owned(),
            details,
        })
    }

    proptest! {
        #[test]
        fn a_write_without_identity_goes_on_only_after_a_promise(
            situation in situations(), fault in faults()
        ) {
            let bare = situation.kind == Kind::Write && situation.identity == Identity::Absent;
            if bare && !fault.is_not_executed() && !fault.is_session_expired() {
                prop_assert_eq!(decide(situation, Ended::Fault(&fault)), Decision::FailUnknown);
            }
        }

        #[test]
        fn a_write_with_an_uncertain_attempt_never_ends_as_a_definite_failure(
            situation in situations(), fault in faults()
        ) {
            let decision = decide(situation, Ended::Fault(&fault));
            if situation.kind == Kind::Write && situation.uncertain {
                prop_assert!(!matches!(decision, Decision::Fail | Decision::FailNotExecuted));
                prop_assert_ne!(decision, Decision::NewSession);
            }
        }

        #[test]
        fn a_definite_failure_of_a_write_was_promised(
            situation in situations(), fault in faults()
        ) {
            let decision = decide(situation, Ended::Fault(&fault));
            if situation.kind == Kind::Write && decision == Decision::Fail {
                prop_assert!(fault.is_not_executed());
            }
        }
    }

    #[test]
    fn what_never_left_is_tried_elsewhere_whatever_it_is() {
        for identity in [Identity::Absent, Identity::Own, Identity::Brought] {
            let decision = decide(write(identity, false), Ended::NotSent);
            assert_eq!(decision, Decision::Now(Where::Another));
        }
    }

    #[test]
    fn a_lost_write_is_tried_again_only_with_a_session() {
        let lost = |identity| decide(write(identity, false), Ended::Lost);
        assert_eq!(lost(Identity::Absent), Decision::FailUnknown);
        assert_eq!(lost(Identity::Own), Decision::Now(Where::Another));
        assert_eq!(lost(Identity::Brought), Decision::Now(Where::Another));
    }

    #[test]
    fn a_leader_that_is_named_is_asked_at_once() {
        let named = Fault::not_leader(1, "9f3c21d07be4".into(), "host:7400".into());
        let nobody = Fault::not_leader(1, String::new(), String::new());
        let situation = write(Identity::Absent, false);
        assert_eq!(decide(situation, Ended::Fault(&named)), Decision::Now(Where::Hint));
        assert_eq!(decide(situation, Ended::Fault(&nobody)), Decision::Later(Where::Another));
    }

    #[test]
    fn an_expired_session_is_replaced_only_if_no_attempt_can_have_been_applied() {
        let own = |uncertain| write(Identity::Own, uncertain);
        assert_eq!(decide(own(false), Ended::Fault(&expired())), Decision::NewSession);
        assert_eq!(decide(own(true), Ended::Fault(&expired())), Decision::FailUnknown);
        let through_a_facade = Situation { straight: false, ..own(false) };
        let decision = |fault: Fault| decide(through_a_facade, Ended::Fault(&fault));
        assert_eq!(decision(expired()), Decision::FailUnknown);
        assert_eq!(decision(expired().not_executed()), Decision::NewSession);
    }

    #[test]
    fn an_invalid_request_is_not_repeated() {
        let invalid = Fault::invalid("the key is empty");
        let decision = decide(write(Identity::Own, false), Ended::Fault(&invalid));
        assert_eq!(decision, Decision::Fail);
    }
}
