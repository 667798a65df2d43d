//! `doug demo --tour`: the whole story, told while it happens.

use super::control::{Action, Handle};
use super::database;
use super::state::State;
use super::writers::{Ledger, Writer};
use crate::exit::Exit;
use anyhow::Context;
use doug_client::{Client, If, Read};
use doug_proto::error::Fault;
use doug_proto::v1::{self, NodeState};
use doug_streams::out;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The key whose partition loses its leader.
const KEY: &str = "tour/planet";
/// How stale a follower's answer may be.
const BOUND: Duration = Duration::from_secs(1);
/// How long a partition may be without an acknowledged write after its leader
/// was killed: the deadline of one write.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long a node may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How long the writer writes before and after the kill.
const WRITE: Duration = Duration::from_secs(1);

/// Plays it. [`Exit::Error`] when a promise was not kept.
pub async fn play(state: State, handle: Handle) -> anyhow::Result<Exit> {
    let mut tour = Tour::new(state, handle).await?;
    tour.write().await?;
    tour.read_from_a_follower().await?;
    let killed = tour.kill_the_leader().await?;
    tour.read_everything_back().await?;
    tour.restart(&killed).await?;
    Ok(tour.end())
}

struct Tour {
    state: State,
    handle: Handle,
    client: Client,
    ledger: Ledger,
    pause: Duration,
    broken: Vec<String>,
}

impl Tour {
    async fn new(state: State, handle: Handle) -> anyhow::Result<Self> {
        let client = Client::builder().endpoints([state.endpoint()]).timeout(HAND_OVER);
        let client = client.connect().await?;
        let readable = out::is_terminal();
        let pause = Duration::from_millis(if readable { 2_000 } else { 200 });
        Ok(Self { state, handle, client, ledger: Ledger::default(), pause, broken: Vec::new() })
    }

    /// # Errors
    /// Standard output is lost: nobody follows the story any more, so it ends here.
    async fn chapter(&self, title: &str, text: &str) -> std::io::Result<()> {
        sleep(self.pause).await;
        doug_streams::outln!("── {title}\n{text}");
        sleep(self.pause / 2).await;
        out::lost().map_or(Ok(()), |lost| Err(std::io::Error::other(lost)))
    }

    fn check(&mut self, kept: bool, promise: String) {
        doug_streams::outln!("   {} {promise}", if kept { "✓" } else { "✗" });
        if !kept {
            self.broken.push(promise);
        }
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        self.chapter(
            "Write",
            "   A write is answered once a majority of the five nodes of its partition's \
             cluster\n   \
             has it on disk.",
        )
        .await?;
        let began = Instant::now();
        self.client.put(KEY, "earth", If::Always).await?;
        self.ledger.acknowledge(KEY.into(), "earth".into());
        let count = 200;
        for number in 0..count {
            let (key, value) = (format!("tour/{number}"), format!("value {number}"));
            self.client.put(key.clone(), value.clone(), If::Always).await?;
            self.ledger.acknowledge(key, value);
        }
        let each = began.elapsed() / (count + 1);
        self.check(true, format!("{} writes acknowledged, {each:.1?} each", count + 1));
        Ok(())
    }

    async fn read_from_a_follower(&mut self) -> anyhow::Result<()> {
        self.chapter(
            "Read from a follower",
            "   Any node of the cluster may answer when the reader says how stale is fresh \
             enough:\n   \
             here, one second. The follower makes sure by asking the leader how far it must be.",
        )
        .await?;
        let follower = self.follower().await?;
        let reader = Client::builder().endpoints([follower.doug_address()]).connect().await?;
        let answer = reader.get(KEY, Read::Bounded(BOUND)).await?;
        let header = answer.header.unwrap_or_default();
        let staleness = header.staleness_milliseconds;
        let right = answer.found && &answer.value[..] == b"earth";
        let fresh = staleness.is_some_and(|stale| u128::from(stale) <= BOUND.as_millis());
        let shown = staleness.map_or("unknown".to_owned(), |stale| format!("{stale} ms"));
        let who = if header.leader { "as the leader" } else { "as a follower" };
        let name = &follower.name;
        self.check(
            right && fresh,
            format!("{name} answered {who}: {KEY} is earth, at most {shown} stale"),
        );
        Ok(())
    }

