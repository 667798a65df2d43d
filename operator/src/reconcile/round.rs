//! One round of work on a database: it is observed, then the steps are taken in their order, then
//! what was found is published.
//!
//! Each step decides by a pure function and carries out what was decided. A step that has changed
//! what the later ones would decide by ends the round, and the next one begins at once.

use super::members::{self, Scene};
use super::{Failure, Members, Progress, findings, now, publish, steps};
use super::{apply_objects, fresh_id, token};
use crate::bootstrap::{self, Step as Creation};
use crate::build::{self, Circumstances};
use crate::context::Context;
use crate::dereference::{Observed, Token, dereference, read_token};
use crate::groups::{Group, groups};
use crate::installation;
use crate::life::{self, Life, life, put_to_sleep};
use crate::pace::{self, Found};
use crate::resizing;
use crate::rollout::Next;
use crate::status::{self, Findings, Outcome};
use crate::storage::Growth;
use crate::validate::{Database, validate};
use doug_client::PartitionMap;
use doug_crds::{DougCluster, DougClusterStatus};
use kube::Api;
use std::collections::BTreeMap;
use std::time::Duration;

/// A step of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// StatefulSets of clusters that left while the database slept run again.
    Wake,
    /// Volumes grow. Before the objects: a StatefulSet's claims cannot be changed.
    Grow,
    /// Objects are as declared.
    Apply,
    /// A database is created on empty volumes, or those that are there are known to be one.
    Create,
    /// Pods are replaced one at a time, where their template is another.
    Roll,
    /// Nodes join, are replaced, or leave; partitions move.
    Members,
}

/// Every step in order, the lives in which it is taken, and what makes it the last one of a round.
/// Of one that is paused there is none: it is only looked at.
const STEPS: [(Step, &[Life], &str); 6] = [
    (Step::Wake, &[Life::Awake], "never"),
    (Step::Grow, &[Life::Awake], "never"),
    (Step::Apply, &[Life::Awake, Life::Asleep], "never"),
    (Step::Create, &[Life::Awake], "the intent was written, or nodes were told what they are"),
    (Step::Roll, &[Life::Awake], "never"),
    (Step::Members, &[Life::Awake], "the resource was written to"),
];

/// Whether the round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// What is known in a round.
struct Round<'a> {
    api: &'a Api<DougCluster>,
    cluster: &'a DougCluster,
    context: &'a Context,
    database: Database,
    life: Life,
    old: DougClusterStatus,
    /// None: the database is paused, and there is no Secret.
    token: Option<Token>,
    observed: Observed,
    /// How many nodes each cluster is to run.
    nodes: BTreeMap<String, u32>,
    /// The map and its groups, once the database is known to be created.
    map: Option<PartitionMap>,
    groups: Vec<Group>,
    progress: Progress,
}

/// Works on a database; how soon to look again.
pub async fn work(
    api: &Api<DougCluster>,
    cluster: &DougCluster,
    context: &Context,
) -> Result<Duration, Failure> {
    let mut round = Round::begin(api, cluster, context).await?;
    for (step, lives, why) in STEPS {
        if lives.contains(&round.life) && round.take(step).await? == Flow::End {
            tracing::debug!(?step, "the round ends: {why}");
            return Ok(Duration::ZERO);
        }
    }
    round.publish().await
}

impl<'a> Round<'a> {
    async fn begin(
        api: &'a Api<DougCluster>,
        cluster: &'a DougCluster,
        context: &'a Context,
    ) -> Result<Self, Failure> {
        let database = validate(cluster).map_err(Failure::Invalid)?;
        let token = match database.spec.mode {
            doug_crds::Mode::Paused => read_token(&context.client, &database).await?,
            _ => Some(token(context, &database).await?),
        };
        let observed = dereference(&context.client, &database, token.as_ref()).await?;
        let progress = Progress {
            bootstrap: Creation::Wait("it has not been looked at yet".to_owned()),
            growth: Growth::Done,
            rollout: Next::Done,
            members: Members::default(),
            unwritable: Vec::new(),
        };
        let old = cluster.status.clone().unwrap_or_default();
        let life = life(&database, &observed, &old);
        let nodes = running(&database, &observed, &old);
        let (map, groups) = (None, Vec::new());
        Ok(Self {
            api,
            cluster,
            context,
            database,
            life,
            old,
            token,
            observed,
            nodes,
            map,
            groups,
            progress,
        })
    }

