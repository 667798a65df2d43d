//! Who of several operators works: the holder of a Lease.
//!
//! Clocks of different machines are never compared. A challenger counts, on its
//! own clock, how long the record has not changed; only after the whole term it
//! takes over, under a precondition on the version that it has seen.

mod decision;

pub use decision::{Decision, LeaderElectionRecord, Term};

use crate::build::MANAGER;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::Instant;

/// How long a holder may be silent before another takes over.
const TERM: Duration = Duration::from_secs(15);
/// How often a holder renews and a challenger looks.
const PERIOD: Duration = Duration::from_secs(2);
/// A holder that could not renew for this long stops working, safely before
/// anyone else begins.
const GIVE_UP: Duration = Duration::from_secs(10);

/// One operator's part in the election.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    term: Term,
}

impl Election {
    /// A candidate named `identity`, for the Lease `name`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            term: Term::new(TERM),
        }
    }

    /// Returns once this operator holds the Lease.
    pub async fn win(&mut self) {
        loop {
            match self.turn().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!("cannot reach the lease {}: {error}", self.name),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews until that fails for too long, or another holds the Lease; why.
    pub async fn hold(&mut self) -> String {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            let left = GIVE_UP.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.turn()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return "another operator holds the lease".to_owned(),
                Ok(Err(error)) if renewed.elapsed() < GIVE_UP => {
                    tracing::warn!("the lease could not be renewed: {error}; trying on");
                }
                Ok(Err(_)) | Err(_) => {
                    return "the lease could not be renewed in time".to_owned();
                }
            }
        }
    }

    /// Gives the Lease back, so that another need not wait for the term's end.
    pub async fn release(&mut self) {
        if let Ok(Some(lease)) = self.leases.get_opt(&self.name).await
            && record(&lease).holder == self.identity
        {
            drop(self.write(Some(lease), "", false).await);
        }
    }

    /// Looks once, and acts. Whether this operator holds the Lease now.
    async fn turn(&mut self) -> kube::Result<bool> {
        let found = self.leases.get_opt(&self.name).await?;
        let seen = found.as_ref().map(record);
        let identity = self.identity.clone();
        let decision = self.term.decide(Instant::now(), seen.as_ref(), &identity);
        let taken = match decision {
            Decision::Wait => return Ok(false),
            Decision::Renew => false,
            Decision::Take => true,
        };
        match self.write(found, &identity, taken).await {
            Ok(()) => Ok(true),
            // Someone else was faster; the next look says who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, found: Option<Lease>, holder: &str, taken: bool) -> kube::Result<()> {
        let parameters =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let now = MicroTime(Timestamp::now());
        let exists = found.is_some();
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if taken {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + i32::from(exists));
        }
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_duration_seconds = Some(TERM.as_secs() as i32);
        spec.renew_time = Some(now);
        // A replacement carries the version that was seen: another's write in
        // between makes it fail.
        if exists {
            drop(self.leases.replace(&self.name, &parameters, &lease).await?);
        } else {
            drop(self.leases.create(&parameters, &lease).await?);
        }
        Ok(())
    }
}

fn record(lease: &Lease) -> LeaderElectionRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaderElectionRecord {
        holder: spec.holder_identity.unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}
