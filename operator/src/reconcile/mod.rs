//! One reconciliation: what is read of a resource, a round of work on it, and what its failures
//! come to.

mod error;
mod findings;
mod members;
mod publish;
mod round;
mod steps;

pub use error::Failure;
pub use members::Members;

use crate::apply;
use crate::bootstrap::Step;
use crate::build::{self, Circumstances, build};
use crate::context::Context;
use crate::dereference::{Observed, Token, any_node_runs, nodes_selector, read_token};
use crate::installation::{self, Standing};
use crate::pace::SOON;
use crate::rollout::Next;
use crate::scaling;
use crate::status;
use crate::storage::{self, Growth};
use crate::validate::Database;
use doug_crds::{Caretaker, DougCluster};
use doug_proto::ids::DatabaseId;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Api, Resource};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the steps of one reconciliation came to.
pub struct Progress {
    /// Creation.
    pub bootstrap: Step,
    /// Volumes.
    pub growth: Growth,
    /// Pods.
    pub rollout: Next,
    /// Members.
    pub members: Members,
    /// Partitions that take no writes.
    pub unwritable: Vec<u64>,
}

/// Reconciles one DougCluster. Never fails: a failure is published in its
/// conditions and tried again after a pause that grows.
pub async fn reconcile(
    cached: Arc<DeserializeGuard<DougCluster>>,
    context: Arc<Context>,
) -> Result<Action, Infallible> {
    let meta = cached.meta();
    let uid = meta.uid.clone().unwrap_or_default();
    let (namespace, name) = named(meta);
    context.met(namespace, name, &uid);
    let timer = context.metrics.start();
    let result = attempt(meta, &context).await;
    let action = match result {
        Ok(Some(pause)) => {
            context.memory(&uid, |memory| memory.succeeded());
            timer.finish("ok");
            Action::requeue(pause)
        }
        Ok(None) => {
            context.gone(namespace, name);
            timer.finish("gone");
            Action::await_change()
        }
        Err(failure) => {
            let pause = context.memory(&uid, |memory| memory.failed());
            timer.finish(failure.reason());
            let reason = failure.reason();
            tracing::warn!(namespace, dougcluster = name, reason, "{failure}");
            Action::requeue(pause)
        }
    };
    Ok(action)
}

/// Namespace and name.
fn named(meta: &ObjectMeta) -> (&str, &str) {
    let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
    (namespace.unwrap_or_default(), name.unwrap_or_default())
}

/// One try; how soon to look again. None: the resource is gone.
async fn attempt(cached: &ObjectMeta, context: &Context) -> Result<Option<Duration>, Failure> {
    let (namespace, name) = named(cached);
    let guarded: Api<DeserializeGuard<DougCluster>> =
        Api::namespaced(context.client.clone(), namespace);
    let api: Api<DougCluster> = Api::namespaced(context.client.clone(), namespace);
    // Not from the cache: what is decided below rests on the newest status.
    let Some(cluster) = guarded.get_opt(name).await? else { return Ok(None) };
    if cluster.meta().deletion_timestamp.is_some() || cluster.meta().uid != cached.uid {
        return Ok(None);
    }
    let cluster = match cluster {
        DeserializeGuard(Ok(cluster)) => cluster,
        DeserializeGuard(Err(unreadable)) => {
            let failure = Failure::Unreadable(unreadable.error);
            let findings = findings::unreadable(&failure);
            context.metrics.conditions(namespace, name, &findings);
            publish::unreadable(&context.client, &unreadable.metadata, &findings).await?;
            return Err(failure);
        }
    };
    if let Some(pause) = stand(&api, &cluster, context).await? {
        return Ok(Some(pause));
    }
    let judged = cluster.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
    if !judged {
        publish::findings(&api, &cluster, &status::unknown()).await?;
        return Ok(Some(Duration::ZERO));
    }
    match round::work(&api, &cluster, context).await {
        Ok(pause) => Ok(Some(pause)),
        Err(failure) if failure.is_conflict() => Ok(Some(SOON)),
        Err(failure) => {
            let uid = cached.uid.as_deref().unwrap_or_default();
            let passes = failure.passes(context.memory(uid, |memory| memory.failures()));
            let findings = findings::of_failure(&cluster, &failure, passes);
            context.metrics.conditions(namespace, name, &findings);
            context.say(&cluster, !passes, failure.reason(), failure.to_string()).await;
            publish::findings(&api, &cluster, &findings).await?;
            Err(failure)
        }
    }
}

