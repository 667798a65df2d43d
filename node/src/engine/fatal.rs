//! Storage errors that a caller can be told, and those that end the process.

use doug_proto::error::Fault;
use doug_storage::StorageError;
use tonic::Code;

/// What a failed manifest edit means for its caller; a fatal one ends the process.
pub fn storage_fault(error: StorageError) -> Fault {
    if error.is_fatal() {
        tracing::error!(%error, "the manifest failed: this process ends");
        doug_streams::exit(1);
    }
    Fault::new(Code::FailedPrecondition, error.to_string())
}
