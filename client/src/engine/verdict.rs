//! What a caller is told of an operation that was not carried out: a definite failure, or that
//! nobody knows.

use super::prepare::Kind;
use crate::connection::Connection;
use doug_proto::error::Fault;
use tonic::Code;

/// What is known of an operation when its time is over.
pub(super) struct Known<'a> {
    pub kind: Kind,
    /// Whether an attempt may have been applied.
    pub possibly_applied: bool,
    /// Whether `last` is what an endpoint said at its own deadline: it has tried all there is.
    pub said_by_endpoint: bool,
    /// How the last attempt ended.
    pub last: Option<&'a Fault>,
    /// That no node has answered as the partition's leader, in words.
    pub leaderless: Option<String>,
}

/// What the caller is told at the deadline.
pub(super) fn out_of_time(known: Known<'_>) -> Fault {
    let Known { kind, possibly_applied: applied, said_by_endpoint, last, leaderless } = known;
    if let Some(last) = last.filter(|_| said_by_endpoint)
        && !(kind == Kind::Write && applied)
    {
        return said(kind, last);
    }
    let told = last.map(|fault| format!("; last: {fault}")).unwrap_or_default();
    match (kind, last) {
        (Kind::Write, _) if applied => Fault::deadline_unknown(format!(
            "no answer within the deadline, so the write may or may not have been \
             applied: read the key to find out{told}"
        )),
        (Kind::Write, Some(fault)) if fault.code == Code::ResourceExhausted => {
            Fault::exhausted(fault.message.clone())
        }
        (Kind::Write, last) => {
            let nobody = "no server took the write within the deadline".to_owned();
            let nobody = leaderless.unwrap_or(nobody);
            let fault = Fault::unavailable(format!("{nobody}, so the write was not applied{told}"));
            // No other try helps: the caller has to let go of its token.
            match last.and_then(Fault::clock_ahead_by) {
                Some(by) => fault.with(Fault::ahead(by)),
                None => fault,
            }
        }
        // Without the details: whoever asked a facade is told of no leader, nor that
        // something is wrong with the request where only the map was.
        (_, Some(fault)) if !applied => {
            let misrouted = fault.wrong_partition().is_some();
            let code = if misrouted { Code::Unavailable } else { fault.code };
            let nobody = "no server answered within the deadline".to_owned();
            let message = format!("{}{told}", leaderless.unwrap_or(nobody));
            Fault::new(code, message).not_executed()
        }
        (_, _) => {
            let nobody = "no answer within the deadline".to_owned();
            let message = format!("{}{told}", leaderless.unwrap_or(nobody));
            Fault::new(Code::DeadlineExceeded, message)
        }
    }
}

/// What an endpoint said last, as the end of an operation that was not carried out. Of what
/// was wrong with this try, nothing concerns the caller but a clock that is off.
fn said(kind: Kind, last: &Fault) -> Fault {
    let code = match last.code {
        Code::ResourceExhausted => Code::ResourceExhausted,
        code if kind != Kind::Write && last.wrong_partition().is_none() => code,
        _ => Code::Unavailable,
    };
    let fault = Fault::new(code, last.message.clone()).not_executed();
    match last.clock_ahead_by() {
        Some(by) => fault.with(Fault::ahead(by)),
        None => fault,
    }
}

/// A server does not answer pings any more.
pub(super) fn silence(connection: &Connection) -> Fault {
    Fault::new(Code::Unavailable, format!("{} has gone silent", connection.address()))
}

/// The same error, for a write that may have been applied.
pub(super) fn as_unknown(fault: Fault) -> Fault {
    use doug_proto::v1::error_detail::Detail;
    if fault.is_outcome_unknown() {
        return fault;
    }
    let mut unknown = Fault::unknown(format!(
        "{}; an attempt of this write may have been applied: read the key to find out",
        fault.message
    ));
    let kept = fault.details.into_iter().filter(|d| matches!(d, Detail::SessionExpired(_)));
    unknown.details.extend(kept);
    unknown
}
