//! One way for every operation, whichever door it came through: checked against
//! the limits, admitted if there is memory, sent to the leader, counted.

mod validate;

pub use validate::check;

use crate::admission::{Admission, Permit};
use crate::map_source::MapReceiver;
use crate::metrics::{Metrics, OperationKind};
use doug_client::Client;
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Executes operations by the map.
pub struct Router {
    client: Client,
    map: MapReceiver,
    admission: Admission,
    metrics: Arc<Metrics>,
}

impl Router {
    /// Routes by `map`, straight to the nodes.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub async fn new(
        map: MapReceiver,
        admission: Admission,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let client = Client::builder().direct(map.clone()).connect().await?;
        Ok(Self { client, map, admission, metrics })
    }

    /// The map in use.
    pub fn map(&self) -> MapReceiver {
        self.map.clone()
    }

    /// Where operations are counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Executes one operation of `bytes` encoded bytes. The permit is to be kept
    /// until the answer has been handed to the transport.
    pub async fn execute(
        &self,
        operation: Operation,
        bytes: usize,
        timeout: Duration,
    ) -> (Result<Answer, Fault>, Option<Permit>) {
        let started = Instant::now();
        let kind = OperationKind::from(&operation);
        let (result, permit) = match self.admit(&operation, bytes) {
            Ok(mut permit) => {
                let result = self.client.execute(operation, started + timeout).await;
                permit.grow(result.as_ref().map_or(0, answer_bytes));
                (result, Some(permit))
            }
            Err(fault) => (Err(fault), None),
        };
        let code = result.as_ref().err().map_or(tonic::Code::Ok, |fault| fault.code);
        self.metrics.answered(kind, code, started.elapsed());
        (result, permit)
    }

    fn admit(&self, operation: &Operation, bytes: usize) -> Result<Permit, Fault> {
        validate::check(operation, bytes)?;
        // A page's size is known only when it is there, and then it is there.
        let page = match operation {
            Operation::Scan(_) => limits::SCAN_PAGE_BYTES,
            _ => 0,
        };
        self.admission.admit(bytes + page)
    }
}

/// Only what can be large is worth measuring.
fn answer_bytes(answer: &Answer) -> usize {
    match answer {
        Answer::Get(get) => get.value.len(),
        Answer::Status(status) => status.encoded_len(),
        // Counted beforehand, or small.
        _ => 0,
    }
}