    async fn kill_the_leader(&mut self) -> anyhow::Result<String> {
        let partition = self.partition().await?;
        let leader = self.leader(partition).await?;
        self.chapter(
            "Kill the leader",
            &format!(
                "   {leader} leads partition {partition}. It gets SIGKILL while a client writes to \
                 that\n   partition without pause; the others notice and elect a new leader."
            ),
        )
        .await?;
        let writer = Writer::start(self.client.clone(), "tour/counter/", partition).await?;
        sleep(WRITE).await;
        self.handle.ask(Action::Kill, vec![leader.clone()]).await?;
        sleep(WRITE).await;
        let new_leader = self.leader(partition).await?;
        let written = writer.stop().await?;
        let gap = written.longest_gap;
        self.check(
            gap <= HAND_OVER,
            format!(
                "{new_leader} leads now: {gap:.1?} without an acknowledged write, out of {} writes",
                written.ledger.len()
            ),
        );
        self.check(
            written.unknown == 0,
            format!("{} writes ended with an unknown outcome", written.unknown),
        );
        self.ledger.merge(written.ledger);
        Ok(leader)
    }

    async fn read_everything_back(&mut self) -> anyhow::Result<()> {
        self.chapter(
            "Read everything back",
            "   Every write that was acknowledged, before and after the kill, must still be there.",
        )
        .await?;
        let lost = self.ledger.missing(&self.client).await?;
        let count = self.ledger.len();
        let what = match lost.first() {
            None => format!("all {count} acknowledged writes are there"),
            Some(key) => format!("{} of {count} are lost, for instance {key}", lost.len()),
        };
        self.check(lost.is_empty(), what);
        Ok(())
    }

    async fn restart(&mut self, node: &str) -> anyhow::Result<()> {
        self.chapter(
            "Bring the node back",
            &format!("   {node} starts again with what it has on disk, and gets what it missed."),
        )
        .await?;
        let began = Instant::now();
        let target = self.status().await?;
        self.handle.ask(Action::Restart, vec![node.to_owned()]).await?;
        let endpoint = self.state.endpoint();
        let caught_up = database::until(began + CATCH_UP, || async {
            let now = database::status(&endpoint, false).await?;
            if has_caught_up(&now, &target, node) {
                Ok(())
            } else {
                Err(Fault::unavailable(format!("{node} has not caught up")))
            }
        });
        let kept = caught_up.await.is_ok();
        let took = began.elapsed();
        self.check(kept, format!("{node} caught up {took:.1?} after its restart"));
        Ok(())
    }

    fn end(&self) -> Exit {
        if self.broken.is_empty() {
            doug_streams::outln!(
                "\nThat is the tour: every promise was kept. Start your own with `doug demo`."
            );
            return Exit::Done;
        }
        doug_streams::outln!("\nPromises that were not kept:");
        for promise in &self.broken {
            doug_streams::outln!("  {promise}");
        }
        Exit::Error
    }

    async fn status(&self) -> Result<v1::StatusResponse, Fault> {
        database::status(&self.state.endpoint(), false).await
    }

    async fn partition(&self) -> anyhow::Result<u64> {
        Ok(database::map(&self.state.endpoint()).await?.partition_of(KEY.as_bytes()).id)
    }

    /// The name of the node that leads a partition.
    async fn leader(&self, partition: u64) -> anyhow::Result<String> {
        let name = database::until(Instant::now() + HAND_OVER, || async {
            let status = self.status().await?;
            let leader = database::leader(&status, partition).map(|leader| leader.name.clone());
            leader.ok_or_else(|| Fault::unavailable(format!("partition {partition} has no leader")))
        });
        Ok(name.await?)
    }

    /// A node that holds the partition of the key and does not lead it.
    async fn follower(&self) -> anyhow::Result<super::state::Node> {
        let partition = self.partition().await?;
        let leader = self.leader(partition).await?;
        let cluster = leader.split('-').next().unwrap_or_default();
        let mut nodes = self.state.nodes.iter();
        let follower = nodes.find(|node| node.cluster == cluster && node.name != leader);
        Ok(follower.context("the cluster has one node only, so there is no follower")?.clone())
    }
}

/// Whether `node` has applied everything that had been committed at `target`.
fn has_caught_up(now: &v1::StatusResponse, target: &v1::StatusResponse, node: &str) -> bool {
    let Some(node) = now.nodes.iter().find(|status| status.name == node) else { return false };
    let commit = |partition: u64| {
        let replicas = target.nodes.iter().flat_map(|node| &node.replicas);
        replicas.filter(|r| r.partition == partition).map(|r| r.commit).max().unwrap_or(0)
    };
    node.state() == NodeState::Ready
        && node.replicas.iter().all(|replica| replica.applied >= commit(replica.partition))
}
