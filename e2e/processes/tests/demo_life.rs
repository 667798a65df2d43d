//! The life of a demo, from its first line to its last process.
#![allow(clippy::disallowed_macros, reason = "libtest captures these alone")]

use doug_process_tests::demo::{self, Demo};
use doug_process_tests::program::{self, printed};
use doug_process_tests::wait::until;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::path::Path;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_within_ten_seconds_and_says_how_to_go_on() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &[]).await;
    println!("ready after {:.1?}", demo.took);
    assert!(demo.took < Duration::from_secs(10), "ready only after {:?}", demo.took);
    let state = demo.state();
    assert_eq!(state["nodes"].as_array().map(Vec::len), Some(10));
    assert_eq!(demo.pids().len(), 11);
    let printed = until("the last lines", Duration::from_secs(5), || async {
        Some(demo.printed()).filter(|text| text.contains("Ctrl-C stops it."))
    });
    let printed = printed.await;
    for line in [&*demo.endpoint(), " put", " get", &*demo.data().display().to_string()] {
        assert!(printed.contains(line), "{line} is missing: {printed}");
    }
    let put = demo.run(&["put", "greeting", "hello"]);
    assert!(put.status.success(), "{}", program::printed(&put));
    let get = demo.run(&["get", "greeting"]);
    assert_eq!(String::from_utf8_lossy(&get.stdout).trim(), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_terminals_see_it_and_act_on_it() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &["--nodes", "3", "--partitions", "4"]).await;
    let condition = |node: &str| {
        let output = demo.run(&["demo", "status"]);
        let text = printed(&output);
        assert!(output.status.success(), "{text}");
        let line = text.lines().find(|line| line.trim_start().starts_with(node));
        line.unwrap_or_else(|| panic!("{node} is missing: {text}")).to_owned()
    };
    assert!(condition("a-0").contains("running"));
    demo.act("kill", &["a-0".into()]);
    assert!(condition("a-0").contains("stopped"));
    demo.act("pause", &["a-1".into()]);
    assert!(condition("a-1").contains("paused"));
    demo.act("resume", &["a-1".into()]);
    demo.act("restart", &["a-0".into()]);
    demo.all_ready().await;
    demo.act("kill", &["leader:P1".into()]);
    demo.act("kill", &["leader:greeting".into(), "facade".into()]);
    let unknown = demo.run(&["demo", "kill", "c-9"]);
    let text = printed(&unknown);
    assert!(!unknown.status.success() && text.contains("a-0, a-1, a-2, b-0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_unasked_is_reported_with_its_log() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &["--clusters", "1", "--nodes", "3"]).await;
    demo.signal(&["a-2".into()], rustix::process::Signal::ABORT);
    until("a report", Duration::from_secs(5), || async {
        Some(()).filter(|()| demo.printed().contains("a-2 ended unasked"))
    })
    .await;
    assert!(demo.printed().contains("demo restart a-2"), "{}", demo.printed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facade_that_dies_starts_again_and_one_that_was_killed_stays_down() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &["--clusters", "1", "--nodes", "3"]).await;
    let facade = || demo.state()["facade"]["pid"].as_i64();
    let first = facade().expect("the facade runs");
    let pid = i32::try_from(first).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::ABORT).expect("the facade can be killed");
    until("the facade runs again", Duration::from_secs(20), || async {
        facade().filter(|pid| *pid != first)
    })
    .await;
    assert!(demo.printed().contains("facade ended unasked"), "{}", demo.printed());
    demo.insist(&["put", "greeting", "hello", "--timeout", "20s"]);

    let data = demo.data().display().to_string();
    let killed = demo.insist(&["demo", "kill", "--data", &data, "facade"]);
    let restart = format!("`doug demo restart facade --data {data}`");
    assert!(killed.contains(&format!("until {restart}")), "{killed}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = demo.insist(&["demo", "status", "--data", &data]);
    assert!(status.contains(&format!("no: the facade is stopped: {restart}")), "{status}");
    assert!(status.contains("P1"), "who leads is known without the facade: {status}");
    demo.act("restart", &["facade".to_owned()]);
    until("it is ready", Duration::from_secs(20), || async {
        let status = demo.insist(&["demo", "status", "--data", &data]);
        status.contains("Ready     yes").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_demo_is_told_of_the_first_and_what_to_do() {
    let folder = demo::folder();
    let small = ["--clusters", "1", "--nodes", "1", "--partitions", "1"];
    let demo = Demo::start(folder.path(), &small).await;
    let listen = demo.endpoint().replace("http://", "");

    let same_port = program::run(folder.path(), ["demo", "--listen", &listen]);
    let text = printed(&same_port);
    assert!(!same_port.status.success() && text.contains(&listen), "{text}");
    assert!(text.contains("--listen 127.0.0.1:"), "{text}");

    let data = demo.data().display().to_string();
    let same_data = program::run(folder.path(), ["demo", "--data", &data]);
    let text = printed(&same_data);
    assert!(!same_data.status.success() && text.contains("already running"), "{text}");
    assert!(text.contains(&format!("pid {}", demo.state()["pid"])), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_outlives_a_demo_that_was_killed() {
    let folder = demo::folder();
    let mut demo = Demo::start(folder.path(), &["--nodes", "3", "--partitions", "2"]).await;
    // Frozen ones must end as well.
    demo.act("pause", &["b-1".into()]);
    let pids = demo.pids();
    assert_eq!(pids.len(), 7);
    demo.process().kill().expect("the demo can be killed");
    demo.process().wait().expect("the demo can be waited for");
    until("all have ended", Duration::from_secs(5), || async {
        pids.iter().all(|pid| has_ended(*pid)).then_some(())
    })
    .await;
    let status = program::run(folder.path(), ["demo", "status"]);
    assert!(printed(&status).contains("no demo is running"), "{}", printed(&status));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_well_and_its_temporary_folder_goes_with_it() {
    let folder = demo::folder();
    let demo = Demo::start_temporary(folder.path(), &["--nodes", "3"]).await;
    let pids = demo.pids();
    assert_eq!(pids.len(), 7);
    let data = demo.data();
    assert!(data.join("nodes/a-0").is_dir());
    assert!(demo.printed().contains("removed at the end"), "{}", demo.printed());
    assert_eq!(demo.stop().code(), Some(0));
    assert!(!data.exists(), "{} is left", data.display());
    assert!(pids.iter().all(|pid| has_ended(*pid)), "a process is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_temporary_folder_of_a_demo_that_was_killed_goes_with_the_next_start() {
    let folder = demo::folder();
    let small = ["--clusters", "1", "--nodes", "1", "--partitions", "1"];
    let mut demo = Demo::start_temporary(folder.path(), &small).await;
    let left = demo.data();
    demo.process().kill().expect("the demo can be killed");
    demo.process().wait().expect("the demo can be waited for");
    assert!(left.exists(), "nobody could remove it");
    let _next = Demo::start_temporary(folder.path(), &small).await;
    assert!(!left.exists(), "{} is left", left.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_demo_on_the_same_data_goes_on_with_it() {
    let folder = demo::folder();
    let shape = ["--clusters", "1", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &shape).await;
    let put = demo.run(&["put", "greeting", "hello"]);
    assert!(put.status.success(), "{}", printed(&put));
    let ports = demo.state()["nodes"][0]["ports"].clone();
    assert_eq!(demo.stop().code(), Some(0));

    let data = folder.path().join("data");
    let other = ["demo", "--clusters", "2", "--listen", "127.0.0.1:0", "--data"];
    let other = other.into_iter().map(Path::new).chain([&*data]);
    let other = program::run(folder.path(), other);
    assert_eq!(other.status.code(), Some(2), "{}", printed(&other));
    assert!(printed(&other).contains("1 cluster of 3 nodes, 2 partitions"), "{}", printed(&other));

    let demo = Demo::start(folder.path(), &[]).await;
    assert_eq!(demo.state()["nodes"][0]["ports"], ports);
    let get = demo.run(&["get", "greeting"]);
    assert_eq!(String::from_utf8_lossy(&get.stdout).trim(), "hello", "{}", printed(&get));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_find_each_other_again_when_their_ports_were_taken_meanwhile() {
    let folder = demo::folder();
    let shape = ["--clusters", "1", "--nodes", "3", "--partitions", "2"];
    let demo = Demo::start(folder.path(), &shape).await;
    assert!(demo.run(&["put", "greeting", "hello"]).status.success());
    let state = demo.state();
    assert_eq!(demo.stop().code(), Some(0));

    let port = |node: usize| {
        u16::try_from(state["nodes"][node]["ports"]["raft"].as_u64().expect("a port"))
            .expect("a port")
    };
    let taken: Vec<_> = (0..3)
        .map(|node| std::net::TcpListener::bind(("127.0.0.1", port(node))).expect("it is free"))
        .collect();
    let demo = Demo::start(folder.path(), &[]).await;
    for node in 0..3 {
        assert_ne!(demo.state()["nodes"][node]["ports"], state["nodes"][node]["ports"]);
    }
    let get = demo.run(&["get", "greeting"]);
    assert_eq!(String::from_utf8_lossy(&get.stdout).trim(), "hello", "{}", printed(&get));
    drop(taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_keeps_every_promise_and_leaves_nothing_behind() {
    let folder = demo::folder();
    let output = program::run(folder.path(), ["demo", "--tour", "--listen", "127.0.0.1:0"]);
    let text = printed(&output);
    println!("{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Whether a process is gone, or only waits for init to notice.
fn has_ended(pid: u32) -> bool {
    let raw = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    test_kill_process(raw).is_err() || status.contains("State:\tZ")
}
