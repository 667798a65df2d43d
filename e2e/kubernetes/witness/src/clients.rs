//! The clients: each writes fresh keys, and writes and reads keys that all share.

use crate::history::{Act, Fresh, History, Outcome, RegisterOperation};
use bytes::Bytes;
use doug_client::{Client, Fault, If, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Shared keys: few, so that operations on one overlap, and enough for all partitions.
const REGISTERS: usize = 24;

/// Starts `count` clients.
pub fn start(
    client: &Client,
    name: &str,
    count: usize,
    pause: Duration,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<History>> {
    let began = Instant::now();
    let one = |number: usize| {
        let worker = Worker {
            client: client.clone(),
            name: name.to_owned(),
            number,
            began,
            last: Duration::ZERO,
            history: History::default(),
        };
        tokio::spawn(worker.run(pause, stop.clone()))
    };
    (0..count).map(one).collect()
}

/// Waits for all and puts together what they did.
///
/// # Panics
/// When a client did.
pub async fn join(clients: Vec<JoinHandle<History>>) -> History {
    let mut all = History::default();
    for client in clients {
        all.merge(client.await.expect("no client panicked"));
    }
    all
}

struct Worker {
    client: Client,
    name: String,
    number: usize,
    began: Instant,
    /// When the last operation succeeded.
    last: Duration,
    history: History,
}

impl Worker {
    async fn run(mut self, pause: Duration, stop: Arc<AtomicBool>) -> History {
        let mut turn = 0;
        while !stop.load(Ordering::Relaxed) {
            match turn % 3 {
                0 => self.write_fresh(turn).await,
                1 => self.write_shared(turn).await,
                _ => self.read_shared(turn).await,
            }
            turn += 1;
            sleep(pause).await;
        }
        self.note_gap();
        self.history
    }

    async fn write_fresh(&mut self, turn: usize) {
        let key = Bytes::from(format!("{}/{}/{turn:08}", self.name, self.number));
        let answer = self.client.put(key.clone(), key.clone(), If::Absent).await;
        let answer = answer.map(|put| put.condition_met);
        let outcome = Outcome::of(&answer);
        self.note("put", &key, answer.err());
        self.history.fresh.push(Fresh { key, outcome });
    }

    async fn write_shared(&mut self, turn: usize) {
        let (register, key) = self.register(turn);
        let number = (self.number as u64) << 32 | turn as u64;
        let asked = self.began.elapsed();
        let value = number.to_be_bytes().to_vec();
        let answer = self.client.put(key.clone(), value, If::Always).await;
        let answered = answer.is_ok().then(|| self.began.elapsed());
        let happened = !matches!(&answer, Err(fault) if fault.is_not_executed());
        self.note("put", &key, answer.err());
        if happened {
            let act = Act::Write(number);
            self.history.shared.push(RegisterOperation { register, asked, answered, act });
        }
    }

    async fn read_shared(&mut self, turn: usize) {
        // What the turn before wrote.
        let (register, key) = self.register(turn - 1);
        let asked = self.began.elapsed();
        let answer = self.client.get(key.clone(), Read::Linearizable).await;
        let answered = Some(self.began.elapsed());
        if let Ok(got) = &answer {
            let number = |value: &Bytes| value[..].try_into().map(u64::from_be_bytes);
            let value = got.found.then(|| number(&got.value).expect("eight bytes were written"));
            let act = Act::Read(value);
            self.history.shared.push(RegisterOperation { register, asked, answered, act });
        }
        self.note("get", &key, answer.err());
    }

    /// A shared key: two clients meet at each, so that their operations overlap.
    fn register(&self, turn: usize) -> (usize, Bytes) {
        let register = (self.number / 2 + turn / 3) % REGISTERS;
        (register, Bytes::from(format!("{}/shared/{register}", self.name)))
    }

    fn note(&mut self, what: &str, key: &Bytes, fault: Option<Fault>) {
        self.history.operations += 1;
        match fault {
            None => self.note_gap(),
            Some(fault) => {
                let text = format!("{what} {key:?}: {fault:?}");
                self.history.failures.push((self.began.elapsed(), text));
            }
        }
    }

    fn note_gap(&mut self) {
        let now = self.began.elapsed();
        self.history.longest_gap = self.history.longest_gap.max(now.saturating_sub(self.last));
        self.last = now;
    }
}
