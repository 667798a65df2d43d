//! Five nodes, each in a network of its own, in which something is wrong most of the
//! time. What the clients were told must make sense all the same.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_process_tests::demo::folder;
use doug_process_tests::load::{Load, insist_on_promises};
use doug_process_tests::namespaces::{Lab, Loss};
use doug_process_tests::wait::until;
use rustix::process::Signal;
use std::time::Duration;

const NODES: usize = 5;
const PARTITIONS: usize = 4;
const CLIENTS: usize = 12;
/// How long something is wrong, and how long nothing is: longer than an election.
const WRONG: Duration = Duration::from_millis(2_500);
const RIGHT: Duration = Duration::from_millis(1_500);

/// What goes wrong with a node.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Packets(Loss),
    Paused,
    Killed,
}

impl Trouble {
    /// Whether a leader cannot stay one: it does not hear its followers, or they
    /// do not hear it.
    fn deposes(self) -> bool {
        !matches!(self, Self::Packets(Loss::Some(_)))
    }
}

const TROUBLES: [Trouble; 6] = [
    Trouble::Packets(Loss::Both),
    Trouble::Packets(Loss::Sent),
    Trouble::Packets(Loss::Received),
    Trouble::Packets(Loss::Some(20)),
    Trouble::Paused,
    Trouble::Killed,
];

#[tokio::test(flavor = "multi_thread")]
async fn no_partition_one_way_loss_pause_or_crash_breaks_a_promise() {
    let seed = seed();
    println!("DOUG_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = folder();
    let mut lab = Lab::start(folder.path(), NODES, PARTITIONS).await;
    let load = Load::start(&lab.endpoint(), "network", CLIENTS).await;
    // Each trouble once with a leader, once with anyone, in any order.
    let mut rounds: Vec<(Trouble, bool)> =
        TROUBLES.iter().flat_map(|trouble| [(*trouble, true), (*trouble, false)]).collect();
    dice.shuffle(&mut rounds);
    for (trouble, with_leader) in rounds {
        // The catalog's is one more.
        let partition = 1 + dice.below(PARTITIONS + 1) as u64;
        let node = if with_leader {
            let leader = || lab.leader(partition);
            until("a leader", Duration::from_secs(20), leader).await
        } else {
            dice.below(NODES)
        };
        println!("a-{node}: {trouble:?}");
        begin(&lab, node, trouble);
        tokio::time::sleep(WRONG).await;
        if with_leader && trouble.deposes() {
            let other = async || lab.leader(partition).await.filter(|leader| *leader != node);
            until("another leader", Duration::from_secs(20), other).await;
        }
        end(&mut lab, node, trouble);
        tokio::time::sleep(RIGHT).await;
    }
    lab.all_ready().await;
    insist_on_promises(&load.end().await);
}

fn begin(lab: &Lab, node: usize, trouble: Trouble) {
    match trouble {
        Trouble::Packets(loss) => lab.lose(node, loss),
        Trouble::Paused => lab.signal(node, Signal::STOP),
        Trouble::Killed => lab.signal(node, Signal::KILL),
    }
}

fn end(lab: &mut Lab, node: usize, trouble: Trouble) {
    match trouble {
        Trouble::Packets(_) => lab.heal(node),
        Trouble::Paused => lab.signal(node, Signal::CONT),
        Trouble::Killed => lab.restart(node),
    }
}

/// `DOUG_SEED`, to play an order again; else a new one.
fn seed() -> u64 {
    if let Ok(text) = std::env::var("DOUG_SEED") {
        return text.parse().expect("DOUG_SEED is a number");
    }
    let mut bytes = [0; 8];
    let mut source = std::fs::File::open("/dev/urandom").expect("there is /dev/urandom");
    std::io::Read::read_exact(&mut source, &mut bytes).expect("it gives bytes");
    u64::from_le_bytes(bytes).max(1)
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}
