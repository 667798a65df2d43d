//! What only a database can show of the command line.

use doug_process_tests::demo::{self, Demo};
use doug_process_tests::program;
use std::path::Path;

const SMALL: [&str; 6] = ["--clusters", "2", "--nodes", "1", "--partitions", "2"];

/// What bash is offered for the last of the words.
fn offered(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut command = program::command(folder);
    command.env("DOUG_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    let output = command.arg("--").args(words).output().expect("the program starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
    let offered = String::from_utf8(output.stdout).expect("names are text");
    let names = offered.lines().filter(|word| !word.starts_with('-')).map(str::to_owned);
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_offered_the_names_of_the_database_that_the_line_reaches() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &SMALL).await;
    let endpoint = demo.endpoint();
    let offered = |words: &[&str]| {
        offered(folder.path(), &[&["doug", "--endpoint", &endpoint], words].concat())
    };
    assert_eq!(offered(&["member", "replace", ""]), ["a-0", "b-0"]);
    assert_eq!(offered(&["member", "replace", "b"]), ["b-0"]);
    assert_eq!(offered(&["partition", "move", "3", "--to", ""]), ["a", "b"]);
    assert_eq!(offered(&["partition", "list", ""]), ["1", "2", "3"]);
    assert_eq!(offered(&["leader", "transfer", "2", "--to", "a"]), ["a-0"]);
    let data = demo.data().display().to_string();
    assert_eq!(offered(&["demo", "kill", "--data", &data, ""]), ["a-0", "b-0", "facade", "all"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_revision_that_get_prints_as_json_is_what_a_condition_wants() {
    let folder = demo::folder();
    let demo = Demo::start(folder.path(), &SMALL).await;
    demo.insist(&["put", "key", "one"]);
    for other in ["a", "b", "c", "d"] {
        demo.insist(&["put", other, "later"]);
    }
    let got: serde_json::Value =
        serde_json::from_str(&demo.insist(&["get", "key", "-o", "json"])).expect("JSON");
    let revision = got["revision"].to_string();
    demo.insist(&["put", "key", "two", "--if-revision", &revision]);
    let again = demo.run(&["put", "key", "three", "--if-revision", &revision]);
    assert_eq!(again.status.code(), Some(4), "the key has changed since");
}
