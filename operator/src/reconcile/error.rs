//! Why a reconciliation failed.

use crate::apply::ApplyError;
use tonic::Code;

/// Failures in a row after which one that should have passed needs a person: with pauses of 1, 2,
/// 4, 8 and 16 seconds, half a minute.
const BELIEVED: u32 = 5;

/// Why a reconciliation failed, in words for the conditions.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What is declared cannot work.
    #[error("{0}")]
    Invalid(String),
    /// A newer operator, or a definition of another version, let in what this one cannot read.
    #[error(
        "this operator cannot read the DougCluster, and leaves its database alone: {0}. Correct \
         it, or run the operator of the version that wrote it"
    )]
    Unreadable(String),
    /// An object could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The API server refused or did not answer.
    #[error("the API server failed: {0}")]
    Kube(#[from] kube::Error),
    /// The machine gives no random numbers.
    #[error("no random numbers for ids and tokens: {0}")]
    Random(String),
    /// A Secret without what it is for.
    #[error("Secret {0} has no key `token`: delete it, and it is made anew")]
    NoToken(String),
    /// The Secret is gone, and nodes run that have what was in it.
    #[error(
        "Secret {secret} is gone, and the nodes that run still use what was in it: they would \
         refuse another. Put it back from a backup; or stop all nodes at once, upon which a new \
         one is made: kubectl delete pod -n {namespace} -l {selector}"
    )]
    TokenLost {
        /// Name of the Secret.
        secret: String,
        /// What finds the pods of the nodes.
        selector: String,
        /// Where they are.
        namespace: String,
    },
    /// A node refused or did not answer.
    #[error("{0}")]
    Node(doug_client::Fault),
}

impl Failure {
    /// One word for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::Invalid(_) => "InvalidSpec",
            Failure::Unreadable(_) => "UnreadableResource",
            Failure::Apply(ApplyError::NameTaken(_)) => "NameTaken",
            Failure::Apply(ApplyError::StillThere(_)) => "WaitingForDeletion",
            Failure::Apply(ApplyError::Refused { .. }) => "ObjectRefused",
            Failure::Apply(ApplyError::Kube(_)) | Failure::Kube(_) => "ApiServerFailed",
            Failure::Random(_) => "NoRandomNumbers",
            Failure::NoToken(_) => "NoToken",
            Failure::TokenLost { .. } => "TokenLost",
            Failure::Node(_) => "NodeRefused",
        }
    }

    /// Whether someone else changed an object meanwhile: no news, only a reason
    /// to look again.
    pub fn is_conflict(&self) -> bool {
        let (Failure::Kube(error) | Failure::Apply(ApplyError::Kube(error))) = self else {
            return false;
        };
        matches!(error, kube::Error::Api(status) if status.code == 409)
    }

    /// Whether time alone may mend it. If it has not after `failures` in a row, whose pauses grow,
    /// it is believed no more: missing rights, for one, look like an API server that restarts.
    pub fn passes(&self, failures: u32) -> bool {
        let may_pass = match self {
            Failure::Kube(_) => true,
            Failure::Apply(error) => {
                matches!(error, ApplyError::Kube(_) | ApplyError::StillThere(_))
            }
            Failure::Node(fault) => matches!(
                fault.code,
                Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Cancelled
                    | Code::Unknown
            ),
            Failure::Invalid(_)
            | Failure::Unreadable(_)
            | Failure::Random(_)
            | Failure::NoToken(_)
            | Failure::TokenLost { .. } => false,
        };
        may_pass && failures < BELIEVED
    }
}
