//! README's "A minute with it", word for word: whoever copies its lines gets what it says.
//!
//! The lines are read from README itself. A line that this test does not know fails it, so that
//! none is promised there and tried nowhere.

use doug_process_tests::demo::{Demo, folder};
use doug_process_tests::program;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Where the lines begin and end that are run.
const FROM: &str = "\n## A minute with it\n";
const TO: &str = "\n`doug demo --tour` plays the whole story by itself";
/// How README has its reader call the program.
const ALIAS: &str = "(`alias doug=target/release/doug`)";

/// How long `doug status` may say that a partition has no leader, after one was killed.
const ELECTIONS: Duration = Duration::from_secs(20);

/// A line of README, without its comment, and the exit status that the comment promises.
#[derive(Debug)]
struct Line {
    command: String,
    status: i32,
}

/// The indented lines of that part of README.
fn lines(readme: &str) -> Vec<Line> {
    let part = readme.split_once(FROM).expect("README has that part").1;
    let part = part.split_once(TO).expect("and what follows it").0;
    assert!(part.contains(ALIAS), "what `doug` means is said: {part}");
    let indented = part.lines().filter_map(|line| line.strip_prefix("    "));
    let line = |text: &str| {
        let (command, comment) = text.split_once(" #").unwrap_or((text, ""));
        let promised = comment.split_once("exit status ").map_or("0", |(_, rest)| &rest[..1]);
        Line { command: command.trim().to_owned(), status: promised.parse().expect("a digit") }
    };
    indented.map(line).collect()
}

/// Runs a line as a shell does that has the alias which README gives.
fn run(folder: &Path, endpoint: &str, command: &str) -> Output {
    let alias = format!("doug() {{ '{}' \"$@\"; }}\n", program::path().display());
    Command::new("sh")
        .args(["-c", &(alias + command)])
        .env("TMPDIR", folder)
        // Where README says nothing the demo listens where every command asks; here other
        // databases may run on those ports.
        .env("DOUG_ENDPOINT", endpoint)
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell")
}

fn run_to_its_promise(folder: &Path, endpoint: &str, line: &Line) -> String {
    let begun = Instant::now();
    loop {
        let output = run(folder, endpoint, &line.command);
        let printed = program::printed(&output);
        let status = output.status.code();
        if status == Some(line.status) {
            return printed;
        }
        let electing = line.command == "doug status" && begun.elapsed() < ELECTIONS;
        assert!(electing, "{line:?} ended with {status:?}: {printed}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a line prints.
enum Prints {
    Exactly(&'static str),
    With(&'static [&'static str]),
}

/// What README says, or lets one expect, of each of its lines. `killed`: while a node is.
fn promise(command: &str, killed: bool) -> Prints {
    match command {
        "doug put greeting hello" => Prints::Exactly(""),
        "doug get greeting" => Prints::Exactly("hello"),
        "doug get greeting --consistency bounded:500 -v" => {
            Prints::With(&["hello", "stale by at most: "])
        }
        "doug put greeting hi --if-absent" => {
            Prints::With(&["condition not met", "nothing was written"])
        }
        "doug scan --prefix gre" => Prints::Exactly("greeting\thello\n"),
        "doug put parcel here --ttl 2m" => Prints::Exactly(""),
        "doug ttl parcel" => Prints::With(&["Z, in "]),
        "doug status" if killed => {
            Prints::With(&["9 of 9 partitions have a leader", "9 of 10 nodes are ready"])
        }
        "doug status" => {
            Prints::With(&["9 of 9 partitions have a leader", "10 of 10 nodes are ready"])
        }
        "doug demo kill leader:greeting" => Prints::With(&[" killed\n"]),
        "doug demo restart all" => Prints::With(&[" started again\n"]),
        "doug demo wipe a-2" => {
            Prints::With(&["a-2 started again, with an empty volume and a new id"])
        }
        "doug member replace a-2" => Prints::With(&["has taken the place of a-2"]),
        "doug partition move 3,5 --to b" => {
            Prints::With(&["partition 3 is in cluster b", "partition 5 is in cluster b"])
        }
        "doug leader transfer 3 --to b-1" => Prints::Exactly("b-1 leads partition 3\n"),
        other => panic!("README promises a line that this test does not know: {other}"),
    }
}

#[tokio::test]
async fn every_line_of_it_does_what_it_says() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("README is there");
    let lines = lines(&readme);
    assert!(lines.len() >= 10, "{lines:?}");
    let folder = folder();
    let demo = Demo::start(folder.path(), &[]).await;
    // A person does not type before the last node has caught up.
    demo.all_ready().await;
    let mut killed = false;
    for line in &lines {
        let printed = run_to_its_promise(folder.path(), &demo.endpoint(), line);
        match promise(&line.command, killed) {
            Prints::Exactly(promised) => assert_eq!(printed, promised, "{line:?}"),
            Prints::With(promised) => {
                let lacks = promised.iter().find(|promised| !printed.contains(**promised));
                assert_eq!(lacks, None, "{line:?} printed {printed}");
            }
        }
        match line.command.as_str() {
            "doug demo kill leader:greeting" => killed = true,
            "doug demo restart all" => killed = false,
            _ => {}
        }
    }
}
