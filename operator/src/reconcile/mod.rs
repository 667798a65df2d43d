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
use crate::rollout::Next;
use crate::scaling;
use crate::status;
use crate::storage::{self, Growth};
use crate::validate::Database;
use doug_crds::DougCluster;
use doug_proto::ids::DatabaseId;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Api, Resource};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How soon to look again while something is under way.
const SOON: Duration = Duration::from_secs(2);
/// How soon to look again when all is well; nodes fall silent without an event.
const CALM: Duration = Duration::from_secs(10);

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
