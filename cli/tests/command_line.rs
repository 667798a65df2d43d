//! What scripts rely on, run as a process: exit codes and what goes where.

use std::net::TcpListener;
use std::process::{Command, Output};

/// An endpoint that nobody serves.
const NOBODY: [&str; 4] = ["--endpoint", "127.0.0.1:9", "--timeout", "300ms"];

fn doug(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doug"))
        .args(arguments)
        .env_remove("DOUG_ENDPOINT")
        .env("DOUG_LOG", "error")
        .output()
        .unwrap()
}

fn against_nobody(arguments: &[&str]) -> (Option<i32>, String) {
    let output = doug(&[arguments, &NOBODY].concat());
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn when_nobody_answers_reads_and_writes_are_unavailable_and_say_where() {
    for arguments in [&["get", "k"][..], &["put", "k", "v"], &["del", "k"], &["scan"], &["status"]]
    {
        let (code, error) = against_nobody(arguments);
        assert_eq!(code, Some(5), "{arguments:?}: {error}");
        assert!(error.contains("127.0.0.1:9"), "{arguments:?}: {error}");
    }
}

#[test]
fn a_wrong_command_line_is_usage_whoever_notices_it() {
    for arguments in [
        &["get"][..],
        &["put", "k"],
        &["put", "k", "v", "--if-absent", "--if-revision", "3"],
        &["put", "k", "v", "--if-absent", "--if-value", "w"],
        &["put", "k", "v", "--if-revision", "3", "--if-value", "w"],
        &["del", "k", "--if-revision", "3", "--if-value", "w"],
        &["get", "k", "--consistency", "bounded:soon"],
        &["get", "k", "--encoding", "hex"],
        &["scan", "--from", "b", "--to", "a"],
        &["load", "-", "--format", "lines", "--key-column", "2"],
        &["facade", "--map-file", "m", "--nodes", "a:1"],
        &["node"],
    ] {
        let output = doug(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

#[cfg(not(feature = "kubernetes"))]
#[test]
fn what_needs_kubernetes_says_how_to_build_it() {
    for arguments in [&["operator"][..], &["crds"], &["facade", "--dougcluster", "shop/orders"]] {
        let output = doug(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(error.contains("--features kubernetes"), "{arguments:?}: {error}");
    }
}

#[test]
fn with_json_a_failure_is_one_object_on_standard_error() {
    for (arguments, status, code) in [
        (&["get", "k", "-o", "json"][..], 5, "unavailable"),
        (&["scan", "-o", "json", "--encoding", "hex", "--prefix", "x"], 2, "usage"),
        (&["get", "-o", "json"], 2, "usage"),
        (&["bench", "-o", "json", "--value-size", "1GiB"], 1, "error"),
    ] {
        let (exit, error) = against_nobody(arguments);
        assert_eq!(exit, Some(status), "{arguments:?}: {error}");
        let object: serde_json::Value = serde_json::from_str(&error).unwrap();
        assert_eq!((&object["code"], &object["exitStatus"]), (&code.into(), &status.into()));
        let message = object["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.starts_with("error:"), "{message}");
    }
}

#[test]
fn an_endpoint_that_is_none_is_an_error_that_shows_one() {
    let output = doug(&["get", "k", "--endpoint", "localhost"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("127.0.0.1:7400"), "{error}");
}

#[test]
fn doctor_reports_on_standard_output_that_nobody_answers_with_the_remedy() {
    let output = doug(&[&["doctor"][..], &NOBODY].concat());
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("127.0.0.1:9") && report.contains("remedy: start it"), "{report}");
}

#[test]
fn the_own_version_needs_no_database() {
    let output = doug(&["version", "--client"]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!("doug {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_facade_whose_port_is_taken_says_so_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = doug(&["facade", "--listen", &address, "--nodes", "127.0.0.1:9"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&address) && error.contains("--listen"), "{error}");
}

#[test]
fn every_command_has_help_with_an_example_and_a_completion() {
    let commands = [
        "node",
        "facade",
        "create",
        "put",
        "get",
        "del",
        "scan",
        "load",
        "dump",
        "status",
        "doctor",
        "bench",
        "version",
        "completions",
    ];
    let completion = String::from_utf8(doug(&["completions", "bash"]).stdout).unwrap();
    for command in commands {
        let help = String::from_utf8(doug(&[command, "--help"]).stdout).unwrap();
        assert!(help.contains(&format!("doug {command}")), "{command}: {help}");
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(completion.contains(command), "{command}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [&["completions", "bash"][..], &["version", "--timeout", "1s"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_doug"))
            .args(arguments)
            .env("DOUG_ENDPOINT", "127.0.0.1:9")
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!error.contains("panicked"), "{arguments:?}: {error}");
    }
}
