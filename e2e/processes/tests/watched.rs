//! Watches go on by themselves: they are told every change once and in order while leaders die, a
//! partition moves and the facade is started anew.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use bytes::Bytes;
use doug_client::{Changes, Client, Range, Read, Since, WatchOptions, Write};
use doug_process_tests::demo::{self, Demo};
use doug_process_tests::program;
use doug_process_tests::wait::until;
use doug_process_tests::writers::{Outcome, outcome};
use doug_proto::map::PartitionMap;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PREFIX: &str = "watched/";
const WRITERS: usize = 32;
/// Of one batch, which changes each of them.
const KEYS: usize = 16;
/// At least so many are made, and told to each watcher.
const CHANGES: usize = 100_000;
/// A watcher that is taken up again from its token is so after so many answers.
const ANSWERS: usize = 50;

/// What a watcher was told, in the order that it was.
#[derive(Default)]
struct Told {
    /// Of each key the numbers that were written to it.
    numbers: BTreeMap<Bytes, Vec<usize>>,
    /// Of each partition the last revision, and its last key.
    last: BTreeMap<u64, (u64, Bytes)>,
    count: usize,
}

impl Told {
    fn note(&mut self, changes: Changes) {
        for event in changes.events {
            let place = (event.revision, event.key.clone());
            let last = self.last.insert(changes.partition, place.clone());
            assert!(last.as_ref() < Some(&place), "told {place:?} after {last:?}");
            let number = number(&event.value);
            self.numbers.entry(event.key).or_default().push(number);
            self.count += 1;
        }
    }
}

fn number(value: &[u8]) -> usize {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// Tells of all changes; anew from its token now and then, if it `resumes`.
async fn watch(client: Client, resumes: bool, told: Arc<Mutex<Told>>, begun: Arc<AtomicUsize>) {
    let mut since = Since::Now;
    loop {
        let options = WatchOptions { since, values: true };
        let watch = client.watch(Range::prefix(PREFIX), options.clone()).await;
        let mut watch = match watch {
            Ok(watch) => watch,
            // The facade is not back yet.
            Err(fault) if fault.is_not_executed() => {
                since = options.since;
                continue;
            }
            Err(fault) => panic!("a watch cannot begin: {fault:?}"),
        };
        begun.fetch_add(1, Ordering::Relaxed);
        for answer in 0.. {
            if resumes && answer == ANSWERS {
                break;
            }
            let changes = watch.next().await.expect("history reaches back by far");
            told.lock().unwrap().note(changes);
        }
        since = Since::Token(watch.token());
    }
}

/// Writes 0, 1, … to its keys, each number to all of them at once, and says how that ended.
async fn write(
    client: Client,
    keys: Vec<Bytes>,
    stop: Arc<AtomicBool>,
) -> (Vec<Bytes>, Vec<Outcome>) {
    let mut outcomes = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let value = Bytes::from(outcomes.len().to_string());
        let puts = keys.iter().map(|key| Write::Put(key.clone(), value.clone()));
        let written = client.batch(Vec::new(), &puts.collect::<Vec<_>>()).await;
        outcomes.push(outcome(written.map(|_| true)));
    }
    (keys, outcomes)
}