    async fn take(&mut self, step: Step) -> Result<Flow, Failure> {
        match step {
            Step::Wake => self.wake().await,
            Step::Grow => self.grow().await,
            Step::Apply => self.apply().await,
            Step::Create => self.create().await,
            Step::Roll => self.roll().await,
            Step::Members => self.change_members().await,
        }
    }

    async fn wake(&mut self) -> Result<Flow, Failure> {
        let published = self.old.partition_map.as_ref();
        for (set, nodes) in life::to_wake(&self.database, &self.observed, published) {
            steps::scale(self.context, &self.database, &set, nodes).await?;
        }
        Ok(Flow::On)
    }

    async fn grow(&mut self) -> Result<Flow, Failure> {
        let (context, cluster) = (self.context, self.cluster);
        self.progress.growth =
            steps::grow(context, cluster, &self.database, &mut self.observed).await?;
        Ok(Flow::On)
    }

    async fn apply(&mut self) -> Result<Flow, Failure> {
        if matches!(self.progress.growth, Growth::ReplaceSets(_)) {
            // Sets that are being deleted, to be made again with a greater size, are still there.
            return Ok(Flow::On);
        }
        let circumstances = self.circumstances();
        apply_objects(self.context, &self.database, &circumstances, &self.observed).await?;
        Ok(Flow::On)
    }

    async fn create(&mut self) -> Result<Flow, Failure> {
        let step = bootstrap::next(&self.database, &self.old, &self.observed, fresh_id()?);
        let Some(Scene { api, context, cluster, observed, token, .. }) = self.scene() else {
            return Ok(Flow::On);
        };
        if steps::bootstrap(api, context, cluster, observed, token, &step).await? {
            return Ok(Flow::End);
        }
        if step == Creation::Done {
            self.map = self.observed.map();
            self.groups =
                self.map.as_ref().map(|map| groups(map, &self.observed)).unwrap_or_default();
        }
        self.progress.bootstrap = step;
        Ok(Flow::On)
    }

    async fn roll(&mut self) -> Result<Flow, Failure> {
        let hash = build::template_hash(&self.database, &self.circumstances());
        let created = self.progress.bootstrap == Creation::Done;
        let changing = members::changing(&self.groups);
        let Some(scene) = self.scene() else { return Ok(Flow::On) };
        self.progress.rollout = steps::roll(&scene, &hash, created, changing).await?;
        Ok(Flow::On)
    }

    async fn change_members(&mut self) -> Result<Flow, Failure> {
        let (Some(map), Some(scene)) = (&self.map, self.scene()) else { return Ok(Flow::On) };
        let quiet = is_quiet(&self.progress.rollout);
        let mut members = members::next(&scene, map, &self.groups, quiet);
        let wrote = members::carry_out(&scene, map, &mut members).await?;
        self.progress.members = members;
        Ok(if wrote { Flow::End } else { Flow::On })
    }

