//! The load: lanes that each ask, wait for the answer, and ask again.
//!
//! Closed loops, as in etcd's own tool. So the percentiles are those of a
//! system at its limit for that many clients, not those of a given rate.

use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Before this long, nothing is counted.
const WARM_UP: Duration = Duration::from_secs(1);

/// How often a key is written before the first measurement gives up: with a
/// thousand writes under way, a busy machine may miss a deadline.
const FILL_TRIES: usize = 10;

/// Something that carries out one operation at a time.
pub trait Lane: Send + 'static {
    /// Writes a key.
    fn put(&mut self, key: Bytes, value: Bytes) -> impl Future<Output = Result<(), String>> + Send;
    /// Reads a key, linearizably; whether it was there.
    fn get(&mut self, key: Bytes) -> impl Future<Output = Result<bool, String>> + Send;
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Operation {
    /// Writes of random keys.
    Put,
    /// Linearizable reads of random keys, all of which exist.
    Get,
}

/// Which keys and values.
#[derive(Clone, Debug)]
pub struct Data {
    /// Distinct keys.
    pub keys: u64,
    /// Random bytes; a value is a slice of them, so that it does not compress.
    pub noise: Bytes,
    /// Bytes of a value.
    pub value_bytes: usize,
}

impl Data {
    /// Keys and values of these sizes.
    pub fn new(keys: u64, value_bytes: usize) -> Self {
        let mut random = Random(0x5eed);
        let noise = (0..value_bytes + 65_536).map(|_| random.next() as u8).collect();
        Self { keys, noise, value_bytes }
    }

    /// The key with a number: 16 bytes.
    pub fn key(&self, number: u64) -> Bytes {
        format!("key-{number:012}").into()
    }

    fn value(&self, random: &mut Random) -> Bytes {
        let start = random.below(65_536) as usize;
        self.noise.slice(start..start + self.value_bytes)
    }
}

/// What one measurement found.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Operations a second.
    pub rate: f64,
    /// Latencies in microseconds, in no order.
    pub latencies: Vec<u32>,
    /// Operations that failed while it was measured.
    pub errors: u64,
    /// The first of the errors.
    pub first_error: Option<String>,
}

/// Lets all lanes work for a while.
pub async fn measure<L: Lane>(
    lanes: Vec<L>,
    operation: Operation,
    data: &Data,
    length: Duration,
) -> Sample {
    let begin = Instant::now() + WARM_UP;
    let end = begin + length;
    let data = Arc::new(data.clone());
    let mut running = JoinSet::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        let (data, seed) = (data.clone(), number as u64 + 1);
        running.spawn(work(lane, operation, data, Random::seeded(seed), begin, end));
    }
    let mut total = Sample::default();
    while let Some(sample) = running.join_next().await {
        let sample = sample.expect("a lane panicked");
        total.latencies.extend(sample.latencies);
        total.errors += sample.errors;
        total.first_error = total.first_error.or(sample.first_error);
    }
    total.rate = total.latencies.len() as f64 / length.as_secs_f64();
    total
}

async fn work<L: Lane>(
    mut lane: L,
    operation: Operation,
    data: Arc<Data>,
    mut random: Random,
    begin: Instant,
    end: Instant,
) -> Sample {
    let mut sample = Sample::default();
    loop {
        let started = Instant::now();
        if started >= end {
            return sample;
        }
        let key = data.key(random.below(data.keys));
        let result = match operation {
            Operation::Put => lane.put(key, data.value(&mut random)).await,
            Operation::Get => match lane.get(key).await {
                Ok(true) => Ok(()),
                Ok(false) => Err("a key that was written is missing".to_owned()),
                Err(error) => Err(error),
            },
        };
        let finished = Instant::now();
        if finished < begin || finished >= end {
            continue;
        }
        match result {
            Ok(()) => sample.latencies.push((finished - started).as_micros() as u32),
            Err(error) => {
                sample.errors += 1;
                sample.first_error.get_or_insert(error);
            }
        }
    }
}

/// Writes every key once.
///
/// # Errors
/// The first key that could not be written.
pub async fn fill<L: Lane>(lanes: Vec<L>, data: &Data) -> anyhow::Result<()> {
    let data = Arc::new(data.clone());
    let count = lanes.len() as u64;
    let mut running = JoinSet::new();
    for (number, mut lane) in (0_u64..).zip(lanes) {
        let data = data.clone();
        running.spawn(async move {
            let mut random = Random::seeded(number + 1);
            for key in (number..data.keys).step_by(count as usize) {
                let value = data.value(&mut random);
                let mut tries = 1;
                while let Err(error) = lane.put(data.key(key), value.clone()).await {
                    if tries == FILL_TRIES {
                        return Err(error);
                    }
                    tries += 1;
                }
            }
            Ok::<_, String>(())
        });
    }
    while let Some(filled) = running.join_next().await {
        filled?.map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Xorshift: enough to spread keys, and the same in every run.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 24
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