/// Keys of one writer, all of one partition.
fn keys_of(writer: usize, map: &PartitionMap) -> Vec<Bytes> {
    let all = (0..).map(|key| Bytes::from(format!("{PREFIX}{writer:02}/{key}")));
    let first = format!("{PREFIX}{writer:02}/0");
    let partition = map.partition_of(first.as_bytes()).id;
    all.filter(|key| map.partition_of(key).id == partition).take(KEYS).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_every_change_once_and_in_order_whatever_dies_or_moves() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &["--nodes", "3", "--partitions", "4"]).await;
    let (client, map) = (demo.client().await, demo.map().await);
    let (told, begun) = (<[Arc<Mutex<Told>>; 2]>::default(), Arc::new(AtomicUsize::new(0)));
    let watchers = told.clone().into_iter().zip([false, true]).map(|(told, resumes)| {
        let endpoint = demo.endpoint();
        let begun = begun.clone();
        tokio::spawn(async move {
            let client = Client::builder().endpoints([endpoint]).connect().await.expect("a client");
            watch(client, resumes, told, begun).await;
        })
    });
    let watchers: Vec<_> = watchers.collect();
    until("the watches have begun", Duration::from_secs(20), || async {
        (begun.load(Ordering::Relaxed) >= 2).then_some(())
    })
    .await;
    let began = tokio::time::Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = |writer| tokio::spawn(write(client.clone(), keys_of(writer, &map), stop.clone()));
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();

    for partition in [1, 3] {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let (killed, _) = demo.leader(partition).await;
        demo.signal(std::slice::from_ref(&killed), Signal::KILL);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        demo.act("restart", &[killed]);
    }
    demo.insist(&["partition", "move", "2", "--to", "b"]);
    demo.act("kill", &["facade".to_owned()]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    demo.act("restart", &["facade".to_owned()]);
    let count = |told: &Arc<Mutex<Told>>| told.lock().unwrap().count;
    until("so many changes are told", Duration::from_secs(120), || async {
        told.iter().all(|told| count(told) >= CHANGES).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.expect("the writer did not panic"));
    }

    let last = last_of(&client, &written).await;
    for told in &told {
        until("the watch has caught up", Duration::from_secs(60), || async {
            let told = told.lock().unwrap();
            let is_there = |(key, number): (&Bytes, &usize)| {
                told.numbers.get(key).and_then(|numbers| numbers.last()) == Some(number)
            };
            last.iter().all(is_there).then_some(())
        })
        .await;
        assert!(watchers.iter().all(|watcher| !watcher.is_finished()), "a watcher has ended");
        complete(&told.lock().unwrap(), &written);
    }
    println!(
        "{} and {} changes told in {:.1?}; {} watches",
        count(&told[0]),
        count(&told[1]),
        began.elapsed(),
        begun.load(Ordering::Relaxed)
    );
    watchers.iter().for_each(tokio::task::JoinHandle::abort);
    demo.all_ready().await;
}

/// What each key holds in the end.
async fn last_of(
    client: &Client,
    written: &[(Vec<Bytes>, Vec<Outcome>)],
) -> BTreeMap<Bytes, usize> {
    let mut last = BTreeMap::new();
    for key in written.iter().flat_map(|(keys, _)| keys) {
        let found = client.get(key.clone(), Read::Linearizable).await.expect("a read");
        last.insert(key.clone(), number(&found.value));
    }
    last
}

/// Of each key the numbers in the order they were written: all that were acknowledged, and none
/// that was promised never to be applied.
fn complete(told: &Told, written: &[(Vec<Bytes>, Vec<Outcome>)]) {
    for (keys, outcomes) in written {
        for key in keys {
            let numbers = &told.numbers[key];
            let in_order = numbers.is_sorted_by(|one, next| one < next);
            assert!(in_order, "{key:?} was told out of order or twice: {numbers:?}");
            for (number, outcome) in outcomes.iter().enumerate() {
                let is_told = numbers.binary_search(&number).is_ok();
                let fits = match outcome {
                    Outcome::Acknowledged => is_told,
                    Outcome::Unknown => true,
                    Outcome::NotExecuted | Outcome::Refused => !is_told,
                };
                assert!(fits, "{key:?}: {number} is {outcome:?}, and told: {is_told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_prints_what_changes_and_goes_on_from_the_token_that_it_printed() {
    let folder = demo::folder();
    let shape = ["--clusters", "1", "--nodes", "1", "--partitions", "1"];
    let demo = Demo::start(folder.path(), &shape).await;
    let watch = |arguments: &[&str]| {
        let mut command = program::command(folder.path());
        command.arg("watch").args(arguments).env("DOUG_ENDPOINT", demo.endpoint());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        (child, lines.map(|line| line.expect("text")))
    };
    let (mut child, mut lines) = watch(&["greeting", "--values", "-o", "json"]);
    // It says from where on it tells what changes.
    let first = lines.next().expect("a token");
    assert!(first.contains("token"), "{first}");
    demo.insist(&["put", "greeting", "hello"]);
    demo.insist(&["put", "other", "unheard"]);
    let line = lines.find(|line| line.contains("\"key\"")).expect("a change");
    assert!(line.contains("\"greeting\"") && line.contains("\"hello\""), "{line}");
    let token = lines.next().expect("a token behind the change");
    let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
    child.kill().and_then(|()| child.wait()).expect("it can be ended");

    demo.insist(&["put", "greeting", "hi"]);
    demo.insist(&["del", "greeting"]);
    let token = token["token"].as_str().expect("a token");
    let (mut child, lines) = watch(&["greeting", "--values", "--token", token]);
    let told: Vec<String> = lines.take(2).collect();
    let told: Vec<_> = told.iter().map(|line| line.split_once('\t').expect("fields").1).collect();
    assert_eq!(told, ["put\tgreeting\thi", "delete\tgreeting"]);
    child.kill().and_then(|()| child.wait()).expect("it can be ended");
}
