//! What carries out operations.

use crate::builder::{Mode, Settings};
use crate::connection::{Connection, Event};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::map::PartitionMap;
use doug_proto::v1::{stream_answer::Answer, stream_operation::Operation};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) struct Engine {
    pub(crate) settings: Arc<Settings>,
    endpoints: Vec<Connection>,
    map: watch::Sender<Option<Arc<PartitionMap>>>,
}

impl Engine {
    pub(crate) fn new(endpoints: Vec<String>, mode: Mode, settings: Arc<Settings>) -> Arc<Self> {
        let _ = mode;
        let endpoints =
            endpoints.into_iter().map(|address| Connection::new(address, settings.clone()));
        Arc::new(Self {
            endpoints: endpoints.collect(),
            settings: settings.clone(),
            map: watch::Sender::new(None),
        })
    }

    pub(crate) async fn execute(
        &self,
        operation: Operation,
        deadline: Instant,
    ) -> Result<Answer, Fault> {
        let endpoint = self.endpoints.first().ok_or_else(|| Fault::unavailable("no map yet"))?;
        match endpoint.submit(operation, Instant::now(), deadline).event().await {
            Event::Answer(Answer::Error(error)) => Err(Fault::from_wire(error)),
            Event::Answer(answer) => Ok(answer),
            other => Err(Fault::unknown(format!("{other:?}"))),
        }
    }

    pub(crate) async fn map(&self, deadline: Instant) -> Result<Arc<PartitionMap>, Fault> {
        let mut map = self.map.subscribe();
        let known = tokio::time::timeout_at(deadline, map.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(map)) => Ok(map.clone().expect("waited for one that is there")),
            _ => Err(Fault::unavailable("no partition map within the deadline")),
        }
    }

    pub(crate) fn watch_map(&self) -> watch::Receiver<Option<Arc<PartitionMap>>> {
        self.map.subscribe()
    }

    pub(crate) fn session_token(&self) -> Bytes {
        Bytes::new()
    }
}
