//! What scripts rely on, run as a process: exit codes and what goes where.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;
use tokio::time::Instant;

/// An endpoint that nobody serves.
const NOBODY: [&str; 4] = ["--endpoint", "127.0.0.1:9", "--timeout", "300ms"];
/// Far more time than a command may take that knows at once.
const LONG: &str = "600s";
const AT_ONCE: Duration = Duration::from_secs(60);

fn doug(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doug"))
        .args(arguments)
        .env_remove("DOUG_ENDPOINT")
        .env("DOUG_LOG", "error")
        .output()
        .unwrap()
}

/// What bash is offered for the last of the words; nobody serves the database.
fn offered(words: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doug"));
    command.env("DOUG_COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    let output = command.env("DOUG_ENDPOINT", "127.0.0.1:9").arg("--").args(words).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
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
fn a_refused_connection_is_waited_for_a_second_unless_a_timeout_says_how_long() {
    for arguments in [&["get", "k"][..], &["put", "k", "v"], &["status"], &["get", "k", "--direct"]]
    {
        let output = doug(&[arguments, &["--endpoint", "127.0.0.1:9"]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {error}");
        for said in ["127.0.0.1:9", "refused", "tried for 1s", "doug demo", "--timeout"] {
            assert!(error.contains(said), "{arguments:?}: {said} is missing: {error}");
        }
        let (_, error) = against_nobody(arguments);
        assert!(!error.contains("tried for 1s"), "300 ms were asked for: {error}");
    }
}

/// A server of HTTP/1.1, as a proxy's or another program's port is.
fn http_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut preface = [0; 24];
            let _ = connection.read_exact(&mut preface);
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            // Until the other side has read it: a reset would take it away.
            let _ = connection.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn a_port_that_speaks_http_is_told_at_once_and_no_write_is_unknown() {
    let address = http_port();
    let endpoint = ["--endpoint", &address, "--timeout", LONG];
    let began = Instant::now();
    for arguments in [
        &["get", "k"][..],
        &["put", "k", "v"],
        &["del", "k"],
        &["scan"],
        &["status"],
        &["get", "k", "--direct"],
        &["partition", "list", "1"],
    ] {
        let output = doug(&[arguments, &endpoint].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {error}");
        for said in [&*address, "HTTP/1.1", "7400"] {
            assert!(error.contains(said), "{arguments:?}: {said} is missing: {error}");
        }
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[test]
fn doctor_does_not_advise_to_start_what_runs_but_serves_something_else() {
    let output = doug(&["doctor", "--endpoint", &http_port(), "--timeout", LONG]);
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("HTTP/1.1") && !report.contains("start it"), "{report}");
}

#[test]
fn a_host_that_nobody_knows_is_named() {
    let unknown = ["--endpoint", "nosuch.invalid:7400", "--timeout", "2s"];
    for arguments in [&["get", "k"][..], &["put", "k", "v"], &["status"]] {
        let output = doug(&[arguments, &unknown].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {error}");
        for said in ["nosuch.invalid", "its name could not be resolved"] {
            assert!(error.contains(said), "{arguments:?}: {said} is missing: {error}");
        }
    }
}

#[test]
fn spaces_around_an_endpoint_are_left_away_and_inside_it_refused() {
    let output = doug(&["get", "k", "--endpoint", " 127.0.0.1:9 ", "--timeout", "300ms"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(5) && error.contains(" 127.0.0.1:9 cannot"), "{error}");
    let output = doug(&["get", "k", "--endpoint", "local host:7400"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("is not an endpoint"), "{error}");
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
        // What any of its kind asks for; of an error that is none of them only the message knows.
        assert_eq!(object["remedy"].is_null(), status == 1, "{object}");
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
    let completion = offered(&["doug", ""]);
    for command in commands {
        let help = String::from_utf8(doug(&[command, "--help"]).stdout).unwrap();
        assert!(help.contains(&format!("doug {command}")), "{command}: {help}");
        assert!(help.contains("Example"), "{command}: {help}");
        assert!(completion.iter().any(|offered| offered == command), "{command}");
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

#[test]
fn the_name_alone_asks_for_help_whatever_the_environment_says() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doug"));
    let output = command.env("DOUG_ENDPOINT", "db9:7400").env("DOUG_LOG", "error").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("Keys and values:"));
}

#[test]
fn a_benchmark_that_reaches_nobody_fails_and_prints_no_figures() {
    let output = doug(&[&["bench", "--duration", "1s"][..], &NOBODY].concat());
    let (figures, error) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(figures.is_empty() && !error.contains("NaN"), "{error}");
    assert!(error.contains("127.0.0.1:9"), "{error}");
}

#[test]
fn the_script_of_every_shell_asks_this_program() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = doug(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(script.contains("DOUG_COMPLETE"), "{shell}: {script}");
    }
}

#[test]
fn a_shell_is_offered_commands_and_options_and_no_names_where_nobody_answers() {
    assert_eq!(offered(&["doug", "mem"]), ["member"]);
    assert_eq!(offered(&["doug", "put", "--if-v"]), ["--if-value"]);
    assert_eq!(offered(&["doug", "get", "k", "--consistency", "ev"]), ["eventual"]);
    assert_eq!(offered(&["doug", "member", "replace", "a"]), [""; 0]);
}
