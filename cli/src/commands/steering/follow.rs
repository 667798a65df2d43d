//! Following changes of members to their end, all by one look at the nodes.

use super::phase::describe;
use doug_client::Fault;
use doug_client::admin::{Steering, Survey};
use doug_proto::map::Partition;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// A step that goes on is told again only after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// Looks at all nodes again and again, for whoever waits for partitions.
pub struct Follower {
    steering: Arc<Steering>,
    surveys: watch::Receiver<Option<Survey>>,
    _task: Task,
    quiet: bool,
}

/// Where a partition is in the end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its descriptor, at rest.
    pub descriptor: Partition,
    /// How long it was followed.
    pub took: Duration,
}

impl Follower {
    /// Starts to look. To be called inside the runtime.
    pub fn start(steering: &Arc<Steering>) -> Self {
        Self { quiet: false, ..Self::quiet(steering) }
    }

    /// One that tells nothing, for changes of a moment.
    pub fn quiet(steering: &Arc<Steering>) -> Self {
        let (sender, surveys) = watch::channel(None);
        let looking = steering.clone();
        let task = tokio::spawn(async move {
            loop {
                match looking.survey().await {
                    Ok(survey) => drop(sender.send_replace(Some(survey))),
                    // The change goes on without us; somebody will answer again.
                    Err(fault) => tracing::warn!("{fault}"),
                }
                sleep(LOOK).await;
            }
        });
        Self { steering: steering.clone(), surveys, _task: Task(task), quiet: true }
    }

    /// The database.
    pub fn steering(&self) -> &Steering {
        &self.steering
    }

    /// Waits until the members of a partition are as they are to be, and nobody holds
    /// an old replica any more; tells on standard error how far it is. `descriptor`
    /// is what the change began with.
    pub async fn until_at_rest(&self, descriptor: &Partition) -> Result<Ended, Fault> {
        let (began, id) = (Instant::now(), descriptor.id);
        let mut surveys = self.surveys.clone();
        let mut teller = Teller { id, last: None };
        loop {
            let seen = surveys.borrow_and_update().clone();
            if let Some(survey) = seen
                && let Some(now) = survey.descriptor(id)
                // A look from before the change was taken up shows it at rest.
                && now.generation >= descriptor.generation
            {
                if !self.quiet {
                    teller.tell(&describe(&survey, &now));
                }
                if now.is_at_rest() && survey.leftovers(&now).is_empty() {
                    return Ok(Ended { descriptor: now, took: began.elapsed() });
                }
            }
            let gone = |_| Fault::unknown("nobody looks at the nodes any more: a bug");
            surveys.changed().await.map_err(gone)?;
        }
    }
}

/// Ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells each step once, and every few seconds how far it is.
struct Teller {
    id: u64,
    last: Option<(String, Instant)>,
}

impl Teller {
    fn tell(&mut self, what: &str) {
        let step = what.split(':').next().unwrap_or_default();
        let now = Instant::now();
        if let Some((last, at)) = &self.last
            && last == step
            && (now - *at < AGAIN)
        {
            return;
        }
        doug_streams::errln!("partition {}: {what}", self.id);
        self.last = Some((step.to_owned(), now));
    }
}