/// Whether this installation looks after a DougCluster. If it does not, or that had to be written
/// down first: how soon to look again.
async fn stand(
    api: &Api<DougCluster>,
    cluster: &DougCluster,
    context: &Context,
) -> Result<Option<Duration>, Failure> {
    let us = &context.installation;
    let mut status = cluster.status.clone().unwrap_or_default();
    let uid = cluster.metadata.uid.clone().unwrap_or_default();
    let standing = context.memory(&uid, |memory| {
        let found = status.operator.as_ref();
        installation::standing(us, found, &mut memory.caretaker, Instant::now(), &now())
    });
    match standing {
        Standing::Ours => Ok(None),
        Standing::Theirs(pause) => {
            let (namespace, name) = named(&cluster.metadata);
            context.metrics.forget(namespace, name);
            if let Some(Caretaker { name, .. }) = status.operator.filter(has_answered) {
                let note = installation::told(&name, us);
                context.say(cluster, true, "TwoOperators", note).await;
            }
            Ok(Some(pause))
        }
        Standing::Write(caretaker) => {
            status.operator = Some(caretaker);
            match publish::status(api, cluster, &status).await {
                Ok(()) => Ok(Some(Duration::ZERO)),
                // Another was quicker; what it wrote is looked at next.
                Err(failure) if failure.is_conflict() => Ok(Some(SOON)),
                Err(failure) => Err(failure),
            }
        }
    }
}

fn has_answered(caretaker: &Caretaker) -> bool {
    caretaker.rival.as_ref().is_some_and(|rival| rival.answered)
}

/// Makes the token once. A database's nodes and its operator share it: nodes that run do not take
/// up another one, and would refuse the operator and each node that was restarted since. So a
/// Secret that was deleted is made again as it was, or not at all while one of them runs.
async fn token(context: &Context, database: &Database) -> Result<Token, Failure> {
    let remember = |token: &Token| {
        context.memory(&database.uid, |memory| memory.token = Some(token.clone()));
    };
    if let Some(token) = read_token(&context.client, database).await? {
        remember(&token);
        return Ok(token);
    }
    let text = match context.memory(&database.uid, |memory| memory.token.clone()) {
        Some(Token(text)) => text,
        None if any_node_runs(&context.client, database).await? => {
            return Err(Failure::TokenLost {
                secret: database.token_name(),
                selector: nodes_selector(&database.name),
                namespace: database.namespace.clone(),
            });
        }
        None => fresh_token()?,
    };
    let secret = build::token_secret(database, &text);
    apply::create_once(&context.client, database, &secret).await?;
    let token = read_token(&context.client, database).await?;
    let token = token.ok_or_else(|| Failure::NoToken(database.token_name()))?;
    remember(&token);
    Ok(token)
}

fn fresh_token() -> Result<String, Failure> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Failure::Random(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn apply_objects(
    context: &Context,
    database: &Database,
    circumstances: &Circumstances,
    observed: &Observed,
) -> Result<(), Failure> {
    let mut objects = build(database, circumstances);
    storage::keep_templates(&mut objects, observed);
    scaling::keep_replicas(&mut objects, observed);
    let bodies: Vec<_> = objects.iter().map(|object| object.body.to_string()).collect();
    let digest = xxhash_rust::xxh3::xxh3_64(bodies.concat().as_bytes());
    let mut clusters = database.spec.clusters.iter();
    let missing = observed.facade.is_none()
        || clusters.any(|c| !observed.sets.contains_key(&database.set_name(&c.name)));
    if !missing && !context.memory(&database.uid, |memory| memory.needs_apply(digest)) {
        return Ok(());
    }
    context.memory(&database.uid, |memory| memory.applying());
    apply::apply(&context.client, database, &objects).await?;
    context.memory(&database.uid, |memory| memory.applied(digest));
    Ok(())
}

fn fresh_id() -> Result<DatabaseId, Failure> {
    let bits = getrandom::u64().map_err(|error| Failure::Random(error.to_string()))?;
    Ok(DatabaseId::from_bits(bits))
}

/// Now, as the status writes times.
fn now() -> String {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string()
}
