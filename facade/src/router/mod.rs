//! One way for every operation, whichever door it came through: checked against
//! the limits, admitted if there is memory, sent to the leader, counted.

mod validate;

pub use validate::check;

use crate::admission::{Permit, RequestAdmission};
use crate::map_source::MapReceiver;
use crate::metrics::{Metrics, OperationKind};
use doug_client::{Builder, Client};
use doug_proto::error::Fault;
use doug_proto::map::PartitionMap;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use std::sync::Arc;
use std::time::Duration;

/// Executes operations by the map.
pub struct Router {
    client: Client,
    map: MapReceiver,
    admission: RequestAdmission,
    metrics: Arc<Metrics>,
}

impl Router {
    /// Routes by `map`, straight to the nodes.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub async fn new(
        map: MapReceiver,
        admission: RequestAdmission,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        Self::over(Client::builder(), map, admission, metrics).await
    }

    /// The same with a client of the caller's, for one that does not live on
    /// tokio, or whose servers are not reached over gRPC.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub async fn over(
        client: Builder,
        map: MapReceiver,
        admission: RequestAdmission,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let client = client.direct(map.clone()).connect().await?;
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

    /// Executes one operation of `bytes` encoded bytes.
    ///
    /// # Errors
    /// As the client library's, or that the facade has too much under way.
    pub async fn execute(
        &self,
        operation: Operation,
        bytes: usize,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        let started = self.client.now();
        let kind = OperationKind::from(&operation);
        let map = self.map.borrow().clone();
        let keyspace = map.as_ref().and_then(|map| keyspace_of(map, &operation));
        let result = match self.admit(&operation, bytes) {
            Ok(_permit) => self.client.execute(operation, started + timeout).await,
            Err(fault) => Err(fault),
        };
        let code = result.as_ref().err().map_or(tonic::Code::Ok, |fault| fault.code);
        let took = self.client.now().saturating_duration_since(started);
        self.metrics.answered(kind, code, keyspace, took);
        result
    }

    fn admit(&self, operation: &Operation, bytes: usize) -> Result<Permit, Fault> {
        validate::check(operation, bytes)?;
        self.admission.admit(bytes)
    }
}

/// The name of the keyspace that an operation is for, if the map lists it.
fn keyspace_of<'m>(map: &'m PartitionMap, operation: &Operation) -> Option<&'m str> {
    let (name, target) = match operation {
        Operation::Get(get) => (&*get.keyspace, get.target.as_ref()),
        Operation::Put(put) => (&*put.keyspace, put.target.as_ref()),
        Operation::Delete(delete) => (&*delete.keyspace, delete.target.as_ref()),
        Operation::Scan(scan) => (&*scan.keyspace, scan.target.as_ref()),
        Operation::Batch(batch) => (&*batch.keyspace, batch.target.as_ref()),
        Operation::Transact(transact) => (&*transact.keyspace, transact.target.as_ref()),
        Operation::Watch(watch) => (&*watch.keyspace, watch.target.as_ref()),
        Operation::Register(register) => ("", register.target.as_ref()),
        Operation::Status(_) => return None,
    };
    let named = target.filter(|target| target.partition != 0);
    let keyspace = match named {
        Some(target) => map.keyspace(map.partition(target.partition)?.keyspace),
        None => map.keyspace_named(name).ok(),
    };
    keyspace.map(|keyspace| &*keyspace.name)
}
