//! Puts the operator together and runs it.

use crate::Config;
use crate::build::{MANAGED_BY, MANAGER};
use crate::context::Context;
use crate::dereference::instance_of;
use crate::http::{Pages, router};
use crate::lease::Election;
use crate::metrics::Metrics;
use crate::owned;
use crate::reconcile::reconcile;
use anyhow::{Context as _, bail};
use doug_crds::{DougCluster, Platform};
use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Who has these assigns each namespace a range of users (SecurityContextConstraints).
const OPENSHIFT: &str = "security.openshift.io";
/// A watch ends after so many seconds and goes on with another: one whose server
/// was restarted can be silent without an end.
const WATCH_SECONDS: u32 = 30;
/// An answer of which nothing arrives for so long is given up.
const SILENCE: Duration = Duration::from_secs(45);
/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// DougClusters reconciled at the same time.
const AT_ONCE: u16 = 8;

/// Runs an operator until `shutdown` ends.
///
/// # Errors
/// No way to the API server, or a taken port: whoever started it should start it
/// again. While another holds the Lease, or none can be had, it waits.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let listener = doug_edge::listen(config.http).await.with_context(|| {
        format!(
            "cannot listen on {}: stop what has that port, or choose another with --http",
            config.http
        )
    })?;
    let metrics = Arc::new(Metrics::new());
    let connected = Arc::new(AtomicBool::new(false));
    let pages = Pages { metrics: metrics.clone(), connected: connected.clone() };
    tokio::spawn(async move { axum::serve(listener, router(pages)).await });

    let client = client().await?;
    let Config { namespace, lease, .. } = &config;
    let mut election = Election::new(client.clone(), namespace, lease, &config.identity);
    tokio::pin!(shutdown);
    let platform = tokio::select! {
        () = &mut shutdown => return Ok(()),
        platform = connect(&client, &config, &connected) => platform,
    };
    loop {
        metrics.set_leader(false);
        tracing::info!("waiting for the lease {lease} in namespace {namespace}");
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            () = election.win() => {}
        }
        metrics.set_leader(true);
        tracing::info!("this operator holds the lease and works");
        let context = Context::new(client.clone(), &config, platform, metrics.clone());
        let context = Arc::new(context);
        tokio::select! {
            () = &mut shutdown => {
                election.release().await;
                return Ok(());
            }
            // Another may be at work by now: everything under way is dropped, and
            // nothing that was remembered counts any more. To end the process
            // instead would have it wait longer each time before it is started.
            why = election.hold() => tracing::warn!("this operator stops working: {why}"),
            () = control(&client, &config.watch_namespaces, context) => bail!("its controllers \
                ended"),
        }
    }
}

async fn client() -> anyhow::Result<Client> {
    let mut config = kube::Config::infer().await.context(
        "cannot find the API server: run in a pod with a service account, or set KUBECONFIG",
    )?;
    config.read_timeout = Some(SILENCE);
    Client::try_from(config).context("the way to the API server cannot be used")
}

/// Asks until the API server knows our resource: a chart may bring both at once. What it is that
/// the API server belongs to.
async fn connect(client: &Client, config: &Config, connected: &AtomicBool) -> Platform {
    let namespace = config.watch_namespaces.first();
    loop {
        let api = resources(client, namespace.map(String::as_str));
        match api.list(&kube::api::ListParams::default().limit(1)).await {
            Ok(_) => break,
            Err(error) => tracing::warn!(
                "DougClusters cannot be listed: {error}; trying on. Is the definition there \
                 (`doug crds | kubectl apply --server-side -f -`), and may this account list them?"
            ),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let platform = platform(client).await;
    connected.store(true, Ordering::Relaxed);
    platform
}

/// Asks until it is known: a guess would have nodes refused, or restarted for nothing.
async fn platform(client: &Client) -> Platform {
    loop {
        match client.list_api_groups().await {
            Ok(list) if list.groups.iter().any(|group| group.name == OPENSHIFT) => {
                return Platform::OpenShift;
            }
            Ok(_) => return Platform::Kubernetes,
            Err(error) => tracing::warn!("API groups cannot be listed: {error}; trying on"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// One that this operator cannot read stops no other: after it went back to an older version, for
/// instance.
fn resources(client: &Client, namespace: Option<&str>) -> Api<DeserializeGuard<DougCluster>> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// A controller per watched namespace, or one for all.
async fn control(client: &Client, namespaces: &[String], context: Arc<Context>) {
    let scopes: Vec<Option<String>> = match namespaces {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    join_all(scopes.into_iter().map(|scope| control_one(client, scope, context.clone()))).await;
}

/// Those that a StatefulSet made name their database in their labels.
fn of_instance(object: &impl ResourceExt) -> Option<ObjectRef<DeserializeGuard<DougCluster>>> {
    Some(ObjectRef::new(&instance_of(object)?).within(&object.namespace()?))
}

async fn control_one(client: &Client, namespace: Option<String>, context: Arc<Context>) {
    macro_rules! api {
        ($kind:ty) => {
            match &namespace {
                Some(namespace) => Api::<$kind>::namespaced(client.clone(), namespace),
                None => Api::<$kind>::all(client.clone()),
            }
        };
    }
    let everything = watcher::Config::default().timeout(WATCH_SECONDS);
    let ours = everything.clone().labels(&format!("{MANAGED_BY}={MANAGER}"));
    // Pods belong to StatefulSets and ReplicaSets, so they are found by label.
    let pods = everything
        .clone()
        .labels("app.kubernetes.io/name=dougdb,app.kubernetes.io/component in (node, facade)");
    let claims = pods.clone();
    let changed = owned::changes(client, namespace.as_deref(), &ours, &context)
        .map(|(namespace, name)| ObjectRef::new(&name).within(&namespace));
    let events = Controller::new(resources(client, namespace.as_deref()), everything)
        .with_config(controller::Config::default().debounce(DEBOUNCE).concurrency(AT_ONCE))
        // Their status: a pod of a StatefulSet that became ready.
        .owns(api!(StatefulSet), ours.clone())
        .owns(api!(Deployment), ours.clone())
        .reconcile_on(changed)
        .watches(api!(Pod), pods, |pod| of_instance(&pod))
        .watches(api!(PersistentVolumeClaim), claims, |claim| of_instance(&claim))
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), context.clone());
    let context = &context;
    events
        .for_each(|event| async move {
            match event {
                Ok(_) => {}
                // It was to be looked at again, or an object of it ended after it.
                Err(controller::Error::ObjectNotFound(gone)) => {
                    context.gone(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
                }
                Err(error) => tracing::warn!("a watch failed and is begun again: {error}"),
            }
        })
        .await;
}
