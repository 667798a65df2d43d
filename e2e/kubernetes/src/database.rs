//! A database declared in a namespace.

use crate::kubectl;
use crate::manifest::Manifest;
use crate::namespace::Namespace;
use crate::wait::{seconds, until};
use serde_json::Value;
use std::time::Duration;

/// How long a database may take to become Ready on a machine that does everything at once.
const READY: Duration = seconds(240);

/// A database.
#[derive(Debug)]
pub struct Database<'a> {
    namespace: &'a Namespace,
    name: String,
}

/// A condition of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// True, False or Unknown.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

impl<'a> Database<'a> {
    /// Applies the manifest and waits until the database is Ready.
    ///
    /// # Panics
    /// When it is refused, or not Ready in time.
    pub fn create(namespace: &'a Namespace, manifest: &Manifest) -> Self {
        let database = Self::apply(namespace, manifest);
        database.await_ready();
        database
    }

    /// Applies the manifest.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(namespace: &'a Namespace, manifest: &Manifest) -> Self {
        let applied = namespace.apply(&manifest.to_string());
        applied.unwrap_or_else(|error| panic!("the manifest is refused: {error}"));
        Self { namespace, name: manifest.name().to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        self.namespace
    }

    /// `http://host:port` of the facade, from inside the Kubernetes cluster.
    pub fn endpoint(&self) -> String {
        format!("http://{}-facade.{}.svc:7400", self.name, self.namespace.name())
    }

    /// Runs kubectl in the namespace.
    ///
    /// # Panics
    /// When that fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl::run(&self.namespace.arguments(arguments))
    }

    /// The whole object; null while it cannot be read.
    pub fn object(&self) -> Value {
        kubectl::get(&self.namespace.arguments(&["dougcluster", &self.name])).unwrap_or_default()
    }

    /// Its status.
    pub fn status(&self) -> Value {
        self.object()["status"].take()
    }

    /// A condition, if it is set.
    pub fn condition(&self, kind: &str) -> Option<Condition> {
        condition(&self.object(), kind)
    }

    /// The epoch of the partition map.
    pub fn epoch(&self) -> u64 {
        self.status()["partitionMap"]["epoch"].as_u64().unwrap_or(0)
    }

    /// Changes the spec by a JSON merge patch.
    ///
    /// # Panics
    /// When that is refused.
    pub fn patch(&self, spec: &Value) {
        let patch = serde_json::json!({"spec": spec}).to_string();
        self.kubectl(&["patch", "dougcluster", &self.name, "--type=merge", "-p", &patch]);
    }

    /// Waits until it is Ready for its present spec.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn await_ready(&self) {
        self.await_condition("Ready", READY, |condition| condition.status == "True");
    }

    /// Waits until it is Ready and nothing is under way.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn await_settled(&self, within: Duration) {
        self.await_ready();
        self.await_condition("Progressing", within, |condition| condition.status == "False");
    }

    /// Waits until a condition, observed at the present spec, is as wanted.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn await_condition(
        &self,
        kind: &str,
        within: Duration,
        wanted: impl Fn(&Condition) -> bool,
    ) -> Condition {
        until(&format!("{kind} of {}", self.name), within, || {
            let object = self.object();
            let observed = &object["status"]["observedGeneration"];
            let current = observed.is_u64() && *observed == object["metadata"]["generation"];
            condition(&object, kind).filter(|condition| current && wanted(condition))
        })
    }

    /// Its pods of a component: `node` or `facade`.
    pub fn pods(&self, component: &str) -> Vec<Pod> {
        let selector = format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/component={component}",
            self.name
        );
        let pods = kubectl::list(&self.namespace.arguments(&["pods", "-l", &selector]));
        pods.into_iter().map(Pod).collect()
    }

    /// Sets an annotation, or takes it away: `name=value`, `name-`.
    ///
    /// # Panics
    /// When that is refused.
    pub fn annotate(&self, annotation: &str) {
        self.kubectl(&["annotate", "--overwrite", "dougcluster", &self.name, annotation]);
    }

    /// Waits until so many node pods are ready.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn await_ready_nodes(&self, count: usize) {
        until("every node is ready", READY, || {
            let ready = self.pods("node").iter().filter(|pod| pod.is_ready()).count();
            (ready == count).then_some(())
        });
    }

    /// Deletes pods at once, without grace.
    ///
    /// # Panics
    /// When they cannot be deleted.
    pub fn kill(&self, pods: &[Pod]) {
        let names: Vec<_> = pods.iter().map(Pod::name).collect();
        let now = ["--grace-period=0", "--force", "--wait=false"];
        self.kubectl(&[&["delete", "pod"], &names[..], &now].concat());
    }
}

fn condition(object: &Value, kind: &str) -> Option<Condition> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod(pub Value);

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// What tells it from another pod of the same name.
    pub fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// The name of its node: `a-0` of `orders-a-0`.
    pub fn node_name(&self) -> &str {
        self.name().split_once('-').map_or("", |(_, name)| name)
    }

    /// The image it was asked to run.
    pub fn image(&self) -> &str {
        self.0["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
    }

    /// How often its container has been started again.
    pub fn restarts(&self) -> u64 {
        self.0["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0)
    }

    /// The machine it runs on.
    pub fn node(&self) -> &str {
        self.0["spec"]["nodeName"].as_str().unwrap_or_default()
    }

    /// Whether its readiness probe holds, and it is not on its way out.
    pub fn is_ready(&self) -> bool {
        let conditions = self.0["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
        self.0["metadata"]["deletionTimestamp"].is_null()
            && ready.any(|condition| condition["status"] == "True")
    }
}