    /// What a step that acts needs; none without a token.
    fn scene(&self) -> Option<Scene<'_>> {
        Some(Scene {
            api: self.api,
            context: self.context,
            cluster: self.cluster,
            database: &self.database,
            observed: &self.observed,
            token: self.token.as_ref()?,
        })
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances {
            image: build::image(&self.database, &self.observed, &self.context.image),
            platform: self.database.spec.platform.unwrap_or(self.context.platform),
            asleep: self.life == Life::Asleep,
            nodes: self.nodes.clone(),
        }
    }

    /// Publishes what was found; how soon to look again.
    async fn publish(mut self) -> Result<Duration, Failure> {
        if self.life == Life::Paused {
            let next = bootstrap::next(&self.database, &self.old, &self.observed, fresh_id()?);
            self.progress.bootstrap = looked_at(next);
        }
        self.progress.unwritable = self.unwritable();
        let findings = self.findings();
        publish::tell(self.context, self.cluster, &findings).await;
        let Database { namespace, name, .. } = &self.database;
        match self.life {
            // It is not ready on purpose, and nobody is to be called for it.
            Life::Asleep => self.context.metrics.forget(namespace, name),
            Life::Awake | Life::Paused => {
                self.context.metrics.conditions(namespace, name, &findings);
            }
        }
        let settled = findings.progressing.holds == Some(false);
        let calm = settled && (findings.ready.holds == Some(true) || self.life != Life::Awake);
        let Self { database, observed, progress, .. } = &self;
        let outcome = Outcome { database, observed, findings, now: now() };
        let mut status: DougClusterStatus = status::status(&self.old, &outcome);
        if self.life == Life::Asleep {
            put_to_sleep(&mut status);
        }
        if progress.bootstrap == Creation::Done && progress.unwritable.is_empty() {
            // Every partition has committed: from here on the groups are right.
            status.creation = None;
        }
        publish::status(self.api, self.cluster, &status).await?;
        let same = status == self.old;
        let (disturbed, unchanged) = self
            .context
            .memory(&database.uid, |memory| (memory.is_disturbed(), memory.found(same)));
        Ok(pace::pause(Found {
            calm,
            disturbed: disturbed && self.life != Life::Paused,
            // One that contests it has to be answered, and noticed when it is gone.
            runs: observed.anybody_runs() || self.contested(),
            unchanged,
        }))
    }

    fn findings(&self) -> Findings {
        let judge =
            || findings::judge(&self.database, &self.observed, &self.old, &self.progress, &now());
        let found = match self.life {
            Life::Awake => findings::awake(&self.database, &self.observed, &self.old, judge()),
            Life::Paused => findings::paused(judge()),
            Life::Asleep => findings::asleep(&self.observed),
        };
        match installation::contested(self.old.operator.as_ref()) {
            Some(degraded) if found.degraded.holds != Some(true) => Findings { degraded, ..found },
            _ => found,
        }
    }

    fn contested(&self) -> bool {
        self.old.operator.as_ref().is_some_and(|operator| operator.rival.is_some())
    }

    fn unwritable(&self) -> Vec<u64> {
        let Some(map) = self.observed.map() else { return Vec::new() };
        let uid = &self.database.uid;
        self.context
            .memory(uid, |memory| status::writable(&map, &self.observed, &mut memory.leaders))
    }
}

/// How many nodes each cluster is to run.
fn running(
    database: &Database,
    observed: &Observed,
    old: &DougClusterStatus,
) -> BTreeMap<String, u32> {
    let map = observed.map();
    let groups = map.as_ref().map(|map| groups(map, observed)).unwrap_or_default();
    let known = map.as_ref().map(|map| (map, &groups[..]));
    resizing::running(database, old, observed, known)
}

/// What would be done about the creation, of a database for which nothing is done.
fn looked_at(next: Creation) -> Creation {
    match next {
        Creation::Intend(_) | Creation::Create(..) => {
            Creation::Wait("it was paused before it was created".to_owned())
        }
        Creation::Wait(_) | Creation::Done | Creation::Blocked(..) => next,
    }
}

/// Whether no pod is being replaced. One that does not run, or waits for a maintenance window, stops
/// no move.
fn is_quiet(rollout: &Next) -> bool {
    matches!(rollout, Next::Done | Next::Stuck { .. } | Next::Held { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(life: Life) -> Vec<Step> {
        let taken = STEPS.iter().filter(|(_, lives, _)| lives.contains(&life));
        taken.map(|(step, _, _)| *step).collect()
    }

    #[test]
    fn a_database_that_is_paused_is_left_as_it_is() {
        assert_eq!(taken(Life::Paused), []);
    }

    #[test]
    fn of_one_that_sleeps_only_the_objects_are_as_declared() {
        assert_eq!(taken(Life::Asleep), [Step::Apply]);
    }

    #[test]
    fn volumes_grow_before_objects_are_applied_and_members_change_last() {
        let steps = [Step::Wake, Step::Grow, Step::Apply, Step::Create, Step::Roll, Step::Members];
        assert_eq!(taken(Life::Awake), steps);
    }

    #[test]
    fn a_creation_that_was_begun_or_not_is_only_waited_for_while_it_is_paused() {
        let nodes = Vec::new();
        let intent = doug_crds::Creation { database_id: "0000000000db".into(), nodes };
        assert!(matches!(looked_at(Creation::Intend(intent)), Creation::Wait(_)));
        assert_eq!(looked_at(Creation::Done), Creation::Done);
    }
}
