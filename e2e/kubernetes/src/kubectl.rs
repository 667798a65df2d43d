//! kubectl, as a user has it: the one in the path, with the user's KUBECONFIG.

use serde_json::Value;
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

/// Runs it and returns what it printed.
///
/// # Errors
/// What it said, when it failed.
pub fn attempt(arguments: &[&str]) -> Result<String, String> {
    outcome(&command(arguments).output().expect("kubectl is in the path"))
}

/// Runs it with something on its standard input.
///
/// # Errors
/// What it said, when it failed.
pub fn attempt_with(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl is in the path");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("kubectl reads its input");
    drop(stdin);
    outcome(&child.wait_with_output().expect("kubectl can be waited for"))
}

/// Runs it and insists that it succeeds.
///
/// # Panics
/// With what it said, when it failed.
pub fn run(arguments: &[&str]) -> String {
    attempt(arguments).unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
}

/// An object or a list, nothing if there is none or the API server is away.
pub fn get(arguments: &[&str]) -> Option<Value> {
    let text = attempt(&[&["get", "-o", "json"], arguments].concat()).ok()?;
    serde_json::from_str(&text).ok()
}

/// The items of a list, none if the API server is away.
pub fn list(arguments: &[&str]) -> Vec<Value> {
    let items = |list: Value| list["items"].as_array().cloned();
    get(arguments).and_then(items).unwrap_or_default()
}

/// Starts it for as long as the test wants it.
///
/// # Panics
/// When it cannot be started.
pub fn start(arguments: &[&str]) -> Child {
    let mut command = command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("kubectl is in the path")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.args(arguments).stdin(Stdio::null());
    command
}

fn outcome(output: &Output) -> Result<String, String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
